package connector

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

func TestWhatCoupaDoesWrongIsWaitedOutAndNothingIsLost(t *testing.T) {
	longRaced(t)
	for _, kind := range []coupatest.FaultKind{
		coupatest.Throttle429, coupatest.Unavailable503, coupatest.HTML503, coupatest.Reset, coupatest.Truncate, coupatest.Unauthorized401,
	} {
		t.Run(string(kind), func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 6, Rows: 130}, func(h *harness) {
				h.tenant.Inject(coupatest.Fault{Kind: kind, Count: 4})
				h.start()
				h.settle()
				h.tenant.Inject(coupatest.Fault{Kind: kind, Count: 3})
				h.tenant.Update("invoices", 5)
				h.pass(2 * time.Minute)
				h.check("invoices")
				h.check("suppliers")
			})
		})
	}
}

func TestACoupaThatBreaksItsContractStopsTheObjectAlone(t *testing.T) {
	longRaced(t)
	for kind, says := range map[coupatest.FaultKind]string{
		coupatest.WrongOrder: "order_by", coupatest.IgnoreFilter: "ignores", coupatest.Forbidden403: "core.invoice.read",
	} {
		t.Run(string(kind), func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 7, Rows: 130}, func(h *harness) {
				r := h.start()
				h.settle()
				h.tenant.Inject(coupatest.Fault{Kind: kind, Object: "invoices", Count: -1})
				h.tenant.Tie("invoices", 30)
				h.pass(5 * time.Second)
				s := r.Connectors()[0].Tasks
				if s[0].State != status.Failed || !strings.Contains(s[0].Trace, says) {
					t.Errorf("invoices: %s %q, want FAILED because of %q", s[0].State, s[0].Trace, says)
				}
				if s[1].State != status.Running {
					t.Errorf("suppliers: %s %q", s[1].State, s[1].Trace)
				}
				h.tenant.ClearFaults()
				h.pass(10 * time.Minute)
				h.check("invoices")
			})
		})
	}
}

func TestARecordThatIsTooLargeTakesOnlyItsStreamOutOfTheTransaction(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 8, Rows: 40}, func(h *harness) {
		h.tenant.SetMember("invoices", 9, "internal-note", `"`+strings.Repeat("x", 2<<20)+`"`)
		r := h.start()
		h.settle()
		s := r.Connectors()[0].Tasks
		if s[0].State != status.Failed || !strings.Contains(s[0].Trace, "id 9:") || !strings.Contains(s[0].Trace, "max.message.bytes") {
			t.Errorf("invoices: %s %.200q, want FAILED with the row's id and the remedy", s[0].State, s[0].Trace)
		}
		h.check("suppliers")
		h.tenant.SetMember("invoices", 9, "internal-note", `"short"`)
		h.pass(20 * time.Minute)
		h.check("invoices")
	})
}

func TestATopicThatMayNotBeWrittenStopsItsObjectAlone(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 15, Rows: 40}, func(h *harness) {
		r := h.start()
		h.settle()
		refused := h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "coupa.invoices", Err: kerr.TopicAuthorizationFailed, Count: -1})
		h.tenant.Update("invoices", 5)
		h.tenant.Update("suppliers", 5)
		h.pass(10 * time.Second)
		s := r.Connectors()[0].Tasks
		if s[0].State != status.Failed || !strings.Contains(s[0].Trace, "allow this principal WRITE") {
			t.Errorf("invoices: %s %q, want FAILED with the remedy", s[0].State, s[0].Trace)
		}
		if s[1].State != status.Running {
			t.Errorf("suppliers: %s %q", s[1].State, s[1].Trace)
		}
		h.check("suppliers")
		refused.Remove()
		h.pass(40 * time.Minute)
		h.check("invoices")
	})
}

