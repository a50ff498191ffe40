package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/coupastream/coupastream/cmd/coupastream/internal/client"
)

func newPauseCommand(a *app) *cobra.Command {
	return newStateCommand(a, "pause", "paused", "Have connectors publish nothing for a while; they keep their positions", (*client.Client).Pause)
}

func newResumeCommand(a *app) *cobra.Command {
	return newStateCommand(a, "resume", "resumed", "Have connectors go on that were paused or stopped", (*client.Client).Resume)
}

func newStopCommand(a *app) *cobra.Command {
	return newStateCommand(a, "stop", "stopped", "End the tasks of connectors until they are resumed; offsets of all objects can be altered then", (*client.Client).Stop)
}

// newStateCommand makes a command that brings connectors into a state. Each is asked for, whatever
// the worker answered of those before it; an answer that would be that of the others too ends it.
func newStateCommand(a *app, verb, done, short string, change func(*client.Client, context.Context, string) error) *cobra.Command {
	r := &remote{app: a}
	cmd := &cobra.Command{
		Use: verb + " CONNECTOR…", Short: short, Args: cobra.MinimumNArgs(1),
		RunE: r.asking(func(ctx context.Context, c *client.Client, args []string) error {
			var failed []error
			for _, name := range args {
				err := change(c, ctx, name)
				if err == nil {
					err = r.done(name, "%s", done)
				}
				failed = append(failed, err)
				var answer *client.Error
				if err != nil && (!errors.As(err, &answer) || answer.Status == http.StatusUnauthorized || answer.Status == http.StatusForbidden || answer.Status == http.StatusTooManyRequests) {
					break
				}
			}
			return errors.Join(failed...)
		}),
		ValidArgsFunction: r.completeConnectors(0),
	}
	r.flags(cmd)
	return cmd
}

// restartSettings are the flags of `restart`.
type restartSettings struct {
	onlyFailed, includeTasks bool
	task                     string
}

func newRestartCommand(a *app) *cobra.Command {
	r, s := &remote{app: a}, restartSettings{}
	cmd := &cobra.Command{
		Use:   "restart CONNECTOR",
		Short: "Restart a connector, or tasks of it",
		Example: "  coupastream restart acme --include-tasks --only-failed\n" +
			"  coupastream restart acme --task invoices",
		Args:              cobra.ExactArgs(1),
		RunE:              r.asking(func(ctx context.Context, c *client.Client, args []string) error { return r.restart(ctx, c, args[0], s) }),
		ValidArgsFunction: r.completeConnectors(1),
	}
	r.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&s.includeTasks, "include-tasks", false, "the connector with its tasks")
	f.BoolVar(&s.onlyFailed, "only-failed", false, "just what is FAILED")
	f.StringVar(&s.task, "task", "", "just this task, by its number or its object")
	_ = cmd.RegisterFlagCompletionFunc("task", r.completeObjectFlag) // the flag is there
	return cmd
}

func (r *remote) restart(ctx context.Context, c *client.Client, name string, s restartSettings) error {
	if s.task == "" {
		if err := c.Restart(ctx, name, s.includeTasks, s.onlyFailed); err != nil {
			return err
		}
		return r.done(name, "restarted")
	}
	if s.includeTasks || s.onlyFailed {
		return usageError{errors.New("--task restarts one task; leave out --include-tasks and --only-failed")}
	}
	task, err := taskNamed(ctx, c, name, s.task)
	if err != nil {
		return err
	}
	if err := c.RestartTask(ctx, name, task); err != nil {
		return err
	}
	return r.done(name, "task %d restarted", task)
}

// taskNamed finds a task by its number or its object.
func taskNamed(ctx context.Context, c *client.Client, name, task string) (int, error) {
	if n, err := strconv.Atoi(task); err == nil {
		return n, nil
	}
	h, err := c.ConnectorHealth(ctx, name)
	if err != nil {
		return 0, err
	}
	var objects []string
	for _, t := range h.Tasks {
		objects = append(objects, t.Object)
	}
	if i := slices.Index(objects, task); i >= 0 {
		return h.Tasks[i].ID, nil
	}
	return 0, usageError{fmt.Errorf("--task %s is not an object of %s; it streams %s", task, name, strings.Join(objects, ", "))}
}
