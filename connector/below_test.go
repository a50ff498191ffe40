package connector

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/connector/stream"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/coupa/coupatest"
	"github.com/coupastream/coupastream/schemas"
)

// withParent is a row as a walk reads it.
func withParent(v coupatest.Version) []byte {
	if v.Parent == 0 {
		return v.JSON
	}
	return fmt.Appendf(nil, `{"%s":%d,%s`, schemas.ParentKey, v.Parent, v.JSON[1:])
}

const documents = "contracts/legal_documents"

// below runs a test on a connector of legal documents alone: contracts are read for their ids only.
func below(t *testing.T, cfg coupatest.Config, f func(*harness)) {
	t.Helper()
	cfg.Objects = []string{"contracts", documents}
	simulate(t, cfg, func(h *harness) {
		h.keys["coupa.objects"], h.keys["value.format"], h.keys["reread.interval.ms"], h.keys["coupa.rate.limit"] = documents, "json", "600000", "20"
		f(h)
	})
}

func TestThereIsOneNameForAParentsID(t *testing.T) {
	if coupa.ParentKey != schemas.ParentKey {
		t.Errorf("%s in rows, %s in schemas", coupa.ParentKey, schemas.ParentKey)
	}
}

func TestRowsBelowOthersAreReadWholeAndComparedByContent(t *testing.T) {
	below(t, coupatest.Config{Seed: 301, Rows: 160}, func(h *harness) {
		h.start()
		h.pass(2 * time.Minute)
		records := h.consume("coupa.contracts_legal_documents")
		h.everyVersion(documents, records, valueOf)
		if len(records) != 160 {
			t.Fatalf("%d records, want 160", len(records))
		}
		if r := records[0]; opOf(r) != record.OpSnapshot || !strings.Contains(valueOf(r), `"parent_id":`) {
			t.Errorf("%s, %s; want a snapshot of rows with their parents", opOf(r), valueOf(r))
		}
		h.tenant.Update(documents, 9)
		h.tenant.Create(documents)
		h.tenant.SetParent(documents, 3, h.tenant.Rows("contracts")[159].ID)
		h.pass(11 * time.Minute)
		h.stop()
		h.state = t.TempDir()
		r := h.start()
		before := h.tenant.RequestCounts()[documents]
		h.pass(11 * time.Minute)
		records = h.consume("coupa.contracts_legal_documents")
		h.everyVersion(documents, records, valueOf)
		if len(records) != 163 {
			t.Errorf("%d records, want 160, a change, a new row and one that has another parent", len(records))
		}
		if n := h.tenant.RequestCounts()[documents] - before; n > 2*160+60 {
			t.Errorf("%d requests in two rounds over 160 parents", n)
		}
		if s := r.Connectors()[0].Tasks[0]; s.State != status.Running || s.Snapshot || s.Mark.IsZero() {
			t.Errorf("%+v", s)
		}
	})
}

// A walk over parents that is stopped goes on with the parent
// that it was at, whatever is lost and fails on the way.
func TestAWalkOverParentsGoesOnWhereItStopped(t *testing.T) {
	longRaced(t)
	below(t, coupatest.Config{Seed: 302, Rows: 900, Latency: 50 * time.Millisecond}, func(h *harness) {
		parent := h.tenant.Rows("contracts")[40].ID
		for i, v := range h.tenant.Rows(documents) { // one has several pages
			if i%6 == 0 {
				h.tenant.SetParent(documents, v.ID, parent)
			}
		}
		for i := range 5 {
			h.start()
			for _, kind := range []coupatest.FaultKind{coupatest.Truncate, coupatest.Reset, coupatest.HTML503, coupatest.RepeatRow} {
				h.tenant.Inject(coupatest.Fault{Kind: kind, Object: documents, After: 20 + 30*i})
			}
			h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.UnknownServerError, Count: 1})
			h.pass(11 * time.Second)
			h.stop()
			if i%2 == 0 {
				h.state = t.TempDir()
			}
		}
		h.start()
		h.pass(8 * time.Minute)
		records := h.consume("coupa.contracts_legal_documents")
		h.everyVersion(documents, records, valueOf)
		if len(records) != 900 {
			t.Errorf("%d records, want each row once", len(records))
		}
		if n := h.tenant.RequestCounts()[documents]; n > 2*900 {
			t.Errorf("%d requests for what is below 900 rows", n)
		}
	})
}

// twin is Coupa with an id that rows of two parents have.
type twin struct {
	stream.Source
	id [2]int64
}

func (s twin) Fetch(ctx context.Context, q coupa.Query, yield func(coupa.Row) error) (coupa.Page, error) {
	return s.Source.Fetch(ctx, q, func(r coupa.Row) error {
		if r.ID == s.id[1] {
			r.ID = s.id[0]
		}
		return yield(r)
	})
}

