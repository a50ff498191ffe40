package shard

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/internal/txn"
	"github.com/coupastream/coupastream/connector/metrics"
	"github.com/coupastream/coupastream/connector/status"
)

func TestBoundsShrinkToWhatKafkaTakesAndGrowBack(t *testing.T) {
	b := fullBounds()
	if b.note(txn.Timeout/2, 4000, maxBatchBytes) || b != fullBounds() {
		t.Errorf("half of the time-out: %+v", b)
	}
	if !b.note(txn.Timeout, 800, maxBatchBytes) || b != (bounds{400, maxBatchBytes / 2}) {
		t.Errorf("after the time-out: %+v", b)
	}
	if b.note(txn.Timeout, 0, 0) || b != (bounds{400, maxBatchBytes / 2}) {
		t.Errorf("after positions alone: %+v", b)
	}
	for range 20 {
		b.note(txn.Timeout, 400, maxBatchBytes)
	}
	if b != (bounds{minBatchRecords, minBatchBytes}) {
		t.Errorf("after many: %+v", b)
	}
	if b.note(time.Millisecond, 2, 100); b != (bounds{minBatchRecords, minBatchBytes}) {
		t.Errorf("after a quick one that says nothing of larger ones: %+v", b)
	}
	for range 20 {
		b.note(time.Second, b.records, b.bytes)
	}
	if b != fullBounds() {
		t.Errorf("after many that were full and quick: %+v", b)
	}
}

func TestAFailedTransactionTellsEachDifferentErrorOnce(t *testing.T) {
	var all tally
	if all.err() != nil {
		t.Errorf("none: %v", all.err())
	}
	for range 350 {
		all.add(kerr.InvalidProducerEpoch)
	}
	all.add(kerr.UnsupportedVersion)
	err := all.err()
	if n := strings.Count(err.Error(), "INVALID_PRODUCER_EPOCH"); n != 1 || !strings.Contains(err.Error(), "(350 times); UNSUPPORTED_VERSION") {
		t.Errorf("%v", err)
	}
	if !errors.Is(err, kerr.InvalidProducerEpoch) || !errors.Is(err, kerr.UnsupportedVersion) {
		t.Errorf("%v hides what it is made of", err)
	}
}

func TestARefusalNamesWhatItIsAboutAndTheRemedy(t *testing.T) {
	s := testShard(t, nil)
	s.Settings.Security.Mechanism = "OAUTHBEARER"
	for refused, want := range map[error][]string{
		kerr.TransactionalIDAuthorizationFailed: {"transactional id gp-0", "allow this principal WRITE and DESCRIBE"},
		kerr.TopicAuthorizationFailed:           {"topic gp-checkpoints", "allow this principal READ, WRITE and DESCRIBE"},
		kerr.SaslAuthenticationFailed:           {"transactional id gp-0", "check sasl.oauthbearer.client.id"},
		kerr.UnsupportedVersion:                 {"transactional id gp-0", "transaction.version=2", "restart the brokers"},
		kerr.InvalidTransactionTimeout:          {"transactional id gp-0", "transaction.max.timeout.ms", "60000"},
	} {
		err := fmt.Errorf("producing: %w", refused)
		if !isRefused(err) {
			t.Errorf("%v is tried again", err)
		}
		told := refusal(err, s.transactionalID(), s.Settings)
		if !errors.Is(told, refused) {
			t.Errorf("%v hides its cause", told)
		}
		for _, part := range want {
			if !strings.Contains(told.Error(), part) {
				t.Errorf("%q lacks %q", told, part)
			}
		}
	}
}

// A transaction that outlasts its time-out finds the epoch moved,
// as one whose id another process has taken does.
func TestTheCoordinatorsTimeOutIsNoOtherProcess(t *testing.T) {
	for _, c := range []struct {
		takes  time.Duration
		fenced bool
	}{{txn.Timeout - time.Second, true}, {txn.Timeout + time.Second, false}} {
		synctest.Test(t, func(t *testing.T) {
			s := testShard(t, &staleProducer{takes: c.takes})
			stream := checkpoint.Stream{Tenant: "acme", Object: "invoices"}
			sub := &Submission{
				Stream: stream, Task: status.NewTask(0, &config.Object{Path: "invoices"}, status.Running, nil, func() {}),
				Records: []*kgo.Record{{Topic: "coupa.invoices", Value: make([]byte, 100)}},
			}
			_, _, err := s.transact(t.Context(), []*Submission{sub}, nil)
			if isFenced(err) != c.fenced || errors.Is(err, errTimedOut) == c.fenced {
				t.Errorf("open for %v: %v", c.takes, err)
			}
			if !c.fenced && !strings.Contains(err.Error(), "gp-0") {
				t.Errorf("%v does not name the id", err)
			}
		})
	}
}

// testShard is shard 0 of group gp, which is owned by nobody.
func testShard(t *testing.T, p Producer) *Shard {
	settings, err := config.ParseWorker(map[string]string{
		"bootstrap.servers": "127.0.0.1:9092", "schema.registry.url": "http://127.0.0.1:1", "group.id": "gp", "state.dir": t.TempDir(),
	}, func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	told := metrics.New(func() []status.ConnectorStatus { return nil }, config.PerObjectAuto, "v-test", MaxBatchRecords)
	s := New(Config{Settings: settings, Tracer: noop.NewTracerProvider().Tracer(""), Meter: told.NewMeter(0), Log: slog.New(slog.DiscardHandler)})
	s.producer, s.ends = p, allClear{}
	return s
}

// allClear knows of nothing that is open.
type allClear struct{}

func (allClear) Meet(context.Context, iter.Seq[string], map[txn.Partition]txn.Outcome) (held, refused []txn.Partition, err error) {
	return nil, nil, nil
}
func (allClear) Await(context.Context, iter.Seq[*kgo.Record], func(string)) error { return nil }
func (allClear) Ended(txn.Outcome, iter.Seq[*kgo.Record])                         {}

// staleProducer takes its time with records, and finds that its epoch is an old one.
type staleProducer struct {
	takes   time.Duration
	waiting []func()
}

func (*staleProducer) BeginTransaction() error { return nil }

func (p *staleProducer) Produce(_ context.Context, r *kgo.Record, promise func(*kgo.Record, error)) {
	p.waiting = append(p.waiting, func() { promise(r, kerr.InvalidProducerEpoch) })
}

func (p *staleProducer) Flush(context.Context) error {
	time.Sleep(p.takes)
	for _, tell := range p.waiting {
		tell()
	}
	return nil
}

func (*staleProducer) EndTransaction(context.Context, kgo.TransactionEndTry) error {
	return kerr.ProducerFenced
}

func (*staleProducer) PurgeTopicsFromProducing(...string) {}
