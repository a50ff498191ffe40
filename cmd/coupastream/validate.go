package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/rest/security"
	"github.com/coupastream/coupastream/connector/transport"
)

func newValidateCommand(a *app) *cobra.Command {
	var online bool
	var output string
	cmd := &cobra.Command{
		Use:   "validate FILE…",
		Short: "Check worker and connector files without starting anything",
		Long: `Check worker and connector files without starting anything. Every problem of every file is printed, with file,
key, value and remedy; a file without one gets a line with ok. With --online all that a run needs is tried, a line
each: brokers, rights, topics, the registry, Coupa, state.dir, listeners, webhooks. It changes nothing there: what
can't be tried without that is listed as not tried.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output != "text" && output != "json" {
				return usageError{fmt.Errorf("--output %q is not a form; give text or json", output)}
			}
			return a.validate(cmd.Context(), args, online, output == "json")
		},
	}
	cmd.Flags().BoolVar(&online, "online", false, "also try all that a run needs, without changing anything")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "form of the results: text, or json with an object a line")
	return cmd
}

// validate checks each file by itself, then the connectors together, then, if asked to, what they need.
func (a *app) validate(ctx context.Context, files []string, online, asJSON bool) error {
	var connectors []*config.Connector
	var worker *config.Worker // the last of the files; a set of files has one
	var good []string
	var problems config.Problems
	for _, file := range files {
		settings, connector, err := config.Load(file, a.env)
		if err != nil {
			problems = append(problems, problemsOf(err)...)
			continue
		}
		good = append(good, file)
		if settings != nil {
			worker = settings
			problems = append(problems, problemsOf(security.Check(settings))...)
			problems = append(problems, problemsOf(transport.Check(settings))...)
			for _, advice := range security.Advice(settings) {
				a.log.Warn(advice.Error())
			}
		}
		if connector != nil {
			connectors = append(connectors, connector)
		}
	}
	problems = append(problems, problemsOf(config.CheckTogether(worker, connectors))...)
	list := &checklist{w: a.stdout, marks: a.onTerminal(), asJSON: asJSON}
	if online {
		a.tryOnline(ctx, worker, connectors, list)
	}
	for _, file := range good {
		if !mentions(file, problems) && !list.mentions(file) {
			list.good(file)
		}
	}
	return list.outcome(problems)
}

// problemsOf takes an error of package config apart.
func problemsOf(err error) config.Problems {
	var problems config.Problems
	if err != nil && !errors.As(err, &problems) {
		return config.Problems{{Message: err.Error()}}
	}
	return problems
}

// mentions tells whether anything is wrong with a file.
func mentions(file string, problems config.Problems) bool {
	return slices.ContainsFunc(problems, func(p config.Problem) bool { return p.File == file })
}

// pathsOf lists a connector's objects.
func pathsOf(c *config.Connector) string {
	var paths []string
	for _, o := range c.Objects {
		paths = append(paths, o.Path)
	}
	return strings.Join(paths, ", ")
}
