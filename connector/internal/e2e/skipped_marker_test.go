//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/metrics"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/shard"
	"github.com/coupastream/coupastream/connector/status"
)

// A partition has no leader when a transaction of a running shard ends, and no marker is written there
// (KAFKA-20734). The next transaction, which wants to write there at once, ends in the other way.
func TestAShardGoesOnBehindAMarkerThatWasSkipped(t *testing.T) {
	if testing.Short() || os.Getenv("E2E_BOOTSTRAP") != "" {
		t.Skip("stops a broker of two of its own")
	}
	blind := kversion.Stable()
	blind.SetMaxKeyVersion(int16(kmsg.DescribeProducers), -1)
	for name, opts := range map[string][]kgo.Opt{"asking": nil, "without the right to READ": {kgo.MaxVersions(blind)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			goesOnBehindASkippedMarker(t, opts...)
		})
	}
}

func goesOnBehindASkippedMarker(t *testing.T, opts ...kgo.Opt) {
	p := &parts{dir: workDir(t), rigDir: filepath.Join(t.TempDir(), "rig")}
	port := freePort(t)
	p.bootstrap = fmt.Sprintf("127.0.0.1:%d", port)
	p.rigPorts = []string{fmt.Sprintf("KAFKA_PORT=%d", port), fmt.Sprintf("SECOND_PORT=%d", freePort(t))}
	rig := func(verb string) {
		if err := p.rig(verb); err != nil {
			t.Errorf("kafka.sh %s: %v", verb, err)
		}
	}
	rig("install")
	t.Cleanup(func() { rig("down") })
	rig("start-broker")
	adm := p.admin(t)
	f := newHandShard(t, p.bootstrap, adm, opts...)
	if err := <-f.submit("invoices"); err != nil {
		t.Fatal(err)
	}
	rig("start-second") // all but the data is on the first one
	f.create(2)
	leader := func() int32 {
		all, err := adm.ListTopics(t.Context(), f.topic)
		if err != nil || all[f.topic].Err != nil {
			return -2
		}
		return all[f.topic].Partitions[0].Leader
	}
	led := func(by int32) {
		t.Helper()
		err := await(t.Context(), fmt.Sprintf("leader %d", by), time.Minute, func() error {
			if l := leader(); l != by {
				return fmt.Errorf("it is %d", l)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	led(2)
	f.mustCommit("first", f.record("first"))
	// away takes the leader away between the records of the next transaction and its end.
	away := func() (back chan struct{}) {
		back = make(chan struct{})
		f.written.Store(&sync.Once{})
		f.then = func() {
			rig("stop-second")
			led(-1)
			go func() {
				defer close(back)
				err := await(t.Context(), "the coordinator to skip the marker", time.Minute, func() error {
					all, err := adm.DescribeTransactions(t.Context())
					for id, d := range all {
						if !strings.HasPrefix(d.State, "Complete") && d.State != "Empty" {
							return fmt.Errorf("%s is %s", id, d.State)
						}
					}
					return err
				})
				if err != nil {
					t.Error(err)
				}
				rig("start-second")
			}()
		}
		return back
	}
	back := away()
	f.mustCommit("committed without a leader", f.record("kept"))
	f.mustAbort("dropped with it")
	f.mustCommit("behind an abort", f.record("behind"))
	<-back
	led(2)
	back = away()
	f.mustAbort("aborted without a leader")
	f.mustCommit("behind an abort without a leader", f.record("last"))
	<-back
	want := []string{"first", "kept", "behind", "last"}
	if got := f.read(p.bootstrap, "last"); !slices.Equal(got, want) {
		t.Errorf("committed are %q, want %q; the shard's log:\n%s", got, want, f.log.String())
	}
	t.Logf("the shard's log:\n%s", f.log.String())
}

// handShard is a shard that is fed by hand.
type handShard struct {
	t       *testing.T
	shard   *shard.Shard
	topic   string
	tenant  string
	log     lockedLog
	feeds   map[string]*handFeed
	written atomic.Pointer[sync.Once] // of the next record that is written: calls then
	then    func()
}

// handFeed hands one submission after the other to the shard.
type handFeed struct {
	f      *handShard
	stream checkpoint.Stream
	task   *status.Task
	in     chan *shard.Submission
}

func (h *handFeed) Stream() checkpoint.Stream { return h.stream }
func (h *handFeed) Task() *status.Task        { return h.task }

// Run implements shard.Poller.
func (h *handFeed) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case sub := <-h.in:
			h.f.shard.StartReading()
			select {
			case h.f.shard.Submissions() <- sub:
			case <-ctx.Done():
				go func() { h.in <- sub }()
			}
			h.f.shard.StopReading()
		}
	}
}

// OnProduceRecordUnbuffered implements kgo.HookProduceRecordUnbuffered.
func (f *handShard) OnProduceRecordUnbuffered(r *kgo.Record, err error) {
	if once := f.written.Load(); once != nil && err == nil && r.Topic == f.topic {
		once.Do(func() { f.written.Store(nil); f.then() })
	}
}

// noClaims has none and keeps none.
type noClaims struct{}

func (noClaims) Claimed(int32) (shard.Claim, bool) { return shard.Claim{}, false }
func (noClaims) Latest(context.Context, int32) (shard.Claim, bool, error) {
	return shard.Claim{}, false, nil
}
func (noClaims) Claim(context.Context, int32, shard.Claim) error { return nil }

func newHandShard(t *testing.T, bootstrap string, adm *kadm.Client, opts ...kgo.Opt) *handShard {
	f := &handShard{t: t, tenant: "acme", topic: "data", feeds: map[string]*handFeed{}}
	settings, err := config.ParseWorker(map[string]string{
		"bootstrap.servers": bootstrap, "schema.registry.url": "http://127.0.0.1:1", "group.id": "hand", "state.dir": t.TempDir(),
		"checkpoint.topic.partitions": "1", "topic.creation.default.replication.factor": "1",
	}, func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	topics := record.NewTopics(adm, settings)
	cluster, err := topics.Reach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	id, _, err := topics.EnsureCheckpoint(t.Context(), settings.CheckpointTopic)
	if err != nil {
		t.Fatal(err)
	}
	told := metrics.New(func() []status.ConnectorStatus { return nil }, config.PerObjectAuto, "v-test", shard.MaxBatchRecords)
	f.shard = shard.New(shard.Config{
		Settings: settings, ClusterID: cluster, TopicID: id,
		Kafka:  append(opts, kgo.SeedBrokers(bootstrap), kgo.MetadataMinAge(50*time.Millisecond), kgo.WithHooks(f)),
		Client: told.Kafka.Named, BatchBytes: func(string) int32 { return 1 << 20 }, Partitions: 1, Claims: noClaims{},
		Tracer: noop.NewTracerProvider().Tracer(""), Meter: told.NewMeter(0), Log: slog.New(slog.NewTextHandler(&f.log, nil)),
	})
	var pollers []shard.Poller
	for _, object := range []string{"invoices", "spoilt"} {
		h := &handFeed{
			f: f, stream: checkpoint.Stream{Tenant: f.tenant, Object: object}, in: make(chan *shard.Submission, 1),
			task: status.NewTask(0, &config.Object{Path: object}, status.Running, nil, func() {}),
		}
		f.feeds[object], pollers = h, append(pollers, h)
	}
	f.shard.Attach(pollers, true)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.shard.Run(ctx, func(context.Context) error { return nil }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the shard ended: %v", err)
		}
	})
	return f
}

