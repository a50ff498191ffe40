package connector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/configtopic"
	"github.com/coupastream/coupastream/connector/group"
	"github.com/coupastream/coupastream/connector/internal/chores"
	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/connector/logging"
	"github.com/coupastream/coupastream/connector/metrics"
	"github.com/coupastream/coupastream/connector/polls"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/shard"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/connector/stream"
	"github.com/coupastream/coupastream/connector/transport"
	"github.com/coupastream/coupastream/coupa"
)

// memoryBudget bounds the encoded records that wait for their commit, and the buffer of a row that is large
// while it is read, all shards together: a full transaction that is being committed, and the next one.
const memoryBudget = 8 << 20

// lookbackSlice is how many ledger entries a look-back holds in memory at a time.
const lookbackSlice = 20_000

// Config is what a Worker is made of.
type Config struct {
	Settings   *config.Worker
	Connectors []*config.Connector
	// Kafka reaches the brokers: seeds, TLS, SASL. Each client of the worker is made with these.
	Kafka    []kgo.Opt
	Registry record.Registry
	// Source makes the client of a connector's Coupa instance, which has large
	// rows counted. It is called once per connector.
	Source func(*config.Connector, *coupa.LargeRows) (stream.Source, error)
	Log    *slog.Logger
	// Version of this program, for the source of Debezium's envelopes and whoever reads the config topic.
	Version string
	// Env resolves references of connectors that come over REST; nil: none can be resolved.
	Env config.Lookup
	// Self is how other workers of the group reach this one's REST API; Local is set by the worker.
	Self status.Owner
	// LoggerLevel, if set, is called for each level that is set for the whole group while the worker runs.
	LoggerLevel func(logger, level string)
	// Webhooks sends notifications; nil: a client of the worker's own, which
	// keeps those of connectors over REST to the hosts of egress.allowed.hosts.
	Webhooks *http.Client
	// Traces gets a span a page and a span a transaction; nil: there are no traces.
	Traces trace.TracerProvider
	// Published, if set, is called for each record after its transaction
	// has been committed, in order per stream. It must not block.
	Published func(shard.Publication)
}

// Worker runs connectors: a poller per object, a shard per partition of the checkpoint
// topic that has any and that the group gives to this worker. Workers of one group.id
// share the shards. Connectors come from the worker's files, and each worker of the group
// is given the same; and from the config topic, which any worker changes and all follow
// (see herder.go). Run may be called once; everything else may be called at any time.
type Worker struct {
	settings *config.Worker
	cfg      Config
	log      *slog.Logger
	registry record.Registry
	memory   *shard.Memory
	large    *coupa.LargeRows // of memory
	slice    int              // see lookbackSlice
	polls    polls.Schedule
	turns    *chores.Turns
	metrics  *metrics.Set
	tracer   trace.Tracer
	cluster  atomic.Value // string
	changes  broadcast    // of what Connectors tells
	heard    group.Heard  // by its membership
	store    *configtopic.Store

	// Set by Run, before anything else starts.
	topics       *record.Topics
	checkpointID [16]byte
	partitions   int32          // of the checkpoint topic that are shards, see shardsOf
	shards       []*shard.Shard // by partition

	beside sync.WaitGroup // of what Run has started
	ready  atomic.Bool    // the config topic is read and the group is joined
	// A turn, of one: had by who changes which connectors there are and what runs of them, which waits for
	// pollers to stop. It is taken before any lock.
	applying *semaphore.Weighted
	// Turns, of two: had by who explains a row. What topics are read for it takes memory and the brokers'
	// time.
	explaining *semaphore.Weighted
	levels     map[string]configtopic.Level // of loggers, carried out; guarded by applying

	mu         sync.Mutex // guards what follows; that of a connector may be taken under it
	connectors map[string]*managed
	told       announcement
}

// New checks nothing outside and starts nothing. The error is that of
// Config.Source, or config.Problems of a connector together with the worker.
func New(cfg Config) (*Worker, error) {
	w := &Worker{
		settings: cfg.Settings, cfg: cfg, log: cfg.Log, registry: cfg.Registry,
		memory: shard.NewMemory(memoryBudget), slice: lookbackSlice, turns: chores.NewTurns(), applying: semaphore.NewWeighted(1), explaining: semaphore.NewWeighted(2), tracer: cfg.tracer(), connectors: map[string]*managed{},
	}
	w.large = coupa.NewLargeRows(w.memory.LargeRow())
	w.store = configtopic.New(configtopic.Config{
		Kafka: w.clientOpts(), Topic: cfg.Settings.ConfigTopic, GroupID: cfg.Settings.GroupID, Version: cfg.Version, Log: logging.Named(cfg.Log, "connector.configtopic"),
		Create: func(ctx context.Context, topic string, partitions int, configs map[string]*string) error {
			return w.topics.Create(ctx, topic, partitions, configs)
		},
	})
	for _, c := range cfg.Connectors {
		m := &managed{name: c.Name, file: true, raw: c.Raw, shown: c.Echo(), target: status.State(c.InitialState)}
		if err := w.makeTasks(m, c); err != nil {
			return nil, err
		}
		w.connectors[c.Name] = m
	}
	w.metrics = metrics.New(w.Connectors, cfg.Settings.MetricsPerObject, cfg.Version, shard.MaxBatchRecords)
	w.metrics.Registry.MustRegister(metrics.Certificates(transport.CertificateFiles(cfg.Settings)))
	return w, nil
}

