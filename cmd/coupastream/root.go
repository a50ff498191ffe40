package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/logging"
)

// app is what every command works with: where results and logs go, and the
// environment. Commands reach neither os.Stdin, os.Stdout nor os.Getenv.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            config.Lookup

	logFormat, logLevel string          // flags
	log                 *slog.Logger    // set before a command runs
	levels              *logging.Levels // of log, and of those that are named after what logs
	// the command line was understood: errors from here on are the command's own
	started bool

	// test seams of validate --online: what carries its requests to Coupa, nil: the client's own; and how
	// long a fresh token rests, 0: as long as Coupa asks for
	transport http.RoundTripper
	tokenHold time.Duration
	// running workers are asked, and nothing is changed in them
	readOnly bool
	// stdin is somebody who can be asked, whatever it is. A test seam
	interactive bool
}

// newRootCommand builds the command tree.
func newRootCommand(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:               "coupastream",
		Short:             "Stream every change of Coupa instances to Kafka, exactly once, as Avro",
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: func(*cobra.Command, []string) error { return a.start() },
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{errors.New("no command given\n\n" + strings.TrimSpace(cmd.UsageString()))}
		},
	}
	root.Version = versionLine()
	root.SetVersionTemplate("{{.Version}}")
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())
	})
	flags := root.PersistentFlags()
	flags.StringVar(&a.logFormat, "log-format", "text", "form of the log on stderr: text or json")
	flags.StringVar(&a.logLevel, "log-level", "info", "least level that is logged: debug, info, warn or error")
	root.AddCommand(commands(a)...)
	tellUsage(root)
	return root
}

// tellUsage has a command and those below it say what they want where the number of
// their arguments is wrong, or flags are given that exclude each other.
func tellUsage(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return fmt.Errorf("%w; usage: %s", err, cmd.UseLine())
			}
			return cmd.ValidateFlagGroups() // cobra's own comes when the command has begun
		}
	}
	for _, below := range cmd.Commands() {
		tellUsage(below)
	}
}

// start makes the logger. It runs after cobra has understood the command line.
func (a *app) start() error {
	levels, err := newLevels(a.stderr, a.logFormat, a.logLevel)
	if err != nil {
		return err
	}
	a.levels, a.log, a.started = levels, levels.Logger(logging.Root), true
	return nil
}

// withUnit writes a duration as text does, "1.5s": as a number it would have no unit.
func withUnit(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// newLevels builds the loggers that the flags ask for.
func newLevels(w io.Writer, format, level string) (*logging.Levels, error) {
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, strings.ToLower(level)) {
		return nil, fmt.Errorf("--log-level %q is not a level; give debug, info, warn or error", level)
	}
	options := &slog.HandlerOptions{Level: logging.All}
	switch strings.ToLower(format) {
	case "text":
		return logging.New(slog.NewTextHandler(w, options), level)
	case "json":
		options.ReplaceAttr = withUnit
		return logging.New(slog.NewJSONHandler(w, options), level)
	}
	return nil, fmt.Errorf("--log-format %q is not a format; give text or json", format)
}
