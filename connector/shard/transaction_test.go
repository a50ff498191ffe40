package shard

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/status"
)

// Rows of two streams and their positions go in one transaction, which is committed when Kafka has taken all
// of it. What the local store knows afterwards is what is known to be committed.
func TestWhatGoesTogetherIsCommittedTogether(t *testing.T) {
	const position = "gp-checkpoints"
	for name, c := range map[string]struct {
		refused map[string]error // what becomes of the records of a topic
		commit  error
		did     string
		fails   error
		stored  string // streams
	}{
		"all is taken": {
			did: "await begin invoices users position position commit", stored: "invoices users",
		},
		"a row is refused": {
			refused: map[string]error{"invoices": kerr.MessageTooLarge},
			did:     "await begin invoices users position position abort await begin users position commit", stored: "users",
		},
		"a position is refused": {
			refused: map[string]error{position: kerr.MessageTooLarge},
			did:     "await begin invoices users position position abort", fails: kerr.MessageTooLarge,
		},
		"the commit has no answer": {
			commit: context.DeadlineExceeded,
			did:    "await begin invoices users position position commit", fails: errUnknownOutcome,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &writtenDown{refused: c.refused, commit: c.commit}
				s := testShard(t, p)
				s.ends, s.positions = written{allClear{}, p}, map[checkpoint.Stream]checkpoint.Position{}
				if err := s.open(); err != nil {
					t.Fatal(err)
				}
				defer func() { _ = s.store.Close() }()
				var batch []*Submission
				outcomes := map[string]error{}
				for _, object := range []string{"invoices", "users"} {
					st := checkpoint.Stream{Tenant: "acme", Object: object}
					batch = append(batch, &Submission{
						Stream: st, Task: status.NewTask(0, &config.Object{Path: object}, status.Running, nil, func() {}),
						Records: []*kgo.Record{{Topic: object, Value: []byte("{}")}}, Rows: []record.Version{{ID: 7}},
						Move: func(*checkpoint.Position) {}, Dead: new(atomic.Bool), Done: func(err error) { outcomes[object] = err },
					})
				}
				if err := s.commit(t.Context(), batch); !errors.Is(err, c.fails) || (err == nil) != (c.fails == nil) {
					t.Errorf("it gives %v, want %v", err, c.fails)
				}
				if did := strings.ReplaceAll(strings.Join(p.did, " "), position, "position"); did != c.did {
					t.Errorf("what it did: %s\nwant         %s", did, c.did)
				}
				stored, err := s.store.Positions()
				if err != nil {
					t.Fatal(err)
				}
				for object, err := range outcomes {
					_, is := stored[checkpoint.Stream{Tenant: "acme", Object: object}]
					if want := strings.Contains(c.stored, object); is != want || (err == nil) != want {
						t.Errorf("%s: in the local store %v, and it was told %v; want %v", object, is, err, want)
					}
				}
				if len(outcomes) != 2 {
					t.Errorf("told: %v", outcomes)
				}
			})
		})
	}
}

// Whichever worker owns a partition takes the same transactional id, by which Kafka fences the one before.
func TestOwnersOfAPartitionTakeOneTransactionalID(t *testing.T) {
	one, other, beside := testShard(t, nil), testShard(t, nil), testShard(t, nil)
	one.WorkerID, other.WorkerID, beside.Partition = "a:8083", "b:8083", 1
	if one.transactionalID() != other.transactionalID() || one.transactionalID() == beside.transactionalID() {
		t.Errorf("two workers' ids are %q and %q, another partition's %q", one.transactionalID(), other.transactionalID(), beside.transactionalID())
	}
}

// writtenDown is a producer that writes down what is asked of it.
type writtenDown struct {
	refused map[string]error // topics whose records are
	commit  error            // of the first commit
	did     []string
	waiting []func()
}

func (p *writtenDown) BeginTransaction() error {
	p.did = append(p.did, "begin")
	return nil
}

func (p *writtenDown) Produce(_ context.Context, r *kgo.Record, promise func(*kgo.Record, error)) {
	p.did = append(p.did, r.Topic)
	p.waiting = append(p.waiting, func() { promise(r, p.refused[r.Topic]) })
}

func (p *writtenDown) Flush(context.Context) error {
	for _, tell := range p.waiting {
		tell()
	}
	p.waiting = nil
	return nil
}

func (p *writtenDown) EndTransaction(_ context.Context, end kgo.TransactionEndTry) error {
	if end == kgo.TryAbort {
		p.did = append(p.did, "abort")
		return nil
	}
	p.did = append(p.did, "commit")
	err := p.commit
	p.commit = nil
	return err
}

func (*writtenDown) PurgeTopicsFromProducing(...string) {}

// written writes down when it is waited for the end of the transaction before.
type written struct {
	allClear
	by *writtenDown
}

func (w written) Await(context.Context, iter.Seq[*kgo.Record], func(string)) error {
	w.by.did = append(w.by.did, "await")
	return nil
}
