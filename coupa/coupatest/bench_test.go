package coupatest

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"
)

// discard is a response that goes nowhere.
type discard struct {
	header http.Header
	n      int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(p []byte) (int, error) { d.n += len(p); return len(p), nil }

// BenchmarkPage serves pages of 50 rows of 3 KB out of 100 000 rows, as a
// backfill asks for them; first is the time of a page that nobody asked for yet.
func BenchmarkPage(b *testing.B) {
	tenant := New(Config{Rows: 100_000, RowBytes: 3000, RateLimit: -1, TokenHold: -1, Objects: []string{"invoices"}})
	token := tenant.mint(tenant.cfg.Scopes)
	fields := leanFields(tenant.tables["invoices"].shape)
	get := func(b *testing.B, query ...string) {
		r := httptest.NewRequest(http.MethodGet, path("invoices", append(query, "fields", fields)...), nil)
		r.Header.Set("Accept", "application/json")
		r.Header.Set("Authorization", "Bearer "+token)
		w := &discard{header: http.Header{}}
		tenant.ServeHTTP(w, r)
		b.SetBytes(int64(w.n))
	}
	end := stamp(time.Now())
	b.Run("first", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			get(b, "id[gt]", strconv.Itoa(i*58%100_000), "updated_at[lt]", end)
		}
	})
	b.Run("again", func(b *testing.B) {
		for b.Loop() {
			get(b, "id[gt]", "0", "updated_at[lt]", end)
		}
	})
	b.Run("idle poll", func(b *testing.B) {
		for b.Loop() {
			get(b, "id[gt]", "0", "updated_at[gt_or_eq]", end, "order_by", "id")
		}
	})
	b.Run("highest id", func(b *testing.B) {
		for b.Loop() {
			get(b, "order_by", "id", "dir", "desc", "limit", "1")
		}
	})
}

func BenchmarkUpdate(b *testing.B) {
	tenant := New(Config{Rows: 1000, Objects: []string{"invoices"}})
	for i := 0; b.Loop(); i++ {
		tenant.update("invoices", int64(i%800)+1, 0)
	}
}