// TestEachDurableStepFailsBothWays fails the requests of steps 5 to 8 as "not applied" and as
// "applied, but the answer was lost". Whatever happens, the history in the topics is whole.
func TestEachDurableStepFailsBothWays(t *testing.T) {
	longRaced(t)
	type row struct {
		name    string
		key     kmsg.Key
		err     *kerr.Error // nil: the request is carried out and the connection dies before the answer
		rebuilt bool        // the shard gives up its ownership and restores
	}
	for _, c := range []row{
		{"InitProducerID is not applied", kmsg.InitProducerID, kerr.CoordinatorNotAvailable, false},
		{"produce is not applied", kmsg.Produce, kerr.NotEnoughReplicas, false},
		{"produce is applied, its answer lost", kmsg.Produce, nil, false},
		{"produce finds the former markers unwritten", kmsg.Produce, kerr.ConcurrentTransactions, false},
		{"commit is not applied", kmsg.EndTxn, kerr.CoordinatorNotAvailable, false},
		{"commit is applied, its answer lost", kmsg.EndTxn, nil, false},
		{"commit is refused", kmsg.EndTxn, kerr.InvalidTxnState, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 9, Rows: 130}, func(h *harness) {
				h.start()
				h.settle()
				fault := kfake.Fault{Keys: []kmsg.Key{c.key}, Err: c.err, Count: 2}
				if c.err == nil {
					h.net.Lose(c.key, 2)
				} else {
					h.cluster.Fault(fault)
				}
				for i := range 5 {
					h.tenant.Update("invoices", int64(3+i))
					h.tenant.Create("suppliers")
					h.pass(3 * time.Second)
				}
				h.pass(90 * time.Second)
				h.check("invoices")
				h.check("suppliers")
				if got := strings.Contains(h.log.String(), "rebuilt"); got != c.rebuilt {
					t.Errorf("shard rebuilt: %v, want %v", got, c.rebuilt)
				}
			})
		})
	}
}

func TestTheCheckpointTopicDecidesWhateverTheLocalStateIs(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 11, Rows: 60}, func(h *harness) {
		whole := h.state
		h.start()
		h.settle()
		for range 3 {
			h.tenant.Update("invoices", 4)
			h.pass(2 * time.Second)
			h.stop()
			h.state = t.TempDir() // lost
			h.start()
			h.pass(5 * time.Second)
		}
		h.stop()
		h.state = whole // old
		h.start()
		h.settle()
		h.check("invoices")
		h.check("suppliers")
	})
}

// TestATransactionThatKafkaLeftOpenEndsAsItsCoordinatorSays has Kafka neither tell how a transaction ended
// nor write its markers, and let the next fence pass without them (KAFKA-20734).
func TestATransactionThatKafkaLeftOpenEndsAsItsCoordinatorSays(t *testing.T) {
	for state, commit := range map[string]bool{"CompleteCommit": true, "CompleteAbort": false} {
		t.Run(state, func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 312, Rows: 12}, func(h *harness) {
				h.start()
				h.settle()
				shard, before := h.transactionalID("acme"), len(h.records("coupa.invoices"))
				var ends []*kmsg.EndTxnRequest
				h.cluster.ControlKey(int16(kmsg.EndTxn), func(r kmsg.Request) (kmsg.Response, error, bool) {
					req := r.(*kmsg.EndTxnRequest)
					if req.TransactionalID != shard {
						return nil, nil, false
					}
					if ends = append(ends, req); len(ends) > 1 {
						return nil, nil, false
					}
					h.cluster.KeepControl()
					resp := req.ResponseKind().(*kmsg.EndTxnResponse)
					resp.ErrorCode = kerr.UnknownServerError.Code
					return resp, nil, true
				})
				h.cluster.ControlKey(int16(kmsg.DescribeTransactions), func(r kmsg.Request) (kmsg.Response, error, bool) {
					if len(ends) == 0 {
						return nil, nil, false
					}
					resp := r.ResponseKind().(*kmsg.DescribeTransactionsResponse)
					resp.TransactionStates = append(resp.TransactionStates, kmsg.DescribeTransactionsResponseTransactionState{
						TransactionalID: shard, State: state, ProducerID: ends[0].ProducerID, ProducerEpoch: ends[0].ProducerEpoch - 1,
					})
					return resp, nil, true
				})
				h.cluster.ControlKey(int16(kmsg.InitProducerID), func(r kmsg.Request) (kmsg.Response, error, bool) {
					if len(ends) == 0 {
						return nil, nil, false
					}
					resp := r.ResponseKind().(*kmsg.InitProducerIDResponse)
					resp.ProducerID, resp.ProducerEpoch = ends[0].ProducerID, ends[0].ProducerEpoch
					return resp, nil, true
				})
				h.tenant.Update("invoices", 5)
				h.pass(2 * time.Minute)
				h.check("invoices")
				if n := len(h.records("coupa.invoices")); n != before+1 {
					t.Errorf("%d records, want %d", n, before+1)
				}
				if len(ends) < 2 || ends[1].Commit != commit {
					t.Errorf("of %d ends the second one is not what the coordinator says, commit %v", len(ends), commit)
				}
			})
		})
	}
}

// skippedEnd is the end of a transaction that Kafka answers and does not carry out.
type skippedEnd struct {
	mu   sync.Mutex
	ends []*kmsg.EndTxnRequest // of its id, from this one on
}

