package configtopic

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestOfClashingCreationsExactlyOneWins has workers create connectors of the same names
// at once. Each name is given to one of them, and every worker's view ends as that one's.
func TestOfClashingCreationsExactlyOneWins(t *testing.T) {
	const workers, names = 4, 12
	simulate(t, func(h *harness) {
		var wg sync.WaitGroup
		won := make([][]bool, workers)
		var stores []*running
		for w := range workers {
			stores, won[w] = append(stores, h.store()), make([]bool, names)
		}
		for w := range workers {
			wg.Go(func() {
				for i := range names {
					n := (i + w) % names
					_, err := stores[w].create(h.ctx(time.Hour), fmt.Sprint("c", n), map[string]string{"by": fmt.Sprint(w)})
					won[w][n] = err == nil
					if err != nil && !errors.Is(err, errExists) {
						t.Errorf("worker %d, c%d: %v", w, n, err)
					}
				}
			})
		}
		wg.Wait()
		written := map[string]int{}
		for _, r := range h.records() {
			if strings.HasPrefix(string(r.Key), "connector-") {
				written[string(r.Key)]++
			}
		}
		for n := range names {
			name := fmt.Sprint("c", n)
			if written["connector-"+name] != 1 {
				t.Errorf("%s was written %d times", name, written["connector-"+name])
			}
			winners := 0
			for w := range workers {
				if !won[w][n] {
					continue
				}
				winners++
				if by := stores[w].View().Connectors[name].Properties["by"]; by != fmt.Sprint(w) {
					t.Errorf("worker %d has created %s, and sees worker %s's", w, name, by)
				}
			}
			if winners != 1 {
				t.Errorf("%s was created by %d workers", name, winners)
			}
		}
	})
}

// TestNoChangeIsLostOrMadeTwice has workers count in one
// connector, while answers are lost and requests refused.
func TestNoChangeIsLostOrMadeTwice(t *testing.T) {
	const workers, each = 3, 15
	simulate(t, func(h *harness) {
		var wg sync.WaitGroup
		for w := range workers {
			s := h.store()
			wg.Go(func() {
				for i := range each {
					switch i % 5 {
					case 1:
						s.net.Lose(kmsg.EndTxn, 1+w)
					case 2:
						s.net.Lose(kmsg.Produce, 1)
					case 3:
						h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.CoordinatorNotAvailable, Count: 1})
					case 4:
						s.net.Lose(kmsg.InitProducerID, 1)
					}
					h.must(s.Update(h.ctx(time.Hour), func(v View) ([]Change, error) {
						n := len(v.Connectors["counter"].Properties["n"])
						return []Change{PutConnector("counter", map[string]string{"n": strings.Repeat("|", n+1)})}, nil
					}))
				}
			})
		}
		wg.Wait()
		records := h.records()
		for i, r := range records {
			if want := fmt.Sprintf(`{"properties":{"n":"%s"}}`, strings.Repeat("|", i+1)); string(r.Value) != want {
				t.Fatalf("record %d is %s, want %s", i, r.Value, want)
			}
		}
		if len(records) != workers*each {
			t.Errorf("%d records, want %d", len(records), workers*each)
		}
	})
}

