package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/rest/security"
	"github.com/coupastream/coupastream/connector/transport"
)

func newValidateCommand(a *app) *cobra.Command {
	var online bool
	cmd := &cobra.Command{
		Use:   "validate FILE…",
		Short: "Check worker and connector files without starting anything",
		Long: "Check worker and connector files without starting anything. Every problem of every file is printed, with file,\n" +
			"key, value and remedy; a file without one gets a line with ok. With --online one row of every object is read\n" +
			"with the configured credentials, which shows whether address, client, secret and scopes are right.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.validate(cmd.Context(), args, online) },
	}
	cmd.Flags().BoolVar(&online, "online", false, "also read one row of every object from Coupa")
	return cmd
}

// validate checks each file by itself, then the connectors together, then, if asked to, against Coupa.
func (a *app) validate(ctx context.Context, files []string, online bool) error {
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
	var failures []error
	if online {
		for _, c := range connectors {
			wrong, failed := a.probe(ctx, c)
			problems, failures = append(problems, wrong...), append(failures, failed...)
		}
	}
	for _, file := range good {
		if !mentions(file, problems, failures) {
			fmt.Fprintln(a.stdout, file+": ok")
		}
	}
	return outcome(problems, failures)
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
func mentions(file string, problems config.Problems, failures []error) bool {
	for _, p := range problems {
		if p.File == file {
			return true
		}
	}
	for _, err := range failures {
		if strings.HasPrefix(err.Error(), file+": ") {
			return true
		}
	}
	return false
}

// outcome is the command's error: wrong configuration comes first, because it decides the exit status.
func outcome(problems config.Problems, failures []error) error {
	if len(problems) == 0 {
		return errors.Join(failures...)
	}
	for _, err := range failures {
		problems = append(problems, config.Problem{Message: err.Error()})
	}
	return problems
}

// pathsOf lists a connector's objects.
func pathsOf(c *config.Connector) string {
	var paths []string
	for _, o := range c.Objects {
		paths = append(paths, o.Path)
	}
	return strings.Join(paths, ", ")
}
