package txn_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupastream/coupastream/connector/internal/txn"
)

// endsHarness is a cluster with a topic of one partition, a client, and what it may leave open.
type endsHarness struct {
	*testing.T
	cluster *kfake.Cluster
	network *kfake.VirtualNetwork
	cl      *txn.Client
	ends    *txn.Ends
	log     bytes.Buffer
	lost    []error
	mu      sync.Mutex
	state   string              // of the transaction, for its coordinator; empty: what kfake says
	skipped *kmsg.EndTxnRequest // that was answered and not carried out
	skip    bool
}

func endsTest(t *testing.T, f func(h *endsHarness)) {
	synctest.Test(t, func(t *testing.T) {
		h := &endsHarness{T: t, network: &kfake.VirtualNetwork{}}
		var err error
		h.cluster, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(h.network.Listen), kfake.SeedTopics(1, "t"))
		if err != nil {
			t.Fatal(err)
		}
		defer h.cluster.Close()
		h.cluster.ControlKey(int16(kmsg.EndTxn), func(req kmsg.Request) (kmsg.Response, error, bool) {
			h.cluster.KeepControl()
			h.mu.Lock()
			defer h.mu.Unlock()
			if !h.skip {
				return nil, nil, false
			}
			h.skip, h.skipped = false, req.(*kmsg.EndTxnRequest)
			resp := req.ResponseKind().(*kmsg.EndTxnResponse)
			resp.ProducerID, resp.ProducerEpoch = h.skipped.ProducerID, h.skipped.ProducerEpoch
			return resp, nil, true
		})
		h.cluster.ControlKey(int16(kmsg.DescribeTransactions), func(req kmsg.Request) (kmsg.Response, error, bool) {
			h.cluster.KeepControl()
			h.mu.Lock()
			defer h.mu.Unlock()
			if h.state == "" {
				return nil, nil, false
			}
			resp := req.ResponseKind().(*kmsg.DescribeTransactionsResponse)
			resp.TransactionStates = append(resp.TransactionStates, kmsg.DescribeTransactionsResponseTransactionState{TransactionalID: "id", State: h.state})
			return resp, nil, true
		})
		h.cl = h.client("id")
		h.ends = txn.NewEnds(h.cl, "id", slog.New(slog.NewTextHandler(&h.log, nil)), func(err error) { h.lost = append(h.lost, err) })
		defer h.ends.Close()
		f(h)
	})
}