// Metrics gathers the worker's metrics and those of the process.
func (w *Worker) Metrics() prometheus.Gatherer { return w.metrics.Registry }

// ClusterID is the Kafka cluster's id; "" until Run has reached it.
func (w *Worker) ClusterID() string {
	id, _ := w.cluster.Load().(string)
	return id
}

// Run works until ctx ends, which is a clean stop and gives nil: the batches in hand are committed
// or dropped whole. It gives an error when the worker can't start (brokers, rights, registry,
// Coupa's credentials), can't be a member of its group, or Kafka refuses a shard for good.
func (w *Worker) Run(ctx context.Context) error {
	admin, err := kgo.NewClient(append(w.clientOpts(), w.metrics.Kafka.Named("admin"))...)
	if err != nil {
		return fmt.Errorf("Kafka client: %w", err)
	}
	defer admin.Close()
	adm := kadm.NewClient(admin)
	partitions, err := w.connect(ctx, adm)
	if err != nil || ctx.Err() != nil {
		return ctxOr(ctx, err)
	}
	defer w.beside.Wait()
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	w.beside.Go(func() { stop(w.store.Run(running)) })
	if err := w.follow(running, partitions); err != nil {
		return ctxOr(ctx, errors.Join(context.Cause(running), err))
	}
	if err := w.preflight(ctx); err != nil {
		return ctxOr(ctx, err)
	}
	w.beside.Go(func() { w.holdTokens(running) })
	if w.registry != nil {
		w.beside.Go(func() { w.registry.Watch(running) })
	}
	w.beside.Go(func() { w.herd(running) })
	w.beside.Go(func() { w.observe(running) })
	w.beside.Go(func() { w.watchCheckpoint(running) })
	w.beside.Go(func() { w.countLetters(running, adm) })
	if ctx.Err() == nil && w.takesOver(ctx, adm) {
		w.waitForTokens(ctx)
	}
	if err := w.newMembership().Run(running); err != nil {
		return err
	}
	return ctxOr(ctx, context.Cause(running))
}

// takesOver tells whether shards that run on other workers would
// move here with the joining. A group that can't be asked has none.
func (w *Worker) takesOver(ctx context.Context, admin *kadm.Client) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	groups, err := admin.DescribeGroups(ctx, w.settings.GroupID)
	if err != nil {
		return false
	}
	members := groups[w.settings.GroupID].Members
	return len(members) > 0 && !slices.ContainsFunc(members, func(m kadm.DescribedGroupMember) bool {
		// this worker's own place is kept
		return m.InstanceID != nil && *m.InstanceID == w.settings.GroupInstanceID
	})
}

// waitForTokens waits until the connectors' tokens can be used, but not for
// ever for those that get none: shards that move are not to stand still for it.
func (w *Worker) waitForTokens(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, tokenPatience)
	defer cancel()
	var wg sync.WaitGroup
	for _, m := range w.all() {
		if m.state() == status.Running {
			wg.Go(func() { _ = m.source.Ready(ctx) }) // what fails is told when the shard is here
		}
	}
	wg.Wait()
}

// tokenPatience is how long a token is waited for, for shards that are to come.
const tokenPatience = 10 * time.Second

// tokenCheck is how often a token that nothing uses is looked
// after. Coupa's last a day and are renewed at 20 hours.
const tokenCheck = time.Hour

// holdTokens keeps the tokens of connectors alive whose shards
// run elsewhere, for the moment they come here; see preflight.
func (w *Worker) holdTokens(ctx context.Context) {
	for clock.Sleep(ctx, tokenCheck) {
		w.waitForTokens(ctx)
	}
}

func ctxOr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// startTimeout is how long a step of the start that asks the brokers may take.
const startTimeout = 20 * time.Second

// connect reaches the cluster and makes sure of the checkpoint topic.
func (w *Worker) connect(ctx context.Context, admin *kadm.Client) (partitions int32, err error) {
	w.topics = record.NewTopics(admin, w.settings)
	cluster, err := w.topics.Reach(ctx)
	if err != nil {
		return 0, err
	}
	w.cluster.Store(cluster)
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	w.checkpointID, partitions, err = w.topics.EnsureCheckpoint(ctx, w.settings.CheckpointTopic)
	if err == nil && int(partitions) != w.settings.CheckpointPartitions {
		w.log.Warn("the checkpoint topic was made with another number of partitions, which stays", "topic", w.settings.CheckpointTopic,
			"partitions", partitions, "checkpoint.topic.partitions", w.settings.CheckpointPartitions)
	}
	return partitions, err
}

