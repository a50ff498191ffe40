// Command coupastream streams every change of Coupa instances to Kafka, exactly once, as Avro.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/coupastream/coupastream/cmd/coupastream/internal/client"
	"github.com/coupastream/coupastream/connector/config"
)

// Exit statuses of the program.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2 // wrong usage or configuration
)

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2) // one to stop in order, one to stop at once
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go interrupt(signals, cancel, os.Exit)
	os.Exit(run(ctx, os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr))
}

// interrupt cancels the program's context at the first signal and ends the process at the second.
func interrupt(signals <-chan os.Signal, cancel context.CancelFunc, exit func(int)) {
	<-signals
	cancel()
	<-signals
	exit(exitFailed)
}

// run is the program: it returns the exit status when the command is over. ctx ends
// when the program shall stop. Results go to stdout, logs and errors to stderr.
func run(ctx context.Context, args []string, env config.Lookup, stdout, stderr io.Writer) int {
	a := &app{stdin: os.Stdin, env: env, stdout: stdout, stderr: stderr}
	return a.execute(ctx, args)
}

// execute runs the command that args name.
func (a *app) execute(ctx context.Context, args []string) int {
	root := newRootCommand(a)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	a.report(err)
	return a.status(err)
}

// report prints an error: problems of configurations one a
// line as they are, everything else after the program's name.
func (a *app) report(err error) {
	var problems config.Problems
	if errors.As(err, &problems) {
		fmt.Fprintln(a.stderr, err)
		return
	}
	fmt.Fprintln(a.stderr, "coupastream:", err)
}

// status tells wrong usage and wrong configuration from failure.
func (a *app) status(err error) int {
	var problems config.Problems
	var problem config.Problem
	var usage usageError
	var remote client.Usage
	if !a.started || errors.As(err, &problems) || errors.As(err, &problem) || errors.As(err, &usage) || errors.As(err, &remote) {
		return exitUsage
	}
	return exitFailed
}

// usageError is a mistake on the command line that only the command itself can see.
type usageError struct{ error }