func (h *endsHarness) client(id string) *txn.Client {
	cl, err := txn.New(kgo.SeedBrokers("127.0.0.1:9092"), kgo.Dialer(h.network.DialContext), kgo.TransactionalID(id), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(cl.Close)
	return cl
}

// begin writes a record in a transaction of a client.
func (h *endsHarness) begin(cl *txn.Client) *kgo.Record {
	r := &kgo.Record{Topic: "t", Key: []byte("key")}
	if err := errors.Join(cl.BeginTransaction(), cl.ProduceSync(h.Context(), r).FirstErr()); err != nil {
		h.Fatal(err)
	}
	return r
}

// transact commits a record, and notes it.
func (h *endsHarness) transact() *kgo.Record {
	r := h.begin(h.cl)
	if err := h.cl.EndTransaction(h.Context(), kgo.TryCommit); err != nil {
		h.Fatal(err)
	}
	h.ends.Ended(txn.Committed, slices.Values([]*kgo.Record{r}))
	return r
}

// await waits at most so long until a record like r may be written, and gives how long it took.
func (h *endsHarness) await(r *kgo.Record, most time.Duration) (took time.Duration, told string, err error) {
	ctx, cancel := context.WithTimeout(h.Context(), most)
	defer cancel()
	began := time.Now()
	err = h.ends.Await(ctx, slices.Values([]*kgo.Record{{Topic: r.Topic, Partition: txn.ByKey}}), func(why string) { told = why })
	return time.Since(began), told, err
}

// leave has the next end of a transaction skipped, and its coordinator say so.
func (h *endsHarness) leave(state string) {
	h.now(state)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.skip = true
}

// now has the coordinator say so.
func (h *endsHarness) now(state string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state = state
}

// carryOut does what was skipped.
func (h *endsHarness) carryOut() {
	cl, err := kgo.NewClient(kgo.SeedBrokers("127.0.0.1:9092"), kgo.Dialer(h.network.DialContext))
	if err != nil {
		h.Fatal(err)
	}
	defer cl.Close()
	if _, err := h.skipped.RequestWith(h.Context(), cl); err != nil {
		h.Fatal(err)
	}
}

func TestATransactionOfWhichAMarkerIsNeverWrittenIsFound(t *testing.T) {
	endsTest(t, func(h *endsHarness) {
		if took, _, err := h.await(h.transact(), time.Minute); err != nil || took > 10*time.Millisecond {
			h.Errorf("after a transaction that ended: %v in %v", err, took)
		}
		h.leave("PrepareCommit")
		r := h.transact()
		if _, told, err := h.await(r, 30*time.Second); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(told, "partition 0 of topic t") {
			h.Errorf("while the coordinator writes markers: %q, %v", told, err)
		}
		h.now("CompleteCommit")
		if _, _, err := h.await(r, time.Minute); !errors.Is(err, txn.ErrLeftOpen) || len(h.lost) != 1 || !errors.Is(h.lost[0], txn.ErrLeftOpen) {
			h.Errorf("when it has written all: %v, told %v", err, h.lost)
		}
		if left := h.ends.Close(); left[txn.Partition{Topic: "t"}] != txn.Committed || len(left) != 1 {
			h.Errorf("left: %v", left)
		}
	})
}

func TestAMarkerThatComesLateIsWaitedFor(t *testing.T) {
	endsTest(t, func(h *endsHarness) {
		h.leave("PrepareCommit")
		r := h.transact()
		time.AfterFunc(3*time.Second, func() { h.carryOut(); h.now("CompleteCommit") })
		if took, told, err := h.await(r, time.Minute); err != nil || took < 3*time.Second || took > 5*time.Second || told == "" {
			h.Errorf("%v in %v, told %q", err, took, told)
		}
	})
}

func TestTransactionsOfOthersAreNotWaitedFor(t *testing.T) {
	endsTest(t, func(h *endsHarness) {
		h.begin(h.client("other"))
		for range 2 {
			if took, _, err := h.await(h.transact(), time.Minute); err != nil || took > 50*time.Millisecond {
				h.Errorf("%v in %v", err, took)
			}
		}
	})
}

// Without the right to READ, a leader that was there before and after is believed to have written the marker.
func TestWhereProducersMayNotBeDescribedTheLeaderTells(t *testing.T) {
	endsTest(t, func(h *endsHarness) {
		h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeProducers}, Topic: "t", Err: kerr.TopicAuthorizationFailed, Count: -1})
		if took, _, err := h.await(h.transact(), time.Minute); err != nil || took > 10*time.Millisecond {
			h.Errorf("alone: %v in %v", err, took)
		}
		h.begin(h.client("other"))
		if took, _, err := h.await(h.transact(), time.Minute); err != nil || took > 50*time.Millisecond || h.log.Len() > 0 {
			h.Errorf("with the leader of before: %v in %v, %s", err, took, &h.log)
		}
		bumped := false
		h.cluster.ControlKey(int16(kmsg.ListOffsets), func(req kmsg.Request) (kmsg.Response, error, bool) {
			h.cluster.KeepControl()
			if req.(*kmsg.ListOffsetsRequest).IsolationLevel == 0 {
				return nil, nil, false
			}
			bumped = true
			resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
			resp.Topics = []kmsg.ListOffsetsResponseTopic{{Topic: "t", Partitions: []kmsg.ListOffsetsResponseTopicPartition{{Offset: 0, LeaderEpoch: 99}}}}
			return resp, nil, true
		})
		if took, _, err := h.await(h.transact(), time.Minute); !errors.Is(err, txn.ErrLeftOpen) || took < 5*time.Second || took > 8*time.Second || !bumped {
			h.Errorf("with another one: %v in %v", err, took)
		}
		if n := strings.Count(h.log.String(), "allow this principal READ"); n != 1 {
			h.Errorf("%d warnings: %s", n, &h.log)
		}
		left := h.ends.Close()
		again := txn.NewEnds(h.cl, "id", slog.New(slog.DiscardHandler), nil)
		defer again.Close()
		if held, refused, err := again.Meet(h.Context(), slices.Values([]string{"t"}), left); err != nil || len(held) > 0 || !slices.Equal(refused, []txn.Partition{{Topic: "t"}}) {
			h.Errorf("%v, %v, %v", held, refused, err)
		}
	})
}

func TestAPartitionWithoutALeaderIsWaitedFor(t *testing.T) {
	endsTest(t, func(h *endsHarness) {
		gone := h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets, kmsg.DescribeProducers}, Topic: "t", Err: kerr.LeaderNotAvailable, Count: -1})
		r := h.transact()
		if _, _, err := h.await(r, 30*time.Second); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "or it has none") {
			h.Errorf("%v", err)
		}
		if _, _, err := h.await(&kgo.Record{Topic: "another"}, time.Second); err != nil {
			h.Errorf("of another topic: %v", err)
		}
		gone.Remove()
		if _, _, err := h.await(r, 5*time.Second); err != nil {
			h.Errorf("%v", err)
		}
	})
}

// What is met for the first time may hold what a client before has left. What can't be told is asked later.
func TestTopicsAreMetBeforeTheyAreWrittenTo(t *testing.T) {
	endsTest(t, func(h *endsHarness) {
		topics := slices.Values([]string{"t", "gone"})
		gone := h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeProducers}, Topic: "t", Err: kerr.LeaderNotAvailable, Count: -1})
		h.leave("CompleteCommit")
		r := h.begin(h.cl)
		if err := h.cl.EndTransaction(h.Context(), kgo.TryCommit); err != nil {
			h.Fatal(err)
		}
		if held, _, err := h.ends.Meet(h.Context(), topics, nil); err != nil || len(held) > 0 {
			h.Errorf("without a leader: %v, %v", held, err)
		}
		if _, _, err := h.await(r, 10*time.Second); !errors.Is(err, context.DeadlineExceeded) {
			h.Errorf("without a leader: %v", err)
		}
		gone.Remove()
		if _, _, err := h.await(r, 10*time.Second); !errors.Is(err, txn.ErrLeftOpen) {
			h.Errorf("%v", err)
		}
		again := txn.NewEnds(h.cl, "id", slog.New(slog.DiscardHandler), nil)
		if held, _, err := again.Meet(h.Context(), topics, nil); err != nil || !slices.Equal(held, []txn.Partition{{Topic: "t"}}) {
			h.Errorf("%v, %v", held, err)
		}
		if left := again.Close(); left[txn.Partition{Topic: "t"}] != txn.Committed {
			h.Errorf("left: %v", left)
		}
	})
}