// shardsOf is how many shards there are: as many as the checkpoint topic has partitions, or as it had when
// they were claimed first. A tenant belongs to one of so many; of another one its position would not be
// found, and all of its rows would go out again.
func (w *Worker) shardsOf(partitions int32, claimed map[int32]configtopic.Claim) int32 {
	for _, c := range claimed {
		if c.Cluster == w.ClusterID() && c.TopicID == w.checkpointID && 0 < c.Partitions && c.Partitions < partitions {
			partitions = c.Partitions
		}
	}
	return partitions
}

// preflightTime is how long a start waits for what is not Kafka. Who hangs, a token endpoint or the
// registry, holds up nobody else for longer: the streams go on from where the preflight was, each by itself.
const preflightTime = 3 * time.Second

// preflightAtOnce is how many streams are prepared at once. Most of them wait for the
// same: tenants that share topics share the requests that are made for these.
const preflightAtOnce = 256

// preflight prepares every stream, also those of shards that other workers own: topic,
// schemas, Coupa's token. Coupa's tokens can't be used in their first seconds, so a worker
// that takes over in time must hold them before. What fails here is FAILED from the start and
// tried again by itself; if nothing at all can start, not for a cause that passes by itself,
// and there is nothing but files to take connectors from, the worker says why, also to those
// who are notified of that, and ends.
func (w *Worker) preflight(run context.Context) error {
	ctx, cancel := context.WithTimeout(run, preflightTime)
	defer cancel()
	fromFiles := true
	var all []*prepared
	var tokens sync.WaitGroup
	for _, m := range w.all() {
		fromFiles = fromFiles && m.file
		if m.state() == status.Running {
			one := &prepared{managed: m, objects: make([]error, len(m.pollers))}
			all = append(all, one)
			tokens.Go(func() { _, one.token = m.source.Now(ctx) })
		}
	}
	var g errgroup.Group
	g.SetLimit(preflightAtOnce)
	for _, one := range all {
		for i, p := range one.pollers {
			g.Go(func() error {
				if one.objects[i] = ctx.Err(); ctx.Err() == nil {
					one.objects[i] = p.Preflight(ctx)
				}
				return nil
			})
		}
	}
	_ = g.Wait()
	tokens.Wait()
	var errs []error
	for _, one := range all {
		for _, err := range one.objects {
			if err == nil {
				err = one.token
			}
			if err == nil || status.IsTemporary(err) || !fromFiles {
				return nil
			}
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 {
		return nil
	}
	w.farewell(run, all)
	switch len(errs) {
	case 1:
		return errs[0]
	default:
		return fmt.Errorf("none of %d objects can start; the first: %w", len(errs), errs[0])
	}
}

// prepared is a connector in the preflight: why there is no token, and why objects can't start otherwise.
type prepared struct {
	*managed
	token   error
	objects []error
}

func (w *Worker) newMembership() *group.Membership {
	shards := make([]group.Shard, len(w.shards))
	for i, s := range w.shards {
		shards[i] = s
	}
	return group.New(group.Config{
		Settings: w.settings, Kafka: append(w.clientOpts(), w.metrics.Kafka.Named("member"), kgo.WithHooks(&w.heard)), Shards: shards,
		Announce: w.announce, Meter: w.metrics.Group, Heard: &w.heard, Log: w.log,
	})
}

// newShard makes the shard of a partition of the checkpoint topic.
func (w *Worker) newShard(partition int32) *shard.Shard {
	return shard.New(shard.Config{
		Settings: w.settings, Partition: partition, ClusterID: w.ClusterID(), TopicID: w.checkpointID,
		Partitions: w.partitions, Claims: claims{w.store}, WorkerID: w.cfg.Self.WorkerID,
		Kafka: w.clientOpts(), Client: w.metrics.Kafka.Named, BatchBytes: w.topics.BatchBytes,
		Tracer: w.tracer, Meter: w.metrics.NewMeter(partition), Published: w.cfg.Published, Log: w.log,
	})
}

// clientOpts are the options of every Kafka client of the worker.
func (w *Worker) clientOpts() []kgo.Opt { return ClientOpts(w.cfg.Kafka...) }

// ClientOpts are the options of a Kafka client that reaches the brokers by those given.
func ClientOpts(reach ...kgo.Opt) []kgo.Opt {
	opts := []kgo.Opt{
		kgo.ClientID("coupastream"),
		kgo.DisableClientMetrics(),
		// The default of 5 s stalls a transaction for as long when the
		// broker answers CONCURRENT_TRANSACTIONS or a topic was just made.
		kgo.MetadataMinAge(50 * time.Millisecond),
	}
	return append(opts, reach...)
}