// create makes the topic of data, on a broker.
func (f *handShard) create(broker int32) {
	f.t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	topic, placed := kmsg.NewCreateTopicsRequestTopic(), kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
	placed.Replicas = []int32{broker}
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor, topic.ReplicaAssignment = f.topic, -1, -1, append(topic.ReplicaAssignment, placed)
	req.Topics = append(req.Topics, topic)
	cl, err := kgo.NewClient(kgo.SeedBrokers(f.shard.Settings.BootstrapServers...))
	if err != nil {
		f.t.Fatal(err)
	}
	defer cl.Close()
	err = await(f.t.Context(), "a topic on broker 2", time.Minute, func() error {
		resp, err := req.RequestWith(f.t.Context(), cl)
		if err == nil && resp.Topics[0].ErrorCode != 0 {
			err = errors.New(*resp.Topics[0].ErrorMessage)
		}
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *handShard) record(value string) *kgo.Record {
	return &kgo.Record{Topic: f.topic, Key: []byte("key"), Value: []byte(value)}
}

// submit hands records over, and gives what became of them.
func (f *handShard) submit(object string, records ...*kgo.Record) chan error {
	done := make(chan error, 1)
	h, now := f.feeds[object], time.Now().UTC().Truncate(time.Second)
	sub := &shard.Submission{
		Stream: h.stream, Task: h.task, Records: records, Rows: make([]record.Version, len(records)), Keep: time.Hour, Dead: new(atomic.Bool),
		Move: func(p *checkpoint.Position) { p.Mark = now }, Done: func(err error) { done <- err },
	}
	h.in <- sub
	return done
}

// mustCommit hands a record over until it is committed, as a poller does that reads again.
func (f *handShard) mustCommit(what string, r *kgo.Record) {
	f.t.Helper()
	for began := time.Now(); ; {
		err := <-f.submit("invoices", &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value})
		if err == nil {
			return
		}
		if time.Since(began) > 2*time.Minute || !errors.Is(err, shard.ErrReleased) {
			f.t.Fatalf("%s: %v\n%s", what, err, f.log.String())
		}
	}
}

// mustAbort hands a record over beside one that no topic takes.
func (f *handShard) mustAbort(value string) {
	f.t.Helper()
	for {
		err := <-f.submit("spoilt", f.record(value), &kgo.Record{Topic: f.topic, Key: []byte("spoilt"), Value: make([]byte, 2<<20)})
		if err == nil {
			f.t.Fatal("a record that is too large was committed")
		}
		if !errors.Is(err, shard.ErrReleased) {
			return
		}
	}
}

// read gives what is committed, up to a value.
func (f *handShard) read(bootstrap, last string) (values []string) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.ConsumeTopics(f.topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		f.t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(f.t.Context(), 30*time.Second)
	defer cancel()
	for ctx.Err() == nil && !slices.Contains(values, last) {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	return values
}

// lockedLog is written by several goroutines.
type lockedLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lockedLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
