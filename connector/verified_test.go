package connector

import (
	"errors"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// What a comparison has found is told by whichever worker is asked, and outlives them. It goes with the
// connector, and a comparison of another instance or topic is not taken for one of this connector.
func TestTheLastComparisonIsKeptByTheGroup(t *testing.T) {
	longRaced(t)
	bare(t, coupatest.Config{Seed: 95, Rows: 5}, func(h *harness, r *running) {
		h.create(r, nil)
		note := func(tenant, topic, object string, v status.Verified) error {
			return r.NoteVerified(h.t.Context(), "acme", tenant, []status.Compared{{Object: object, Topic: topic, Verified: v}})
		}
		until := time.Now().UTC().Truncate(time.Second)
		if err := note("acme", "coupa.invoices", "invoices", status.Verified{Until: until, Rows: 5}); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Hour)
		later := time.Now().UTC().Truncate(time.Second)
		if err := note("acme", "coupa.invoices", "invoices", status.Verified{Since: until.Add(-time.Minute), Until: later, Rows: 1, Requested: 3}); err != nil {
			t.Fatal(err)
		}
		if err := note("acme", "coupa.suppliers", "suppliers", status.Verified{Until: later, Found: map[string]int64{"stale": 2}}); err != nil {
			t.Fatal(err)
		}
		for what, err := range map[string]error{
			"another tenant":    note("other", "coupa.invoices", "invoices", status.Verified{Until: later}),
			"another topic":     note("acme", "coupa.other", "invoices", status.Verified{Until: later}),
			"an unknown object": note("acme", "coupa.users", "users", status.Verified{Until: later}),
		} {
			if problems := (config.Problems)(nil); !errors.As(err, &problems) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if err := r.NoteVerified(h.t.Context(), "nope", "acme", nil); !errors.Is(err, ErrUnknownConnector) {
			t.Errorf("an unknown connector: %v", err)
		}
		tells := func(w *running, when string) {
			t.Helper()
			c, err := w.Connector("acme")
			if err != nil || len(c.Tasks) != 2 {
				t.Fatalf("%+v, %v", c, err)
			}
			invoices, suppliers := c.Tasks[0].Verified, c.Tasks[1].Verified
			if !invoices.ProvenUntil.Equal(later) || !invoices.ProvenFrom.IsZero() || invoices.Rows != 1 || invoices.Requested != 3 || !invoices.At.Equal(later) ||
				suppliers.Differences() != 2 || !suppliers.ProvenUntil.IsZero() {
				t.Errorf("%s: %+v, %+v", when, invoices, suppliers)
			}
		}
		tells(r, "on the worker that was told")
		h.stop()
		r = h.started()
		tells(r, "on one that starts later")
		if err := r.Delete(h.t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		h.create(r, nil)
		if c, err := r.Connector("acme"); err != nil || !c.Tasks[0].Verified.At.IsZero() {
			t.Errorf("of a connector that was made anew: %+v, %v", c.Tasks, err)
		}
	})
}
