package connector

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/connector/stream"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

func (h *harness) snapshot(r *running, q status.SnapshotRequest) status.Snapshot {
	h.t.Helper()
	q.Object = "invoices"
	s, err := r.Snapshot(h.t.Context(), "acme", q)
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// snapshots are those of the connector, by id.
func (h *harness) snapshots(r *running) map[string]status.Snapshot {
	h.t.Helper()
	all, err := r.Snapshots(h.t.Context(), "acme")
	if err != nil {
		h.t.Fatal(err)
	}
	byID := map[string]status.Snapshot{}
	for _, s := range all {
		byID[s.ID] = s
	}
	return byID
}

func TestASnapshotPublishesWhatIsAskedForOnceMore(t *testing.T) {
	longRaced(t)
	bare(t, coupatest.Config{Seed: 100, Rows: 230}, func(h *harness, r *running) {
		h.create(r, nil)
		h.settle()
		h.pass(2 * time.Minute) // all that is there lies before the mark
		rows := h.tenant.Rows("invoices")
		at := rows[120].UpdatedAt.Truncate(time.Second)
		within := 0
		for _, row := range rows {
			if !row.UpdatedAt.Before(at) {
				within++
			}
		}
		for name, ask := range map[string]struct {
			request status.SnapshotRequest
			want    int
		}{
			"everything":     {status.SnapshotRequest{}, 230},
			"some ids":       {status.SnapshotRequest{IDs: []int64{rows[3].ID, rows[99].ID, rows[3].ID}}, 2},
			"120 ids":        {status.SnapshotRequest{IDs: ids(rows[:120])}, 120},
			"a span of time": {status.SnapshotRequest{From: at}, within},
			"a condition":    {status.SnapshotRequest{Filter: url.Values{"id[gt_or_eq]": {fmt.Sprint(rows[200].ID)}}}, 30},
		} {
			before := requested(h.records("coupa.invoices"))
			s := h.snapshot(r, ask.request)
			h.pass(time.Minute)
			records := h.records("coupa.invoices")
			if n := requested(records) - before; n != ask.want || len(records) != 230+before+n {
				t.Errorf("%s: %d records that say so were asked for, want %d; %d others", name, n, ask.want, len(records)-before-n)
			}
			for _, rec := range records {
				if rec.op != record.OpSnapshot {
					t.Errorf("%s: a record is marked %s", name, rec.op)
				}
			}
			if now := h.snapshots(r)[s.ID]; now.State != checkpoint.RequestDone || now.Rows != int64(ask.want) || now.Ended.IsZero() {
				t.Errorf("%s: %+v", name, now)
			}
		}
		h.tenant.Update("invoices", rows[3].ID)
		before := len(h.records("coupa.invoices"))
		h.settle()
		records := h.records("coupa.invoices")
		if n := len(records) - before; n != 1 || len(records)-requested(records) != 231 {
			t.Errorf("%d records after one change, %d in all that nobody asked for", n, len(records)-requested(records))
		}
	})
}

// requested are how many of the records say that somebody asked for them.
func requested(all []readRecord) (n int) {
	for _, r := range all {
		if r.headers[record.HeaderReason] == record.ReasonRequested {
			n++
		}
	}
	return n
}

func ids(rows []coupatest.Version) (all []int64) {
	for _, r := range rows {
		all = append(all, r.ID)
	}
	return all
}

func TestASnapshotIsPausedResumedAndCancelled(t *testing.T) {
	longRaced(t)
	bare(t, coupatest.Config{Seed: 101, Rows: 600}, func(h *harness, r *running) {
		h.create(r, map[string]string{"coupa.rate.limit": "1", "coupa.objects": "invoices", "poll.interval.ms": "30000"})
		h.pass(5 * time.Minute)
		set := func(id string, s checkpoint.RequestState) {
			t.Helper()
			if err := r.SetSnapshot(h.t.Context(), "acme", id, s); err != nil {
				t.Fatal(err)
			}
		}
		published := len(h.records("coupa.invoices"))
		first := h.snapshot(r, status.SnapshotRequest{})
		h.pass(5 * time.Second)
		set(first.ID, checkpoint.RequestPaused)
		h.pass(time.Second)
		paused := len(h.records("coupa.invoices"))
		h.pass(time.Minute)
		if n := len(h.records("coupa.invoices")); n != paused || n == published || n == published+600 {
			t.Errorf("%d records when it was paused, %d later, %d before it", paused, n, published)
		}
		h.stop() // it is still there, and goes on where it was
		r = h.started()
		set(first.ID, checkpoint.RequestRunning)
		h.pass(2 * time.Minute)
		if n := len(h.records("coupa.invoices")); n != published+600 {
			t.Errorf("%d records of a snapshot of 600", n-published)
		}
		second := h.snapshot(r, status.SnapshotRequest{})
		h.pass(4 * time.Second)
		set(second.ID, checkpoint.RequestCancelled)
		h.pass(time.Second)
		left := len(h.records("coupa.invoices"))
		h.pass(time.Minute)
		s := h.snapshots(r)[second.ID]
		if n := len(h.records("coupa.invoices")); n != left || s.State != checkpoint.RequestCancelled {
			t.Errorf("%d records after it was cancelled; %+v", n-left, s)
		}
		if err := r.SetSnapshot(h.t.Context(), "acme", second.ID, checkpoint.RequestRunning); !errors.Is(err, ErrUnknownSnapshot) {
			t.Errorf("resuming it: %v", err)
		}
	})
}

// Each row has its versions in order, whatever the polls publish meanwhile
// and whatever dies, and the snapshot gives each row at most once more.
func TestASnapshotBesideChangesKeepsVersionsInOrder(t *testing.T) {
	bare(t, coupatest.Config{Seed: 102, Rows: 300}, func(h *harness, r *running) {
		h.create(r, map[string]string{"coupa.rate.limit": "4", "coupa.objects": "invoices"})
		h.pass(3 * time.Minute)
		s := h.snapshot(r, status.SnapshotRequest{})
		for i := range 30 {
			h.tenant.Update("invoices", int64(1+7*i))
			h.pass(400 * time.Millisecond)
			if i%10 == 9 {
				h.stop()
				r = h.started()
			}
		}
		h.pass(5 * time.Minute)
		if now := h.snapshots(r)[s.ID]; now.State != checkpoint.RequestDone {
			t.Fatalf("%+v", now)
		}
		last, again := map[int64]string{}, map[int64]int{}
		for _, rec := range h.records("coupa.invoices") {
			if rec.updatedAt < last[rec.id] {
				t.Errorf("row %d: %s after %s", rec.id, rec.updatedAt, last[rec.id])
			}
			last[rec.id] = rec.updatedAt
			if rec.op == record.OpSnapshot {
				again[rec.id]++
			}
		}
		for id, n := range again {
			if n > 2 { // the backfill and the snapshot
				t.Errorf("row %d is in %d snapshots", id, n)
			}
		}
		for _, row := range h.tenant.Rows("invoices") {
			if at := row.UpdatedAt.UTC().Format(time.RFC3339); last[row.ID] != at {
				t.Errorf("row %d: the last version is of %s, want %s", row.ID, last[row.ID], at)
			}
		}
	})
}

func TestASnapshotThatCannotBeIsRefused(t *testing.T) {
	bare(t, coupatest.Config{Seed: 103, Rows: 10}, func(h *harness, r *running) {
		h.create(r, nil)
		h.settle()
		for name, q := range map[string]status.SnapshotRequest{
			"an object that the connector has not": {Object: "contracts"},
			"a window of nothing":                  {Object: "invoices", From: time.Now(), To: time.Now()},
			"an id of zero":                        {Object: "invoices", IDs: []int64{0}},
			"too many ids":                         {Object: "invoices", IDs: make([]int64, status.MaxSnapshotIDs+1)},
			"a condition that no URL takes":        {Object: "invoices", Filter: url.Values{"status": {strings.Repeat("x", stream.MaxFilter)}}},
			"a condition that the walk needs":      {Object: "invoices", Filter: url.Values{"order_by": {"id"}}},
		} {
			if problems := (config.Problems)(nil); !errors.As(second(r.Snapshot(h.t.Context(), "acme", q)), &problems) {
				t.Errorf("%s is accepted", name)
			}
		}
	})
}
