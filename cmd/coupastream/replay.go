package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/coupastream/coupastream/connector"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/replay"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/connector/transport"
)

func newReplayCommand(a *app) *cobra.Command {
	var worker, output string
	cmd := &cobra.Command{
		Use:   "replay CONNECTOR --worker WORKER",
		Short: "Send dead letters again, after what kept them from going is put right",
		Long: `Send the dead letters of a connector to its objects' topics again, by the keys, schemas and topics of today, beside running workers:

  replayed   are in the object's topic now
  overtaken  the topic has their row in the same or a later version
  failing    can't go yet; they stand at the end of the dead letter topic again, with the reason

Each letter goes out once, however often this is run and whatever ends it: records and letters read are one transaction. Letters that come after it has
begun are left for the next time. Rows whose lines have topics of their own are sent again by the worker: the command for that is printed, and the letters count as
overtaken from then on. It ends with status 1 if letters can't go yet.`,
		Example: "  coupastream replay acme.yaml --worker worker.yaml",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.replay(cmd.Context(), args[0], worker, output) },
	}
	cmd.Flags().StringVar(&worker, "worker", "", "worker file, for the brokers and the registry")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "form of the result: text or json")
	return cmd
}

// errStillDead is the outcome of a replay that left letters; the counts are on stdout.
var errStillDead = errors.New("some dead letters can't go yet")

func (a *app) replay(ctx context.Context, connectorFile, workerFile, output string) error {
	if workerFile == "" {
		return usageError{errors.New("--worker is missing; give the worker file that names the brokers and the registry")}
	}
	if output != "text" && output != "json" {
		return usageError{fmt.Errorf("--output %q is not a form; give text or json", output)}
	}
	settings, connectors, err := a.load(workerFile, []string{connectorFile})
	if err != nil {
		return err
	}
	if err := hasLetters(connectors[0]); err != nil {
		return err
	}
	kafka, err := transport.Kafka(ctx, settings, a.log)
	if err != nil {
		return err
	}
	registry, err := newRegistry(settings, a.log)
	if err != nil {
		return err
	}
	source, err := newSources(settings.Egress()).client(connectors[0], nil)
	if err != nil {
		return err
	}
	var speed status.Speed
	shown := newMeter(a, func(s stage) { a.log.Info(s.what, "done", shareText(s.done, s.total, s.left)) })
	done, err := replay.Run(ctx, replay.Config{
		Settings: settings, Connector: connectors[0], Kafka: connector.ClientOpts(kafka...),
		Registry: registry, Source: source, Version: version(), Log: a.log,
		Progress: func(done, total int64) {
			now := time.Now()
			if speed.Note(now, done); shown.due(now) {
				shown.show(stage{what: "sending dead letters again", done: done, total: total, left: speed.Left(total - done)})
			}
		},
	})
	shown.clear()
	if err != nil {
		return err
	}
	return a.printReplayed(connectors[0].Name, done, output)
}

// hasLetters tells whether a connector has a topic of dead letters; the error says that it has none.
func hasLetters(c *config.Connector) error {
	if slices.ContainsFunc(c.Objects, func(o config.Object) bool { return o.DLQTopic != "" }) {
		return nil
	}
	return usageError{fmt.Errorf("%s: there are no dead letters without errors.deadletterqueue.topic.name; give the topic that they are in, with errors.tolerance = all", c.File)}
}

func (a *app) printReplayed(name string, done []replay.Result, output string) error {
	failing := int64(0)
	t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "OBJECT\tREPLAYED\tOVERTAKEN\tFAILING\tREASON OF THE LAST")
	for _, r := range done {
		failing += r.Failing
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%s\n", r.Object, r.Replayed, r.Overtaken, r.Failing, r.Reason)
	}
	var err error
	if output == "json" {
		enc := json.NewEncoder(a.stdout)
		enc.SetIndent("", "  ")
		err = enc.Encode(done)
	} else if err = t.Flush(); err == nil {
		err = a.printSnapshots(name, done)
	}
	if err == nil && failing > 0 {
		err = errStillDead
	}
	return err
}

// printSnapshots prints the commands that publish the rows which only a worker can.
func (a *app) printSnapshots(name string, done []replay.Result) error {
	for _, r := range done {
		for ids := range slices.Chunk(r.Snapshot, status.MaxSnapshotIDs) {
			list := strings.Trim(strings.ReplaceAll(fmt.Sprint(ids), " ", ","), "[]")
			if _, err := fmt.Fprintf(a.stdout, "\n  coupastream snapshot start %s --object %s --ids %s\n", name, r.Object, list); err != nil {
				return err
			}
		}
	}
	return nil
}