// TestEachStepFailsBothWays fails the requests of a change as "not applied"
// and as "applied, but the answer was lost": the change is made once.
func TestEachStepFailsBothWays(t *testing.T) {
	for name, c := range map[string]struct {
		key kmsg.Key
		err *kerr.Error // nil: the request is carried out and the connection dies before the answer
	}{
		"fence not applied":               {kmsg.InitProducerID, kerr.CoordinatorNotAvailable},
		"fence applied, answer lost":      {kmsg.InitProducerID, nil},
		"fence finds an open transaction": {kmsg.InitProducerID, kerr.ConcurrentTransactions},
		"end not told":                    {kmsg.ListOffsets, kerr.OffsetNotAvailable},
		"produce not applied":             {kmsg.Produce, kerr.NotEnoughReplicas},
		"produce applied, answer lost":    {kmsg.Produce, nil},
		"produce fenced":                  {kmsg.Produce, kerr.InvalidProducerEpoch},
		"commit not applied":              {kmsg.EndTxn, kerr.CoordinatorNotAvailable},
		"commit applied, answer lost":     {kmsg.EndTxn, nil},
		"commit refused":                  {kmsg.EndTxn, kerr.InvalidTxnState},
		"commit fenced":                   {kmsg.EndTxn, kerr.ProducerFenced},
	} {
		for _, times := range []int{1, 3, 40} {
			t.Run(fmt.Sprintf("%s %d times", name, times), func(t *testing.T) {
				simulate(t, func(h *harness) {
					r := h.store()
					if c.err == nil {
						r.net.Lose(c.key, times)
					} else {
						h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{c.key}, Err: c.err, Count: times})
					}
					h.must(r.create(h.ctx(2*time.Hour), "acme", map[string]string{}))
					r.net.Lose(c.key, 0)
					if n := len(h.records()); n != 2 {
						t.Errorf("%d records, want state and configuration, once", n)
					}
				})
			})
		}
	}
}

// TestACommitWhoseAnswerNeverComesIsFoundInTheTopic loses
// every answer to the commit until the client gives up on it.
func TestACommitWhoseAnswerNeverComesIsFoundInTheTopic(t *testing.T) {
	simulate(t, func(h *harness) {
		r := h.store()
		r.net.Lose(kmsg.EndTxn, 1<<30)
		asked := 0
		offset, err := r.Update(h.ctx(time.Hour), func(v View) ([]Change, error) {
			asked++
			return []Change{PutConnector("acme", map[string]string{})}, nil
		})
		h.must(offset, err)
		if asked != 2 || len(h.records()) != 1 || r.View().Connectors["acme"].Version != offset {
			t.Errorf("decided %d times, %d records, %v, offset %d", asked, len(h.records()), r.View(), offset)
		}
	})
}

func TestAnOutcomeThatCanNotBeLearntIsSaidToBeUnknown(t *testing.T) {
	simulate(t, func(h *harness) {
		r := h.store()
		r.net.Lose(kmsg.EndTxn, 1<<30)
		h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Observe: true, Count: 1, When: func(kmsg.Request) bool {
			r.net.Cut(true)
			return true
		}})
		_, err := r.create(h.ctx(10*time.Minute), "acme", nil)
		if !errors.Is(err, ErrUnknownOutcome) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Update gave %v", err)
		}
	})
}

// TestAFencedWriterChangesNothing stops a writer between its
// decision and its write while another one writes the same.
func TestAFencedWriterChangesNothing(t *testing.T) {
	simulate(t, func(h *harness) {
		slow, quick := h.store(), h.store()
		views := 0
		_, err := slow.Update(h.t.Context(), func(v View) ([]Change, error) {
			views++
			if _, ok := v.Connectors["acme"]; ok {
				return nil, errExists
			}
			if views == 2 { // the first one is before the fence
				h.must(quick.create(h.t.Context(), "acme", map[string]string{"by": "quick"}))
			}
			return []Change{PutConnector("acme", map[string]string{"by": "slow"})}, nil
		})
		if !errors.Is(err, errExists) || views != 3 {
			t.Errorf("%v after %d views, want that the third one shows the other's", err, views)
		}
		if by := slow.View().Connectors["acme"].Properties["by"]; by != "quick" {
			t.Errorf("the connector is %s's", by)
		}
	})
}

