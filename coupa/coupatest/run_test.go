package coupatest

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// runFor lets a tenant change rows for a while.
func runFor(t *testing.T, tenant *Tenant, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := tenant.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestThePagesOfATenantThatChangesAreItsVersions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Rows: 60, ChangesPerSecond: 40, Objects: []string{"invoices", "contracts", "users"}})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		done := make(chan error)
		go func() { done <- r.tenant.Run(ctx) }()
		seen := map[string]bool{}
		for ctx.Err() == nil {
			<-time.After(time.Second)
			since := stamp(time.Now().Add(-4 * time.Second))
			for _, object := range r.tenant.cfg.Objects {
				rows := r.walk(object, "updated_at[gt_or_eq]", since)
				if lines := r.tenant.tables[object].Lines; lines != "" {
					rows = append(rows, r.walk(object, lines+"[updated_at][gt_or_eq]", since)...)
				}
				for _, row := range rows {
					seen[object+string(row.JSON)] = true
				}
			}
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Until(r.tenant.SettledAt()))
		read, versions, lines := len(seen), 0, 0
		for _, object := range r.tenant.cfg.Objects {
			log := r.tenant.Versions(object)
			if !slices.IsSortedFunc(log, func(a, b Version) int { return int(a.Seq - b.Seq) }) {
				t.Errorf("%s: the log is out of order", object)
			}
			latest := map[int64]Version{}
			for _, v := range log {
				if former, ok := latest[v.ID]; ok && former.UpdatedAt.Equal(v.UpdatedAt) {
					lines++
				} else if ok && former.UpdatedAt.After(v.UpdatedAt) {
					t.Errorf("%s %d: updated-at went back", object, v.ID)
				}
				latest[v.ID] = v
				delete(seen, object+string(v.JSON))
			}
			rows := r.walk(object)
			if versions += len(log); len(rows) != len(latest) {
				t.Errorf("%s: %d rows in pages, %d in the log", object, len(rows), len(latest))
			}
			for _, row := range rows {
				if string(row.JSON) != string(latest[row.ID].JSON) {
					t.Errorf("%s %d: the page does not have the last version", object, row.ID)
				}
			}
		}
		if read == 0 || len(seen) != 0 {
			t.Errorf("%d of %d rows of pages are in no log", len(seen), read)
		}
		if changes := versions - 3*60; changes < 40*19 || lines == 0 {
			t.Errorf("%d changes, %d of them of lines alone", changes, lines)
		}
	})
}

func TestPauseStopsChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tenant := New(Config{Rows: 5, ChangesPerSecond: 10, Objects: []string{"users"}})
		tenant.Pause()
		runFor(t, tenant, 10*time.Second)
		if n := len(tenant.Versions("users")); n != 5 {
			t.Errorf("%d versions after a pause", n)
		}
		tenant.Resume()
		runFor(t, tenant, 10*time.Second)
		if n := len(tenant.Versions("users")); n < 5+99 {
			t.Errorf("%d versions after ten seconds", n)
		}
	})
}
