package connector

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/internal/txn"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/replay"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa/coupatest"
	"github.com/coupastream/coupastream/schemas"
)

// replay sends the dead letters again, as the program does.
func (h *harness) replay() ([]replay.Result, error) {
	h.t.Helper()
	w, c := h.make(), h.connector("acme", nil)
	source, err := w.cfg.Source(c, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return replay.Run(h.t.Context(), replay.Config{
		Settings: w.settings, Connector: c, Kafka: w.clientOpts(), Registry: w.registry, Source: source, Version: w.cfg.Version, Log: w.log,
	})
}

func (h *harness) mustReplay(want replay.Result) {
	h.t.Helper()
	got, err := h.replay()
	if err != nil {
		h.t.Fatal(err)
	}
	reason := got[0].Reason
	got[0].Reason = ""
	if !reflect.DeepEqual(got, []replay.Result{want}) || (want.Failing > 0) != (reason != "") {
		h.t.Errorf("%+v (%s), want %+v", got, reason, want)
	}
}

// letters are those that wait.
func (h *harness) letters(most int) ([]replay.Waiting, int, error) {
	h.t.Helper()
	w := h.make()
	return replay.List(h.t.Context(), w.settings.GroupID, h.connector("acme", nil), w.clientOpts(), most)
}

// mustList wants one letter, of the row, that was sent again in vain so often.
func (h *harness) mustList(id int64, attempts int) {
	h.t.Helper()
	last, all, err := h.letters(10)
	tried := ""
	if attempts > 0 {
		tried = fmt.Sprint(attempts)
	}
	if err != nil || all != 1 || len(last) != 1 || last[0].ID != id || last[0].Object != "invoices" || last[0].Topic != "coupa.dead" || last[0].Offset < int64(attempts) ||
		last[0].Attempts != tried || last[0].Stage == "" || last[0].Written.IsZero() || !strings.Contains(last[0].Reason, fmt.Sprintf("id %d: field gross-total", id)) {
		h.t.Errorf("%v, %d: %+v", err, all, last)
	}
}

// conflicted makes n rows of invoices dead letters, all of which can go now.
func (h *harness) conflicted(n int) {
	h.t.Helper()
	h.keys["schema.conflict"], h.keys["errors.deadletterqueue.topic.name"] = "deadletter", "coupa.dead"
	h.refuses()
	h.start()
	h.settle()
	if dead := h.records("coupa.dead"); len(dead) != n {
		h.t.Fatalf("%d dead letters, want %d", len(dead), n)
	}
	h.accepts()
	h.pass(2 * time.Minute)
}

// Letters that can go are sent again once, beside the running
// worker; those whose rows went out meanwhile are passed over.
func TestDeadLettersAreSentAgainOnceAndInOrder(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 101, Rows: 600, Objects: []string{"invoices"}}, func(h *harness) {
		h.conflicted(600) // more than a transaction has
		if last, all, err := h.letters(10); err != nil || all != 600 || len(last) != 10 {
			t.Errorf("%v: %d of %d letters wait", err, len(last), all)
		}
		for _, row := range h.tenant.Rows("invoices")[:5] {
			h.tenant.Update("invoices", row.ID)
		}
		h.settle()
		h.mustReplay(replay.Result{Object: "invoices", Replayed: 595, Overtaken: 5})
		h.check("invoices")
		h.mustReplay(replay.Result{Object: "invoices"})
		h.tenant.Update("invoices", 9)
		h.settle()
		records := h.check("invoices")
		if len(records) != 601 {
			t.Errorf("%d records, want 600 rows and a change", len(records))
		}
		ops := map[string]int{}
		for _, r := range records {
			ops[r.op]++
		}
		if ops[record.OpSnapshot] != 595 {
			t.Errorf("%v: the letters' op is lost", ops)
		}
	})
}