// TestAChangeIsOfOneFence has the broker forget the producer between two batches of one change. The client
// takes another epoch by itself then, which aborts the first of them: what it commits would be the second.
func TestAChangeIsOfOneFence(t *testing.T) {
	simulate(t, func(h *harness) {
		r := h.store()
		batches := 0
		h.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
			if batches++; batches != 2 {
				h.cluster.KeepControl()
				return nil, nil, false
			}
			asked := req.(*kmsg.ProduceRequest)
			resp := asked.ResponseKind().(*kmsg.ProduceResponse)
			t, p := kmsg.NewProduceResponseTopic(), kmsg.NewProduceResponseTopicPartition()
			t.Topic, t.TopicID = asked.Topics[0].Topic, asked.Topics[0].TopicID
			p.ErrorCode, p.LogStartOffset = kerr.UnknownProducerID.Code, 1<<40
			t.Partitions = append(t.Partitions, p)
			resp.Topics = append(resp.Topics, t)
			return resp, nil, true
		})
		large := map[string]string{"by": strings.Repeat("a", 600<<10)} // two of them fill more than a batch
		h.must(r.Update(h.ctx(time.Hour), func(View) ([]Change, error) {
			return []Change{PutConnector("one", large), PutConnector("other", large)}, nil
		}))
		if n := len(h.records()); n != 2 || batches < 3 {
			t.Errorf("%d records of %d batches, want both of one transaction", n, batches)
		}
	})
}

// TestAChangeUnderWayIsGivenTime has a second change begin
// while a first one is between its fence and its write.
func TestAChangeUnderWayIsGivenTime(t *testing.T) {
	simulate(t, func(h *harness) {
		slow, quick := h.store(), h.store()
		h.must(slow.create(h.t.Context(), "before", nil))
		views := 0
		second := make(chan error, 1)
		_, err := slow.Update(h.t.Context(), func(View) ([]Change, error) {
			if views++; views == 2 {
				go func() {
					_, err := quick.create(h.t.Context(), "quick", nil)
					second <- err
				}()
				<-time.After(patience["Empty"] / 2)
			}
			return []Change{PutConnector("slow", nil)}, nil
		})
		if err != nil || views != 2 {
			t.Errorf("%v after %d views, want 2: the change was fenced", err, views)
		}
		if err := <-second; err != nil {
			t.Error(err)
		}
	})
}

// TestADecisionWaitsForWhatIsCommitted keeps a worker from reading while somebody else writes.
func TestADecisionWaitsForWhatIsCommitted(t *testing.T) {
	simulate(t, func(h *harness) {
		r := h.store()
		deaf := h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.NotLeaderForPartition, Count: -1})
		h.write("connector-acme", `{"properties":{}}`)
		done := make(chan error)
		go func() {
			_, err := r.create(h.ctx(time.Hour), "acme", nil)
			done <- err
		}()
		select {
		case err := <-done:
			t.Errorf("decided without having read: %v", err)
		case <-time.After(time.Minute):
			deaf.Remove()
			if err := <-done; !errors.Is(err, errExists) {
				t.Errorf("Update gave %v", err)
			}
		}
	})
}

