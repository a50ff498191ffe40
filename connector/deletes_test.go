package connector

import (
	"slices"
	"testing"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// sweeping lets a harness's connectors look for deletes every ten minutes.
func (h *harness) sweeping() {
	h.keys["deletes"], h.keys["deletes.interval.ms"] = "sweep", "600000"
	h.keys["poll.interval.ms"] = "5000"
}

// sweeps lets so many sweeps pass, with what they confirm.
func (h *harness) sweeps(n int) { h.pass(time.Duration(n)*10*time.Minute + 2*time.Minute) }

// deletes is what the status tells of them.
func (h *harness) deletes() status.Deletes {
	h.t.Helper()
	d := h.running.Connectors()[0].Tasks[0].Deletes
	if d == nil {
		h.t.Fatal("nothing is told of deletes")
	}
	return *d
}

// deleted are the ids whose last record is a tombstone, and how many tombstones there are.
func (h *harness) deleted(topic string) (ids []int64, tombstones int) {
	h.t.Helper()
	last := map[int64]readRecord{}
	for _, r := range h.records(topic) {
		if last[r.id] = r; r.value == nil {
			tombstones++
			if r.op != record.OpDelete || r.updatedAt != "" || r.headers[record.HeaderObject] == "" || r.headers[record.HeaderTenant] != "acme" {
				h.t.Errorf("the tombstone of %d has the headers %v", r.id, r.headers)
			}
		}
	}
	for id, r := range last {
		if r.value == nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, tombstones
}

func (h *harness) expectDeleted(topic string, tombstones int, want ...int64) {
	h.t.Helper()
	if got, n := h.deleted(topic); !slices.Equal(got, want) || n != tombstones {
		h.t.Errorf("%v are deleted by %d tombstones, want %v by %d", got, n, want, tombstones)
	}
}

func TestRowsThatAreDeletedGetTombstones(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 801, Rows: 130, Objects: []string{"invoices"}}, func(h *harness) {
		h.sweeping()
		h.start()
		h.settle()
		h.tenant.Delete("invoices", 7)
		h.tenant.Delete("invoices", 130)
		h.sweeps(1)
		h.expectDeleted("coupa.invoices", 2, 7, 130)
		h.tenant.Undelete("invoices", 7) // as it was: no poll finds it
		h.tenant.Update("invoices", 8)
		h.sweeps(1)
		h.expectDeleted("coupa.invoices", 2, 130)
		h.tenant.Delete("invoices", 7)
		h.sweeps(1)
		h.expectDeleted("coupa.invoices", 3, 7, 130)
		h.tenant.Undelete("invoices", 7)
		h.tenant.Update("invoices", 7) // a poll finds it
		h.pass(20 * time.Second)
		h.expectDeleted("coupa.invoices", 3, 130)
		h.sweeps(2)
		h.check("invoices")
		if d := h.deletes(); d.Deleted != 3 || d.Stage != checkpoint.SweepResting || d.Since.IsZero() || d.Missing != 0 || d.Known != 129 {
			t.Errorf("the status says %+v", d)
		}
	})
}

// A stream that runs when the key is switched on learns from its topic what it has published.
func TestDeletesOfAStreamThatRuns(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 802, Rows: 60, Objects: []string{"invoices"}}, func(h *harness) {
		h.start()
		h.settle()
		h.stop()
		h.sweeping()
		h.tenant.Delete("invoices", 5)
		h.start()
		h.sweeps(1)
		h.expectDeleted("coupa.invoices", 1, 5)
		h.stop()
		h.state = t.TempDir()
		h.tenant.Delete("invoices", 6)
		h.start()
		h.sweeps(1)
		h.expectDeleted("coupa.invoices", 2, 5, 6)
		h.stop()
		h.keys["deletes"] = "off"
		h.start()
		h.settle()
		h.tenant.Delete("invoices", 9)
		h.stop()
		h.keys["deletes"] = "sweep"
		h.start()
		h.sweeps(1)
		h.expectDeleted("coupa.invoices", 3, 5, 6, 9)
		h.check("invoices")
	})
}