// seen are the ends of the id, from the skipped one on.
func (s *skippedEnd) seen() []*kmsg.EndTxnRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ends)
}

// skipEnd has Kafka answer the next commit, or abort, of an id, and never write its markers (KAFKA-20734).
// For a while it tells that it is about to. The end that settles it is applied, or not, or applied and its
// answer lost.
func (h *harness) skipEnd(id string, commit bool, settling string) *skippedEnd {
	s, settled, skipped := &skippedEnd{}, false, time.Time{}
	state := map[bool]string{true: "Commit", false: "Abort"}[commit]
	h.cluster.ControlKey(int16(kmsg.EndTxn), func(r kmsg.Request) (kmsg.Response, error, bool) {
		h.cluster.KeepControl()
		s.mu.Lock()
		defer s.mu.Unlock()
		req := r.(*kmsg.EndTxnRequest)
		if req.TransactionalID != id || len(s.ends) == 0 && req.Commit != commit {
			return nil, nil, false
		}
		s.ends = append(s.ends, req)
		resp := req.ResponseKind().(*kmsg.EndTxnResponse)
		resp.ProducerID, resp.ProducerEpoch = req.ProducerID, req.ProducerEpoch
		switch {
		case len(s.ends) == 1:
			skipped = time.Now()
			return resp, nil, true
		case len(s.ends) == 2 && settling == "not applied":
			resp.ErrorCode = kerr.UnknownServerError.Code
			return resp, nil, true
		case len(s.ends) == 2 && settling == "applied, and its answer is lost":
			h.net.Lose(kmsg.EndTxn, 1)
		}
		settled = true
		return nil, nil, false
	})
	h.cluster.ControlKey(int16(kmsg.DescribeTransactions), func(r kmsg.Request) (kmsg.Response, error, bool) {
		h.cluster.KeepControl()
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.ends) == 0 || settled || r.(*kmsg.DescribeTransactionsRequest).TransactionalIDs[0] != id {
			return nil, nil, false
		}
		now := "Complete" + state
		if time.Since(skipped) < 20*time.Second { // the next one is there when it is noticed
			now = "Prepare" + state
		}
		resp := r.ResponseKind().(*kmsg.DescribeTransactionsResponse)
		resp.TransactionStates = append(resp.TransactionStates, kmsg.DescribeTransactionsResponseTransactionState{
			TransactionalID: id, State: now, ProducerID: s.ends[0].ProducerID, ProducerEpoch: s.ends[0].ProducerEpoch - 1,
		})
		return resp, nil, true
	})
	h.cluster.ControlKey(int16(kmsg.InitProducerID), func(r kmsg.Request) (kmsg.Response, error, bool) {
		h.cluster.KeepControl()
		s.mu.Lock()
		defer s.mu.Unlock()
		if of := r.(*kmsg.InitProducerIDRequest).TransactionalID; len(s.ends) == 0 || settled || of == nil || *of != id {
			return nil, nil, false
		}
		resp := r.ResponseKind().(*kmsg.InitProducerIDResponse)
		resp.ProducerID, resp.ProducerEpoch = s.ends[0].ProducerID, s.ends[0].ProducerEpoch
		return resp, nil, true
	})
	return s
}

// A transaction of a running shard is left open, and the next one ends in the other way.
func TestATransactionThatKafkaLeavesOpenEndsBeforeTheNextOne(t *testing.T) {
	longRaced(t)
	for _, commit := range []bool{true, false} {
		for _, settling := range []string{"applied", "not applied", "applied, and its answer is lost"} {
			t.Run(fmt.Sprintf("commit %v, settling %s", commit, settling), func(t *testing.T) {
				simulate(t, coupatest.Config{Seed: 313, Rows: 12}, func(h *harness) {
					h.start()
					h.settle()
					skipped := h.skipEnd(h.transactionalID("acme"), commit, settling)
					// refuse has the next record of suppliers refused: its transaction is aborted.
					refuse := func() {
						h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "coupa.suppliers", Err: kerr.TopicAuthorizationFailed, Count: 1})
						h.tenant.Update("suppliers", 5)
					}
					h.tenant.Update("invoices", 5)
					if !commit {
						refuse()
					}
					for len(skipped.seen()) == 0 {
						h.pass(time.Second)
					}
					h.tenant.Update("invoices", 6)
					if commit {
						refuse()
					}
					h.pass(12 * time.Minute)
					h.check("invoices")
					h.check("suppliers")
					if len(skipped.seen()) < 2 || skipped.seen()[1].Commit != commit {
						t.Errorf("of %d ends the second one is not like the first one", len(skipped.seen()))
					}
				})
			})
		}
	}
}