// TestWhatWasWrittenTogetherIsSeenTogether has a transaction that is larger than what one fetch brings.
func TestWhatWasWrittenTogetherIsSeenTogether(t *testing.T) {
	const connectors = 5
	simulate(t, func(h *harness) {
		a, b := h.store(), h.store()
		random := make([]byte, 300<<10)
		_, _ = rand.NewChaCha8([32]byte{}).Read(random)
		large := base64.StdEncoding.EncodeToString(random) // which can't be compressed
		for round := range 2 {
			written := make(chan error, 1)
			go func() {
				_, err := a.Update(h.t.Context(), func(View) ([]Change, error) {
					var all []Change
					for i := range connectors {
						all = append(all, PutConnector(fmt.Sprint("c", i), map[string]string{"round": fmt.Sprint(round), "large": large}))
					}
					return all, nil
				})
				written <- err
			}()
			for seen := 0; seen < connectors; {
				v, changed := b.Watch()
				seen = 0
				for _, c := range v.Connectors {
					if c.Properties["round"] == fmt.Sprint(round) {
						seen++
					}
				}
				if seen != 0 && seen != connectors {
					t.Fatalf("round %d: %d of %d are seen", round, seen, connectors)
				}
				if seen == 0 {
					<-changed
				}
			}
			if err := <-written; err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestAChangeThatFailsHoldsNoReaderUp writes one record of two, the other one being too large.
func TestAChangeThatFailsHoldsNoReaderUp(t *testing.T) {
	simulate(t, func(h *harness) {
		r := h.store()
		_, err := r.Update(h.t.Context(), func(View) ([]Change, error) {
			return []Change{PutConnector("small", nil), PutConnector("large", map[string]string{"x": strings.Repeat("x", 2<<20)})}, nil
		})
		if err == nil || !strings.Contains(err.Error(), "max.message.bytes") {
			t.Fatalf("Update gave %v", err)
		}
		if err := r.WaitFor(h.ctx(transactionTimeout/2), h.write("connector-other", `{"properties":{}}`)); err != nil {
			t.Error(err)
		}
		if v := r.View(); len(v.Connectors) != 1 {
			t.Errorf("%v", v)
		}
	})
}

// TestAChangeThatKafkaLeftOpenIsCommittedFirst has Kafka tell of a commit whose marker it never writes, and
// let the next fence pass without one, as it does where the partition had no leader (KAFKA-20734).
func TestAChangeThatKafkaLeftOpenIsCommittedFirst(t *testing.T) {
	simulate(t, func(h *harness) {
		a, b := h.store(), h.store()
		var ended *kmsg.EndTxnRequest
		h.cluster.ControlKey(int16(kmsg.EndTxn), func(req kmsg.Request) (kmsg.Response, error, bool) {
			ended = req.(*kmsg.EndTxnRequest)
			return req.ResponseKind(), nil, true
		})
		h.cluster.ControlKey(int16(kmsg.InitProducerID), func(req kmsg.Request) (kmsg.Response, error, bool) {
			if ended == nil {
				return nil, nil, false
			}
			resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
			resp.ProducerID, resp.ProducerEpoch = ended.ProducerID, ended.ProducerEpoch
			return resp, nil, true
		})
		count := func(r *running) error {
			_, err := r.Update(h.ctx(time.Hour), func(v View) ([]Change, error) {
				n := len(v.Connectors["counter"].Properties["n"])
				return []Change{PutConnector("counter", map[string]string{"n": strings.Repeat("|", n+1)})}, nil
			})
			return err
		}
		first := make(chan error)
		go func() { first <- count(a) }()
		synctest.Wait() // until it waits to see its change
		if ended == nil {
			t.Fatal("nothing was committed")
		}
		if err := errors.Join(count(b), <-first); err != nil {
			t.Error(err)
		}
		for i, r := range h.records() {
			if want := fmt.Sprintf(`{"properties":{"n":"%s"}}`, strings.Repeat("|", i+1)); string(r.Value) != want {
				t.Errorf("record %d is %s, want %s", i, r.Value, want)
			}
		}
	})
}

// TestALogThatWasCutBackIsNotTrusted has a view of records that the brokers do not have any more.
func TestALogThatWasCutBackIsNotTrusted(t *testing.T) {
	simulate(t, func(h *harness) {
		r := h.store()
		h.must(r.create(h.t.Context(), "acme", nil))
		r.mu.Lock()
		r.view.Next += 100
		r.mu.Unlock()
		if _, err := r.create(h.ctx(time.Minute), "other", nil); err == nil || !strings.Contains(err.Error(), "lost records") {
			t.Errorf("Update gave %v", err)
		}
	})
}

// TestATransactionThatADeadWorkerLeftOpenHoldsNobodyUp lets a writer die after its records are written.
func TestATransactionThatADeadWorkerLeftOpenHoldsNobodyUp(t *testing.T) {
	simulate(t, func(h *harness) {
		r := h.store()
		dead := h.client(kgo.TransactionalID(r.TransactionalID()), kgo.TransactionTimeout(transactionTimeout))
		if err := dead.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := dead.ProduceSync(h.t.Context(), &kgo.Record{Topic: topicName, Key: []byte("connector-acme"), Value: []byte(`{"properties":{}}`)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		h.must(r.create(h.t.Context(), "acme", map[string]string{"by": "living"}))
		if took := time.Since(began); took > transactionTimeout/2 {
			t.Errorf("it took %v", took)
		}
		if by := r.View().Connectors["acme"].Properties["by"]; by != "living" {
			t.Errorf("%v", r.View())
		}
	})
}

func TestARightThatIsMissingIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		fault kfake.Fault
		says  string
	}{
		"transactional id": {kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.TransactionalIDAuthorizationFailed}, "allow this principal WRITE and DESCRIBE on it"},
		"coordinator":      {kfake.Fault{Keys: []kmsg.Key{kmsg.FindCoordinator}, Err: kerr.TransactionalIDAuthorizationFailed}, "transactional id group-configs"},
		"topic":            {kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.TopicAuthorizationFailed}, "allow this principal READ, WRITE"},
		"large":            {kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.MessageTooLarge}, "max.message.bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(h *harness) {
				r := h.store()
				c.fault.Count = -1
				h.cluster.Fault(c.fault)
				began := time.Now()
				_, err := r.create(h.ctx(time.Hour), "acme", nil)
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("Update gave %v, want %q", err, c.says)
				}
				if took := time.Since(began); took > time.Minute {
					t.Errorf("it was told after %v", took)
				}
			})
		})
	}
}