func TestAnIDBelowTwoParentsStopsTheObject(t *testing.T) {
	below(t, coupatest.Config{Seed: 303, Rows: 160}, func(h *harness) {
		rows := h.tenant.Rows(documents)
		h.source = func(s stream.Source) stream.Source { return twin{Source: s, id: [2]int64{rows[3].ID, rows[4].ID}} }
		r := h.start()
		for range 2 { // trying again does not get by it
			h.pass(20 * time.Minute)
			s := r.Connectors()[0].Tasks[0]
			if s.State != status.Failed || !strings.Contains(s.Trace, fmt.Sprintf("%s id %d: Coupa has rows of this id below both", documents, rows[3].ID)) {
				t.Fatalf("%+v", s)
			}
		}
	})
}

func TestARowThatMovesWhileAWalkIsUnderWayIsNoTwin(t *testing.T) {
	below(t, coupatest.Config{Seed: 304, Rows: 160, Latency: 20 * time.Millisecond}, func(h *harness) {
		row := h.tenant.Rows(documents)[5]
		moved := false
		h.tenant.OnRequest(func(r coupatest.Request) {
			if !moved && strings.HasPrefix(r.Path, fmt.Sprintf("/api/contracts/%d/", row.Parent)) && len(r.Query.Get("fields")) == 0 && r.Rows > 0 {
				moved = true
				h.tenant.SetParent(documents, row.ID, h.tenant.Rows("contracts")[150].ID)
			}
		})
		r := h.start()
		h.pass(5 * time.Minute)
		records := h.consume("coupa.contracts_legal_documents")
		h.everyVersion(documents, records, valueOf)
		if s := r.Connectors()[0].Tasks[0]; !moved || len(records) != 161 || s.State != status.Running {
			t.Errorf("moved %v, %d records, %+v; want the row with both parents", moved, len(records), s)
		}
	})
}

// What is below one parent may take several requests and go out in several
// parts. When one of the requests fails, the parent is read again.
func TestAParentThatIsReadAgainRepeatsNothing(t *testing.T) {
	longRaced(t)
	for _, kind := range []coupatest.FaultKind{coupatest.Truncate, coupatest.RepeatRow} {
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			below(t, coupatest.Config{Seed: 305, Rows: 150, RowBytes: 30_000}, func(h *harness) {
				parent := h.tenant.Rows("contracts")[10].ID
				for _, v := range h.tenant.Rows(documents) {
					h.tenant.SetParent(documents, v.ID, parent)
				}
				pages := 0
				h.tenant.OnRequest(func(r coupatest.Request) {
					if r.Object == documents && r.Rows == 50 {
						if pages++; pages == 2 || pages == 5 {
							h.tenant.Inject(coupatest.Fault{Kind: kind, Object: documents, Count: 2})
						}
					}
				})
				r := h.start()
				h.pass(5 * time.Minute)
				h.tenant.ClearFaults()
				h.pass(30 * time.Minute)
				records := h.consume("coupa.contracts_legal_documents")
				h.everyVersion(documents, records, valueOf)
				if s := r.Connectors()[0].Tasks[0]; len(records) != 150 || s.State != status.Running || pages < 6 {
					t.Errorf("%d records in %d pages, %+v; want each row once", len(records), pages, s)
				}
			})
		})
	}
}

func TestAMappingKeepsTheParentsID(t *testing.T) {
	below(t, coupatest.Config{Seed: 306, Rows: 60}, func(h *harness) {
		h.keys["mapping"] = "objects: {" + documents + ": {choose: [url], fields: {=parent_id: {rename: contract_id}}}}"
		h.start()
		h.pass(2 * time.Minute)
		records := h.consume("coupa.contracts_legal_documents")
		if len(records) != 60 || !strings.Contains(valueOf(records[0]), `,"contract_id":`) || strings.Contains(valueOf(records[0]), "created") {
			t.Errorf("%d records, the first %s", len(records), valueOf(records[0]))
		}
	})
}

// Every collection that is read through another one arrives as the simulated tenant has it, in Avro.
func TestEveryCollectionBelowRowsCanBeStreamed(t *testing.T) {
	var objects, all []string
	for _, r := range coupa.Resources() {
		if r.Parent != "" {
			objects, all = append(objects, r.Path), append(all, r.Parent, r.Path)
		}
	}
	simulate(t, coupatest.Config{Seed: 307, Rows: 40, Objects: all}, func(h *harness) {
		h.keys["coupa.objects"], h.keys["coupa.rate.limit"], h.keys["fields"] = strings.Join(objects, ","), "15", "schema"
		h.start()
		h.pass(2 * time.Minute)
		for _, path := range objects {
			if n := len(h.records("coupa." + strings.ReplaceAll(path, "/", "_"))); n != 40 {
				t.Errorf("%s: %d records, want 40", path, n)
			}
		}
	})
}
