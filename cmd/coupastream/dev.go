package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/coupastream/coupastream/cmd/coupastream/internal/embedded"
	"github.com/coupastream/coupastream/connector"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/stream"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/coupa/coupatest"
	"github.com/coupastream/coupastream/schemas"
)

// devSettings are the flags of `dev`.
type devSettings struct {
	rows         int
	changes      float64
	seed         uint64
	kafkaPort    int
	registryPort int
	restPort     int
	coupaPort    int
	quiet, json  bool
	format       string
}

// devTokenHold shortens the five seconds that a fresh token rests,
// on both sides: the simulated tenant keeps to what it says.
const devTokenHold = 500 * time.Millisecond

func newDevCommand(a *app) *cobra.Command {
	var s devSettings
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Everything in one process: a simulated Coupa that keeps changing, Kafka, a Schema Registry, a worker",
		Long: `Run a simulated Coupa tenant that keeps changing, Kafka, a Schema Registry and a worker in one process. Nothing else has to be installed and nothing is left behind.

It prints the addresses, then a line per published change, with the first fields of its record. Any Kafka client can read the topics at the address printed; Ctrl-C ends it.

The worker can be given more connectors over REST. Those for the simulated tenant need its secret by reference: start it with COUPA_CLIENT_SECRET=dev.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.dev(cmd.Context(), s) },
	}
	f := cmd.Flags()
	f.IntVar(&s.rows, "rows", 100, "rows of each object that are there at the start")
	f.Float64Var(&s.changes, "changes-per-second", 2, "how fast the simulated tenant changes")
	f.Uint64Var(&s.seed, "seed", 1, "seed of the simulated tenant")
	f.IntVar(&s.kafkaPort, "kafka-port", 9092, "port of the embedded Kafka; any free one if it is taken")
	f.IntVar(&s.registryPort, "registry-port", 8081, "port of the embedded Schema Registry; any free one if it is taken")
	f.IntVar(&s.restPort, "rest-port", 8083, "port of the worker's REST API; any free one if it is taken")
	f.IntVar(&s.coupaPort, "coupa-port", 8090, "port of the simulated Coupa; any free one if it is taken")
	f.BoolVar(&s.quiet, "quiet", false, "only the running count, no line per change")
	f.BoolVar(&s.json, "json", false, "each change as JSON on a line, with its whole record")
	f.StringVar(&s.format, "value-format", "avro", "value.format of the topics: avro, json or jsonschema; every client can show json")
	cmd.MarkFlagsMutuallyExclusive("quiet", "json")
	_ = cmd.RegisterFlagCompletionFunc("value-format", cobra.FixedCompletions([]string{"avro", "json", "jsonschema"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (a *app) dev(ctx context.Context, s devSettings) error {
	tenant := coupatest.New(coupatest.Config{
		Seed: s.seed, Rows: s.rows, ChangesPerSecond: s.changes, TokenHold: devTokenHold, ClientID: "dev", ClientSecret: "dev",
	})
	coupaURL, stopCoupa, err := embedded.Serve(s.coupaPort, tenant)
	if err != nil {
		return err
	}
	defer stopCoupa()
	kafka, stopKafka, err := embedded.Kafka(s.kafkaPort)
	if err != nil {
		return err
	}
	defer stopKafka()
	registry, stopRegistry, err := embedded.Registry(s.registryPort)
	if err != nil {
		return err
	}
	defer stopRegistry()
	state, err := os.MkdirTemp("", "coupastream-dev-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(state) }()

	settings, connectors, err := devConfig(kafka, registry, listener(s.restPort), state, coupaURL, s.format)
	if err != nil {
		return err
	}
	known, err := openRegistry(settings, a.log)
	if err != nil {
		return err
	}
	out := &devPrinter{w: a.stdout, quiet: s.quiet, json: s.json, values: devValues{ctx: context.WithoutCancel(ctx), format: s.format, registry: known, readers: map[int]*schemas.Reader{}}}
	api, err := a.listen(settings)
	if err != nil {
		return err
	}
	w, err := a.newWorker(ctx, settings, connectors, func(c *connector.Config) {
		c.Published, c.Source = out.published, devSource
		c.Self, c.Env = api.self, a.env
	})
	if err != nil {
		return err
	}
	if !s.json {
		out.addresses(kafka, registry, api.urls[0], coupaURL, s)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return api.serve(ctx, w) })
	g.Go(func() error { return w.Run(ctx) })
	g.Go(func() error { return tenant.Run(ctx) })
	if !s.json {
		g.Go(func() error { return out.count(ctx) })
	}
	err = g.Wait()
	if !s.json {
		out.total()
	}
	return err
}

// listener is the worker's listener on the port, or on any free one if it is taken.
func listener(port int) string {
	if !embedded.Free(port) {
		port = 0
	}
	return fmt.Sprintf("http://127.0.0.1:%d", port)
}

// devConfig is the configuration of the embedded worker, through the same door as anybody's files.
func devConfig(kafka, registry, listener, state, coupaURL, format string) (*config.Worker, []*config.Connector, error) {
	none := func(string) (string, bool) { return "", false }
	settings, err := config.ParseWorker(map[string]string{
		"bootstrap.servers": kafka, "schema.registry.url": registry, "group.id": "coupastream-dev", "state.dir": state,
		"listeners": listener, "hooks.enabled": "true",
	}, none)
	if err != nil {
		return nil, nil, err
	}
	c, err := config.ParseConnector(map[string]string{
		"name": "dev", "tenant": "dev", "coupa.url": coupaURL, "coupa.client.id": "dev", "coupa.client.secret": "dev",
		"poll.interval.ms": "1000", "settle.ms": "1000", "overlap.ms": "20000", "value.format": format,
	}, none)
	if err != nil {
		return nil, nil, err
	}
	return settings, []*config.Connector{c}, nil
}

func devSource(c *config.Connector, large *coupa.LargeRows) (stream.Source, error) {
	cfg := c.Coupa()
	cfg.Limiter, cfg.UserAgent, cfg.TokenHold, cfg.LargeRows = c.Limiter(), userAgent(), devTokenHold, large
	return coupa.New(cfg)
}