func TestWhatJSONCanNotHoldIsRefused(t *testing.T) {
	simulate(t, func(h *harness) {
		r := h.store()
		for _, c := range []Change{
			PutConnector("", nil), PutConnector("a\xff", nil), PutConnector("a", map[string]string{"k": "\xff"}), PutConnector("a", map[string]string{"\xff": ""}),
			PutState("a", Target{State: "RUNNING"}), PutState("", Target{State: Paused}), PutLevel("root", ""), DeleteConnector(""),
		} {
			if _, err := r.Update(h.t.Context(), func(View) ([]Change, error) { return []Change{c}, nil }); err == nil {
				t.Errorf("%+v was written", c)
			}
		}
		if n := len(h.records()); n != 0 {
			t.Errorf("%d records", n)
		}
	})
}

// TestNoChangeWritesNothing: nor does it fence anybody.
func TestNoChangeWritesNothing(t *testing.T) {
	simulate(t, func(h *harness) {
		r := h.store()
		h.must(r.create(h.t.Context(), "acme", nil))
		before := r.View().Next
		fences := h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Observe: true, Count: -1})
		offset, err := r.Update(h.t.Context(), func(View) ([]Change, error) { return nil, nil })
		if err != nil || offset != before-1 || r.View().Next != before {
			t.Errorf("offset %d, %v, view up to %d, before %d", offset, err, r.View().Next, before)
		}
		if _, err := r.create(h.t.Context(), "acme", nil); !errors.Is(err, errExists) {
			t.Error(err)
		}
		if n := fences.Hits(); n != 0 {
			t.Errorf("the transactional id was taken %d times", n)
		}
	})
}

// TestAChangeIsMadeEvenIfItsCallerLeaves ends the caller's context while the records are written.
func TestAChangeIsMadeEvenIfItsCallerLeaves(t *testing.T) {
	simulate(t, func(h *harness) {
		r := h.store()
		ctx, leave := context.WithCancel(h.t.Context())
		h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Observe: true, Count: 1, When: func(kmsg.Request) bool { leave(); return true }})
		offset, err := r.create(ctx, "acme", map[string]string{})
		if err != nil && !errors.Is(err, ErrNotSeen) {
			t.Fatalf("%v", err)
		}
		if err := r.WaitFor(h.ctx(time.Minute), offset); err != nil || r.View().Connectors["acme"].Properties == nil {
			t.Errorf("%v %v", err, r.View())
		}
	})
}
