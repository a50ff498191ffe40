package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"

	"github.com/coupastream/coupastream/cmd/coupastream/internal/client"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/metrics"
)

func (r *remote) connectorsApply() *cobra.Command {
	cmd := r.connectorsFrom("apply", "Make connectors, or give them another configuration where it differs", r.apply)
	k := &keeper{remote: r}
	cmd.Use = "apply {-f FILE | --watch FOLDER}"
	cmd.Long = `Make connectors, or give them another configuration where it differs.

With --watch that is done again and again, until it is ended, with all connector files of a folder, such as a ConfigMap that is mounted: files that are new or have changed are
applied, and what was changed or deleted over REST is put back. A file that can't be applied holds up no other, and is tried again, as everything is while no worker answers. States
(PAUSED, STOPPED) are left alone. A connector whose file is removed goes on as it is: coupastream connectors delete ends it. Hidden files, and those that are no YAML, JSON or
.properties, are passed over.

The log says what became of each file, once until that changes. The exit status at the end, by SIGTERM or Ctrl-C, is that of the last time that all files were gone through.`
	cmd.Example += "\n  coupastream connectors apply --watch /etc/coupastream/connectors --metrics 127.0.0.1:9405"
	once := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if k.folder == "" {
			return once(cmd, args)
		}
		return k.run(cmd.Context())
	}
	f := cmd.Flags()
	f.StringVar(&k.folder, "watch", "", "folder of connector files to keep applied")
	f.DurationVar(&k.every, "interval", 10*time.Second, "how often --watch looks")
	f.StringVar(&k.address, "metrics", "", "host:port at which --watch answers /metrics, to whoever asks; none: nowhere")
	cmd.MarkFlagsMutuallyExclusive("file", "watch")
	return cmd
}

// keeper keeps a folder's connector files applied.
type keeper struct {
	*remote
	folder  string
	every   time.Duration
	address string

	metrics *metrics.Applied
	known   map[string]kept // by file, those of the last round
}

// kept is a file as it was found last.
type kept struct {
	connector string // as it said when it could be read; "": it never could
	trouble   string // why it is not applied; "": it is
}

// outcome is what came of a file in a round.
type outcome struct {
	file, connector string // connector is "" where the file does not say
	result          string
	err             error
}

var errNoRound = errors.New("ended before all files were gone through once")

// run goes on until ctx ends. Its error is that of the last round.
func (k *keeper) run(ctx context.Context) error {
	if k.every <= 0 {
		return usageError{fmt.Errorf("--interval %s is no time to wait; give e.g. 10s", k.every)}
	}
	if _, err := k.client(); err != nil {
		return err
	}
	k.metrics = metrics.NewApplied()
	stop, err := k.serve()
	if err != nil {
		return err
	}
	defer stop()
	last := errNoRound
	for {
		if all := k.round(ctx); ctx.Err() == nil {
			last = k.note(all)
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(k.every):
		}
	}
}

// serve answers /metrics where that is asked for, until stop is called.
func (k *keeper) serve() (stop func(), err error) {
	if k.address == "" {
		return func() {}, nil
	}
	l, err := net.Listen("tcp", k.address)
	if err != nil {
		return nil, usageError{fmt.Errorf("--metrics %s: %w; give a free host:port", k.address, err)}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(k.metrics.Registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	s := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10}
	go func() { _ = s.Serve(l) }() // ends with the listener
	k.log.Info("metrics are answered", "url", "http://"+l.Addr().String()+"/metrics")
	return func() { _ = s.Close() }, nil
}

// round goes through the files once. What it tells counts if ctx has not ended.
func (k *keeper) round(ctx context.Context) (all []outcome) {
	files, err := k.files()
	var c *client.Client
	if err == nil {
		c, err = k.client() // anew: passwords, tokens and certificates may have been renewed
	}
	if err == nil {
		defer c.Close()
	}
	fileOf := map[string]string{} // by connector
	for _, file := range files {
		o := outcome{file: file, err: err}
		if err == nil {
			o.connector, o.result, o.err = k.applyFile(ctx, c, file, fileOf)
		}
		all = append(all, o)
	}
	return all
}

// files are the connector files of the folder; where it can't be read, those that were in it.
func (k *keeper) files() (all []string, err error) {
	entries, err := os.ReadDir(k.folder)
	if err != nil {
		all = slices.Sorted(maps.Keys(k.known))
		if len(all) == 0 {
			all = []string{"."} // the trouble is one all the same
		}
		return all, config.Problems{{File: k.folder, Message: err.Error(), Remedy: "check the folder's path and rights"}}
	}
	for _, e := range entries {
		if name := e.Name(); isFile(name) && !strings.HasPrefix(name, ".") {
			all = append(all, name)
		}
	}
	return all, nil
}

// applyFile applies one file, unless one before it has the same connector.
func (k *keeper) applyFile(ctx context.Context, c *client.Client, file string, fileOf map[string]string) (connector, result string, err error) {
	path := filepath.Join(k.folder, file)
	raw, err := config.ReadConnector(path)
	if err != nil {
		return "", "", err
	}
	connector = raw["name"]
	if other, taken := fileOf[connector]; taken {
		return connector, "", config.Problems{{File: path, Key: "name", Value: connector, Message: other + " is of this connector too, and counts", Remedy: "give one of them another name, or remove it"}}
	}
	fileOf[connector] = file
	result, err = k.apply(ctx, c, connector, raw)
	return connector, result, err
}

// note takes in a round: it tells what is new, keeps what the next round is compared with, and gives the
// error of all files that are not applied. One trouble of many files, as a worker that is away, is told once.
func (k *keeper) note(all []outcome) error {
	before, now, connectors := k.known, map[string]kept{}, map[string]bool{}
	var troubles []error // no two that read the same
	files, fresh := map[string][]string{}, map[string][]string{}
	for _, o := range all {
		was, seen := before[o.file]
		is := kept{connector: cmp.Or(o.connector, was.connector)}
		if o.err != nil {
			is.trouble, o.result = o.err.Error(), "failed"
		}
		if seen && was.connector != is.connector {
			k.metrics.Forget(o.file, was.connector)
		}
		k.metrics.Note(o.file, is.connector, o.result, o.err != nil)
		now[o.file], connectors[is.connector] = is, true
		switch {
		case o.err != nil:
			if files[is.trouble] == nil {
				troubles = append(troubles, o.err)
			}
			files[is.trouble] = append(files[is.trouble], o.file)
			if is.trouble != was.trouble {
				fresh[is.trouble] = append(fresh[is.trouble], o.file)
			}
		case o.result != "unchanged" || !seen || was.trouble != "":
			k.log.Info("the connector is as its file says", "connector", is.connector, "file", o.file, "result", o.result)
		}
	}
	k.known = now
	for file, was := range before {
		if _, there := now[file]; !there {
			k.metrics.Forget(file, was.connector)
		}
		if was.connector != "" && !connectors[was.connector] {
			k.log.Warn("no file has the connector any more; it goes on as it is, and coupastream connectors delete ends it", "connector", was.connector, "file", file)
		}
	}
	for i, err := range troubles {
		text := err.Error()
		if names := fresh[text]; names != nil {
			k.log.Warn("not applied; it is tried again", "files", strings.Join(names, " "), "error", text)
		}
		var problems config.Problems // they name their files themselves
		if !errors.As(err, &problems) {
			troubles[i] = fmt.Errorf("%s: %w", strings.Join(files[text], ", "), err)
		}
	}
	return errors.Join(troubles...)
}