// What still can't go stands at the end of the dead letter topic again, and says how often it was tried.
func TestLettersThatStillCannotGoStayDead(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 102, Rows: 40, Objects: []string{"invoices"}}, func(h *harness) {
		h.keys["errors.tolerance"], h.keys["errors.deadletterqueue.topic.name"] = "all", "coupa.dead"
		row := h.tenant.Rows("invoices")[7]
		h.tenant.SetRaw("invoices", row.ID, spoilt(row.JSON))
		h.start()
		h.settle()
		for attempt := range 3 {
			h.mustList(row.ID, attempt)
			h.mustReplay(replay.Result{Object: "invoices", Failing: 1})
			dead := h.records("coupa.dead")
			last := dead[len(dead)-1]
			if len(dead) != attempt+2 || last.headers[replay.HeaderAttempts] != fmt.Sprint(attempt+1) || last.id != row.ID || string(last.value) != string(spoilt(row.JSON)) ||
				!strings.Contains(last.headers[record.HeaderErrorMessage], "gross-total") {
				t.Fatalf("%d letters, the last: %v", len(dead), last.headers)
			}
		}
		h.tenant.SetMember("invoices", row.ID, "gross-total", `"12.00"`)
		h.settle()
		h.mustReplay(replay.Result{Object: "invoices", Overtaken: 1})
		if last, all, err := h.letters(10); err != nil || all != 0 || last != nil {
			t.Errorf("%v, %d: %v wait", err, all, last)
		}
		h.check("invoices")
	})
}

// A record that was too large goes once its topic takes it.
func TestARowThatWasTooLargeGoesOnceItsTopicTakesIt(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 103, Rows: 20, Objects: []string{"invoices"}}, func(h *harness) {
		h.keys["record.oversize"], h.keys["errors.deadletterqueue.topic.name"] = "deadletter", "coupa.dead"
		h.limit("coupa.invoices", topicTakes)
		h.tenant.SetMember("invoices", 9, "internal-note", `"`+strings.Repeat("x", largeNote)+`"`)
		h.start()
		h.settle()
		h.mustReplay(replay.Result{Object: "invoices", Failing: 1})
		h.limit("coupa.invoices", 1<<20)
		h.mustReplay(replay.Result{Object: "invoices", Replayed: 1})
		h.check("invoices")
	})
}

// Whatever request fails, as not applied or with its answer lost, letters go out once.
func TestAReplayThatFailsIsRunAgain(t *testing.T) {
	longRaced(t)
	for _, key := range []kmsg.Key{kmsg.InitProducerID, kmsg.Produce, kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn, kmsg.TxnOffsetCommit, kmsg.EndTxn} {
		for _, lost := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s lost %t", key.Name(), lost), func(t *testing.T) {
				simulate(t, coupatest.Config{Seed: 104, Rows: 60, Objects: []string{"invoices"}}, func(h *harness) {
					h.conflicted(60)
					h.stop()
					if lost {
						h.net.Lose(key, 1)
					} else {
						h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Err: kerr.UnknownServerError, Count: 1})
					}
					_, _ = h.replay()
					sum := int64(0)
					for range 2 {
						done, err := h.replay()
						if err != nil {
							t.Fatal(err)
						}
						sum += done[0].Replayed
					}
					h.start()
					h.settle()
					if records := h.check("invoices"); len(records) != 60 || sum > 60 {
						t.Errorf("%d records, want 60; the calls behind the failed one replayed %d", len(records), sum)
					}
				})
			})
		}
	}
}

