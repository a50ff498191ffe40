package connector

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/replay"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// waiting are the letters that wait of an object, as they are told after the next count.
func (h *harness) waiting(object string) status.Letters {
	h.t.Helper()
	h.pass(lettersEvery + lettersTime)
	return h.task("acme", object).Letters
}

// Letters of a topic count until a replay has passed them, those of another tenant not at all. Who takes over
// counts those that were there before.
func TestDeadLettersThatWaitAreCountedUntilTheyAreReplayed(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 131, Rows: 20, Objects: []string{"invoices", "users"}}, func(h *harness) {
		h.keys["errors.tolerance"], h.keys["object.invoices.errors.deadletterqueue.topic.name"] = "all", "coupa.dead"
		h.keys["object.users.errors.tolerance"] = "none"
		row := h.tenant.Rows("invoices")[7]
		h.tenant.SetRaw("invoices", row.ID, spoilt(row.JSON))
		h.start()
		h.settle()
		if got := h.waiting("invoices"); got != (status.Letters{Counted: true, Waiting: 1}) {
			t.Errorf("%+v, want one that waits", got)
		}
		if got := h.waiting("users"); got.Counted {
			t.Errorf("%+v, where no topic is named for them", got)
		}
		h.bury(&kgo.Record{Topic: "coupa.dead", Key: []byte("another's"), Headers: []kgo.RecordHeader{
			{Key: record.HeaderTenant, Value: []byte("globex")}, {Key: record.HeaderObject, Value: []byte("invoices")}, {Key: record.HeaderErrorConnector, Value: []byte("globex")},
		}})
		h.mustReplayAll(replay.Result{Object: "invoices", Failing: 1}, replay.Result{Object: "users"})
		if got := h.waiting("invoices"); got.Waiting != 1 {
			t.Errorf("%+v, want the one that stands at the end again", got)
		}
		h.stop()
		h.start()
		h.settle()
		if got := h.waiting("invoices"); got.Waiting != 1 {
			t.Errorf("%+v after a take-over, want the one that was there before", got)
		}
		h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Err: kerr.GroupAuthorizationFailed, Group: h.make().settings.GroupID + "-replay-acme", Count: 100})
		if got := h.waiting("invoices"); got.Counted {
			t.Errorf("%+v, where it can't be known", got)
		}
	})
}

// What a replay has passed waits no more, and what comes then does.
func TestLettersThatWereReplayedWaitNoMore(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 132, Rows: 20, Objects: []string{"invoices"}}, func(h *harness) {
		h.conflicted(20)
		if got := h.waiting("invoices"); got != (status.Letters{Counted: true, Waiting: 20}) {
			t.Errorf("%+v, want all", got)
		}
		h.mustReplay(replay.Result{Object: "invoices", Replayed: 20})
		if got := h.waiting("invoices"); got != (status.Letters{Counted: true}) {
			t.Errorf("%+v after a replay, want none", got)
		}
	})
}
