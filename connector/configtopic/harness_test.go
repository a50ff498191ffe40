package configtopic

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector/internal/lossy"
)

const topicName = "group-configs"

// harness is an in-process Kafka in one synctest bubble, and stores of workers that share its config topic.
type harness struct {
	t       *testing.T
	cluster *kfake.Cluster
	network *kfake.VirtualNetwork
	log     *logBuffer
	stores  []*running
}

// running is one worker's store, with a network of its own to the brokers.
type running struct {
	*Store
	net    *lossy.Net
	cancel context.CancelFunc
	done   chan error
}

func simulate(t *testing.T, f func(*harness)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &harness{t: t, network: &kfake.VirtualNetwork{}, log: &logBuffer{}}
		var err error
		h.cluster, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(h.network.Listen), kfake.SleepOutOfOrder())
		if err != nil {
			t.Fatal(err)
		}
		defer h.cluster.Close()
		defer func() {
			for len(h.stores) > 0 {
				h.stop(h.stores[0])
			}
			if t.Failed() {
				t.Log(h.log.String())
			}
		}()
		f(h)
	})
}

// make gives a store that does not run yet.
func (h *harness) make() *running {
	h.t.Helper()
	network := &lossy.Net{Dial: h.network.DialContext}
	kafka := []kgo.Opt{kgo.SeedBrokers("127.0.0.1:9092"), kgo.Dialer(network.DialContext)}
	return &running{net: network, done: make(chan error, 1), Store: New(Config{
		Kafka: kafka, Topic: topicName, GroupID: "group", Log: slog.New(slog.NewTextHandler(h.log, nil)),
		Create: func(ctx context.Context, topic string, partitions int, configs map[string]*string) error {
			cl, err := kgo.NewClient(kafka...)
			if err != nil {
				return err
			}
			defer cl.Close()
			_, err = kadm.NewClient(cl).CreateTopic(ctx, int32(partitions), 1, configs, topic)
			if errors.Is(err, kerr.TopicAlreadyExists) {
				return nil
			}
			return err
		},
	})}
}

func (h *harness) run(r *running) *running {
	ctx, cancel := context.WithCancel(h.t.Context())
	r.cancel = cancel
	h.stores = append(h.stores, r)
	go func() { r.done <- r.Run(ctx) }()
	return r
}

// store gives a store that has read the topic.
func (h *harness) store() *running {
	h.t.Helper()
	r := h.run(h.make())
	if err := r.WaitFor(h.ctx(time.Minute), -1); err != nil {
		h.t.Fatal(err)
	}
	if err := r.Ready(); err != nil {
		h.t.Fatal(err)
	}
	return r
}

func (h *harness) stop(r *running) {
	h.t.Helper()
	r.cancel()
	if err := <-r.done; err != nil {
		h.t.Errorf("a clean stop gave an error: %v", err)
	}
	h.stores = slices.DeleteFunc(h.stores, func(o *running) bool { return o == r })
}

// ctx ends after d, or with the test.
func (h *harness) ctx(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(h.t.Context(), d)
	h.t.Cleanup(cancel)
	return ctx
}

// client is one of no store.
func (h *harness) client(opts ...kgo.Opt) *kgo.Client {
	h.t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers("127.0.0.1:9092"), kgo.Dialer(h.network.DialContext), kgo.RecordPartitioner(kgo.ManualPartitioner())}, opts...)...)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(cl.Close)
	return cl
}

// retain makes the topic, which keeps for so long what removes keys.
func (h *harness) retain(kept time.Duration) {
	h.t.Helper()
	compact, ms := "compact", strconv.FormatInt(kept.Milliseconds(), 10)
	configs := map[string]*string{"cleanup.policy": &compact, "delete.retention.ms": &ms}
	if _, err := kadm.NewClient(h.client()).CreateTopic(h.t.Context(), 1, 1, configs, topicName); err != nil {
		h.t.Fatal(err)
	}
}

// write puts a record into the topic as somebody else would.
func (h *harness) write(key, value string) int64 {
	h.t.Helper()
	r := &kgo.Record{Topic: topicName, Key: []byte(key), Value: []byte(value)}
	if value == "" {
		r.Value = nil
	}
	if err := h.client().ProduceSync(h.t.Context(), r).FirstErr(); err != nil {
		h.t.Fatal(err)
	}
	return r.Offset
}

// records gives what a read_committed consumer finds in the topic, up to its end.
func (h *harness) records() []*kgo.Record {
	h.t.Helper()
	cl := h.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topicName: {0: kgo.NewOffset().AtStart()}}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	ends, err := kadm.NewClient(cl).ListCommittedOffsets(h.t.Context(), topicName)
	if err != nil {
		h.t.Fatal(err)
	}
	end, _ := ends.Lookup(topicName, 0)
	var all []*kgo.Record
	for next := int64(0); next < end.Offset; {
		fetches := cl.PollFetches(h.t.Context())
		if err := fetches.Err(); err != nil {
			h.t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			next = r.Offset + 1
			if !r.Attrs.IsControl() {
				all = append(all, r)
			}
		})
	}
	return all
}

var errExists = errors.New("it exists already")

// create makes a connector unless there is one of its name.
func (r *running) create(ctx context.Context, name string, properties map[string]string) (int64, error) {
	return r.Update(ctx, func(v View) ([]Change, error) {
		if _, ok := v.Connectors[name]; ok {
			return nil, errExists
		}
		return []Change{PutState(name, Target{State: Started}), PutConnector(name, properties)}, nil
	})
}

func (h *harness) must(_ int64, err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