// A row that goes out while its letter is being sent
// overtakes it, also out of a transaction that began before.
func TestARowThatGoesOutMeanwhileOvertakesItsLetter(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 105, Rows: 30, Objects: []string{"invoices"}}, func(h *harness) {
		h.conflicted(30)
		h.stop()
		letter := h.consume("coupa.dead")[0]
		writer, err := kgo.NewClient(append(h.kafka(), kgo.TransactionalID("other"))...)
		if err != nil {
			t.Fatal(err)
		}
		defer writer.Close()
		if err := writer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		newer := &kgo.Record{Topic: "coupa.invoices", Key: letter.Key, Value: []byte("newer"), Headers: []kgo.RecordHeader{
			{Key: record.HeaderTenant, Value: []byte("acme")}, {Key: record.HeaderObject, Value: []byte("invoices")}, {Key: record.HeaderUpdatedAt, Value: []byte("2099-01-01T00:00:00Z")},
		}}
		if err := writer.ProduceSync(h.t.Context(), newer).FirstErr(); err != nil {
			t.Fatal(err)
		}
		done := make(chan []replay.Result)
		go func() {
			r, err := h.replay()
			if err != nil {
				t.Error(err)
			}
			done <- r
		}()
		h.pass(5 * time.Second) // it waits for the other transaction
		if err := writer.EndTransaction(h.t.Context(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
		if r := <-done; r[0].Overtaken != 1 || r[0].Replayed != 29 {
			t.Errorf("%+v, want one overtaken", r)
		}
		n := 0
		for _, rec := range h.consume("coupa.invoices") {
			if string(rec.Key) == string(letter.Key) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d records of the row, want the newer alone", n)
		}
	})
}

// A letter does not hold what the mapping hides, so the row is read again:
// the topic has what the mapping makes of it, and not of what it made before.
func TestLettersOfAMappedObjectAreReadFromCoupaAgain(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 106, Rows: 20, Objects: []string{"invoices"}}, func(h *harness) {
		h.keys["mapping"], h.keys["mapping.hash.key"] = invoiceMapping, "0123456789abcdef"
		h.conflicted(20)
		gone := h.tenant.Rows("invoices")[3].ID
		h.tenant.Delete("invoices", gone)
		h.mustReplay(replay.Result{Object: "invoices", Replayed: 19, Failing: 1})
		replayed := h.values("coupa.invoices")
		for _, row := range h.tenant.Rows("invoices") {
			h.tenant.Update("invoices", row.ID)
		}
		h.settle()
		for id, published := range h.values("coupa.invoices") {
			was, is := replayed[id]["created_by"], published["created_by"]
			if fmt.Sprint(was) != fmt.Sprint(is) {
				t.Errorf("id %d: replayed with %v, published with %v", id, was, is)
			}
		}
	})
}

// oversized makes n rows of invoices dead letters, since their topic takes none of them.
func (h *harness) oversized(n int) {
	h.t.Helper()
	h.keys["record.oversize"], h.keys["errors.deadletterqueue.topic.name"] = "deadletter", "coupa.dead"
	h.limit("coupa.invoices", 500)
	h.start()
	h.settle()
	if dead := h.records("coupa.dead"); len(dead) != n {
		h.t.Fatalf("%d dead letters, want %d", len(dead), n)
	}
}

// bury appends letters to the dead letter topic.
func (h *harness) bury(letters ...*kgo.Record) {
	h.t.Helper()
	cl, err := kgo.NewClient(h.kafka()...)
	if err != nil {
		h.t.Fatal(err)
	}
	defer cl.Close()
	for _, r := range letters {
		r = &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Headers: r.Headers}
		if err := cl.ProduceSync(h.t.Context(), r).FirstErr(); err != nil {
			h.t.Fatal(err)
		}
	}
}

// forget takes the offsets of the replay's group away, as Kafka does after offsets.retention.minutes.
func (h *harness) forget() {
	h.t.Helper()
	cl, err := kgo.NewClient(h.kafka()...)
	if err != nil {
		h.t.Fatal(err)
	}
	defer cl.Close()
	admin, group := kadm.NewClient(cl), h.make().settings.GroupID+"-replay-acme"
	if _, err := admin.DeleteGroup(h.t.Context(), group); err != nil {
		h.t.Fatal(err)
	}
	if committed, err := admin.FetchOffsets(h.t.Context(), group); len(committed) > 0 {
		h.t.Fatalf("the group has offsets still: %v, %v", committed, err)
	}
}

