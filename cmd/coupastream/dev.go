package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/coupastream/coupastream/cmd/coupastream/internal/embedded"
	"github.com/coupastream/coupastream/connector"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/shard"
	"github.com/coupastream/coupastream/connector/stream"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/coupa/coupatest"
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
	quiet        bool
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

It prints the addresses, then a line per published change. Any Kafka client can read the topics at the address printed; Ctrl-C ends it.

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

	settings, connectors, err := devConfig(kafka, registry, listener(s.restPort), state, coupaURL)
	if err != nil {
		return err
	}
	out := &devPrinter{w: a.stdout, quiet: s.quiet}
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
	out.addresses(kafka, registry, api.urls[0], coupaURL)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return api.serve(ctx, w) })
	g.Go(func() error { return w.Run(ctx) })
	g.Go(func() error { return tenant.Run(ctx) })
	g.Go(func() error { return out.count(ctx) })
	err = g.Wait()
	out.total()
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
func devConfig(kafka, registry, listener, state, coupaURL string) (*config.Worker, []*config.Connector, error) {
	none := func(string) (string, bool) { return "", false }
	settings, err := config.ParseWorker(map[string]string{
		"bootstrap.servers": kafka, "schema.registry.url": registry, "group.id": "coupastream-dev", "state.dir": state,
		"listeners": listener,
	}, none)
	if err != nil {
		return nil, nil, err
	}
	c, err := config.ParseConnector(map[string]string{
		"name": "dev", "tenant": "dev", "coupa.url": coupaURL, "coupa.client.id": "dev", "coupa.client.secret": "dev",
		"poll.interval.ms": "1000", "settle.ms": "1000", "overlap.ms": "20000",
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

// devPrinter writes what happens for a person to read.
type devPrinter struct {
	mu    sync.Mutex
	w     io.Writer
	quiet bool
	n     int64
	bytes int64
	said  int64
}

func (p *devPrinter) addresses(kafka, registry, rest, coupaURL string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.w, `Kafka            %[1]s
Schema Registry  %[2]s
REST             %[3]s/connectors/dev/status
Status page      %[3]s/ui/
Coupa            %[4]s   (simulated; client id and secret: dev)

  kcat -b %[1]s -t coupa.invoices -s value=avro -r %[2]s -X isolation.level=read_committed

`, kafka, registry, rest, coupaURL)
}

func (p *devPrinter) published(r shard.Publication) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n++
	p.bytes += int64(r.Bytes)
	if !p.quiet {
		fmt.Fprintf(p.w, "%8d  %-8s  %-24s id %-8d %s  → %d/%d\n", p.n, r.Op, r.Topic, r.ID, r.UpdatedAt, r.Partition, r.Offset)
	}
}

// count prints the running count every few seconds while it grows.
func (p *devPrinter) count(ctx context.Context) error {
	const every = 5 * time.Second
	for t := time.NewTicker(every); ; {
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
			p.mu.Lock()
			if p.n > p.said {
				fmt.Fprintf(p.w, "--- %d changes published, %.1f a second, %.1f MB of Avro\n", p.n, float64(p.n-p.said)/every.Seconds(), float64(p.bytes)/1e6)
				p.said = p.n
			}
			p.mu.Unlock()
		}
	}
}

func (p *devPrinter) total() {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.w, "--- stopped after %d changes\n", p.n)
}
