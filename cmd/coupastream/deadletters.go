package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/coupastream/coupastream/connector"
	"github.com/coupastream/coupastream/connector/replay"
	"github.com/coupastream/coupastream/connector/transport"
)

func newDeadLettersCommand(a *app) *cobra.Command {
	r, worker, most := &remote{app: a}, "", 0
	cmd := &cobra.Command{
		Use:   "deadletters CONNECTOR --worker WORKER",
		Short: "List the dead letters that wait, and why each could not go",
		Long: `List the dead letters of a connector that no replay has passed, those written last: of which row each is, where it stands, and why it could not go. No value of a row is shown.

It reads the topics of dead letters, and changes nothing.`,
		Example: "  coupastream deadletters acme.yaml --worker worker.yaml\n" +
			"  coupastream deadletters acme.yaml --worker worker.yaml -o json | jq -r '.letters[].reason' | sort | uniq -c",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.deadLetters(cmd.Context(), args[0], worker, most)
		},
	}
	f := cmd.Flags()
	f.StringVar(&worker, "worker", "", "worker file, for the brokers")
	f.IntVarP(&most, "letters", "n", 100, "most letters to list")
	f.StringVarP(&r.output, "output", "o", "text", "form of the result: text or json")
	return cmd
}

func (r *remote) deadLetters(ctx context.Context, connectorFile, workerFile string, most int) error {
	if workerFile == "" {
		return usageError{errors.New("--worker is missing; give the worker file that names the brokers")}
	}
	if r.output != "text" && r.output != "json" {
		return usageError{fmt.Errorf("--output %q is not a form; give text or json", r.output)}
	}
	if most < 1 {
		return usageError{fmt.Errorf("--letters %d is none; give 1 or more", most)}
	}
	settings, connectors, err := r.load(workerFile, []string{connectorFile})
	if err != nil {
		return err
	}
	if err := hasLetters(connectors[0]); err != nil {
		return err
	}
	kafka, err := transport.Kafka(ctx, settings, r.log)
	if err != nil {
		return err
	}
	last, all, err := replay.List(ctx, settings.GroupID, connectors[0], connector.ClientOpts(kafka...), most)
	if err != nil {
		return err
	}
	return r.print(struct {
		Letters []replay.Waiting `json:"letters"`
		All     int              `json:"all"`
	}{append([]replay.Waiting{}, last...), all}, func(w io.Writer) {
		fmt.Fprintln(w, "OBJECT\tID\tUPDATED AT\tWRITTEN\tTOPIC\tPLACE\tSTAGE\tREASON")
		for _, l := range last {
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%d/%d\t%s\t%s\n", l.Object, l.ID, orDash(l.UpdatedAt), instantText(&l.Written), l.Topic, l.Partition, l.Offset, l.Stage, l.Reason)
		}
		if all > len(last) {
			fmt.Fprintf(w, "%d more were written before\n", all-len(last))
		}
	})
}