// Letters of one version, which a snapshot makes, are one letter: they go once,
// and those that fail stand at the end once, also where all are read again.
func TestLettersOfOneVersionGoOnceAndDoNotMultiply(t *testing.T) {
	longRaced(t)
	for name, rows := range map[string]int{"in a transaction": 60, "in several": 520} {
		t.Run(name, func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 108, Rows: rows, Objects: []string{"invoices"}}, func(h *harness) {
				n := int64(rows)
				h.oversized(rows)
				h.snapshot(h.running, status.SnapshotRequest{})
				h.pass(time.Minute)
				h.mustReplay(replay.Result{Object: "invoices", Failing: n, Overtaken: n})
				h.forget()
				h.mustReplay(replay.Result{Object: "invoices", Failing: n, Overtaken: 2 * n})
				if dead := h.records("coupa.dead"); len(dead) != 4*rows {
					t.Errorf("%d letters of %d rows, want two of the worker and one of each replay", len(dead), rows)
				}
				h.forget()
				h.limit("coupa.invoices", 1<<20)
				h.mustReplay(replay.Result{Object: "invoices", Replayed: n, Overtaken: 3 * n})
				if records := h.check("invoices"); len(records) != rows {
					t.Errorf("%d records of %d rows", len(records), rows)
				}
				h.forget()
				h.mustReplay(replay.Result{Object: "invoices", Overtaken: 4 * n})
			})
		})
	}
}

// A letter that failed while its row changed stands behind
// the letter of the later version, and stays behind.
func TestALetterBehindALaterVersionIsOvertaken(t *testing.T) {
	longRaced(t)
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprint("fails once more ", fails), func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 109, Rows: 20, Objects: []string{"invoices"}}, func(h *harness) {
				h.oversized(20)
				changed := map[int64]bool{}
				for _, row := range h.tenant.Rows("invoices")[:5] {
					changed[row.ID] = true
				}
				first := slices.DeleteFunc(h.consume("coupa.dead"), func(r *kgo.Record) bool {
					_, id, err := schemas.ParseKey(r.Key)
					return err != nil || !changed[id]
				})
				for id := range changed {
					h.tenant.Update("invoices", id)
				}
				h.settle()
				h.bury(first...)
				if fails {
					h.mustReplay(replay.Result{Object: "invoices", Failing: 25, Overtaken: 5})
				}
				h.limit("coupa.invoices", 1<<20)
				h.mustReplay(replay.Result{Object: "invoices", Replayed: 25, Overtaken: map[bool]int64{false: 5}[fails]})
				if records := h.check("invoices"); len(records) != 25 {
					t.Errorf("%d records, want 20 rows and 5 changes", len(records))
				}
			})
		})
	}
}

// Two versions of a second have one updated-at, and both go.
func TestLettersOfTwoVersionsOfASecondBothGo(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 110, Rows: 1, Objects: []string{"invoices"}}, func(h *harness) {
		h.oversized(1)
		first := h.consume("coupa.dead")[0]
		second := *first
		second.Value = append(slices.Clip(first.Value[:len(first.Value)-1]), `,"comments":"within the same second"}`...)
		h.bury(&second, first, &second)
		h.mustReplay(replay.Result{Object: "invoices", Failing: 2, Overtaken: 2})
		h.limit("coupa.invoices", 1<<20)
		h.mustReplay(replay.Result{Object: "invoices", Replayed: 2})
		records := h.records("coupa.invoices")
		if len(records) != 2 || strings.Contains(string(records[0].value), "same second") || !strings.Contains(string(records[1].value), "same second") {
			t.Errorf("%d records, want both versions in their order", len(records))
		}
	})
}

// The second of two versions of a second goes behind the first
// in another replay, too, if Coupa has it, and once.
func TestALetterOfTheSecondThatHasGoneOutGoesIfCoupaHasIt(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 112, Rows: 1, Objects: []string{"invoices"}}, func(h *harness) {
		h.oversized(1)
		second := *h.consume("coupa.dead")[0]
		h.stop()
		h.limit("coupa.invoices", 1<<20)
		h.mustReplay(replay.Result{Object: "invoices", Replayed: 1})
		second.Value = append(slices.Clip(second.Value[:len(second.Value)-1]), `,"comments":"within the same second"}`...)
		h.bury(&second)
		h.mustReplay(replay.Result{Object: "invoices", Overtaken: 1})
		h.tenant.SetRaw("invoices", h.tenant.Rows("invoices")[0].ID, second.Value)
		h.bury(&second)
		h.mustReplay(replay.Result{Object: "invoices", Replayed: 1})
		h.bury(&second)
		h.mustReplay(replay.Result{Object: "invoices", Overtaken: 1})
		if records := h.records("coupa.invoices"); len(records) != 2 || !strings.Contains(string(records[1].value), "same second") {
			t.Errorf("%d records, want both versions", len(records))
		}
	})
}

// Where rows have no updated-at, a letter of what the one before it holds is none of another version.
func TestUndatedLettersAreToldApartByWhatTheyHold(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 111, Rows: 1, Objects: []string{"invoices"}}, func(h *harness) {
		h.oversized(1)
		first := *h.consume("coupa.dead")[0]
		first.Headers = slices.DeleteFunc(slices.Clone(first.Headers), func(h kgo.RecordHeader) bool { return h.Key == record.HeaderUpdatedAt })
		second := first
		second.Value = append(slices.Clip(first.Value[:len(first.Value)-1]), `,"comments":"changed"}`...)
		h.bury(&first, &first, &second, &second, &first)
		h.mustReplay(replay.Result{Object: "invoices", Failing: 4, Overtaken: 2})
		h.limit("coupa.invoices", 1<<20)
		h.mustReplay(replay.Result{Object: "invoices", Replayed: 4})
		var held []bool
		for _, r := range h.consume("coupa.invoices") {
			held = append(held, strings.Contains(string(r.Value), "changed"))
		}
		if !slices.Equal(held, []bool{false, false, true, false}) {
			t.Errorf("%v, want the dated letter, and what was changed and changed back", held)
		}
	})
}

// What topics of lines hold is the worker's affair: a snapshot
// publishes rows and lines, and the letters are done with.
func TestLettersOfRowsWithLineTopicsGoByASnapshot(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 107, Rows: 20, Objects: []string{"invoices"}}, func(h *harness) {
		h.keys["lines"] = config.LinesTopics
		h.conflicted(20)
		var all []int64
		for _, row := range h.tenant.Rows("invoices") {
			all = append(all, row.ID)
		}
		h.mustReplay(replay.Result{Object: "invoices", Failing: 20, Snapshot: all})
		h.snapshot(h.running, status.SnapshotRequest{IDs: all})
		h.pass(time.Minute)
		h.mustReplay(replay.Result{Object: "invoices", Overtaken: 20})
		h.checkLines("acme", "invoices")
		if n := len(h.records("coupa.invoices")); n != 20 {
			t.Errorf("%d records, want one of each row", n)
		}
	})
}

// Letters of which Kafka leaves a transaction open are committed by the next call, which goes on behind them.
func TestATransactionOfLettersThatKafkaLeavesOpenIsSettled(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 107, Rows: 600, Objects: []string{"invoices"}}, func(h *harness) {
		h.conflicted(600) // more than a transaction has
		if last, all, err := h.letters(10); err != nil || all != 600 || len(last) != 10 {
			t.Errorf("%v: %d of %d letters wait", err, len(last), all)
		}
		skipped := h.skipEnd("coupastream-replay-acme", true, "applied")
		got, err := h.replay()
		if !errors.Is(err, txn.ErrLeftOpen) || got[0].Replayed == 0 || got[0].Replayed == 600 {
			t.Fatalf("%+v, %v", got, err)
		}
		h.mustReplay(replay.Result{Object: "invoices", Replayed: 600 - got[0].Replayed})
		if records := h.check("invoices"); len(records) != 600 {
			t.Errorf("%d records, want 600", len(records))
		}
		if len(skipped.seen()) < 2 || !skipped.seen()[1].Commit {
			t.Errorf("of %d ends the second one is no commit", len(skipped.seen()))
		}
	})
}
