package connector

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/sample"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// gateway takes request lines of so many bytes, and may come to take fewer while it runs.
type gateway struct {
	most  atomic.Int64 // 0: any
	cuts  bool         // it closes the connection in place of an answer, as over HTTP/2
	turns atomic.Int64 // how many it has refused
}

// before puts it in front of a tenant.
func (g *gateway) before(tenant http.RoundTripper) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		most := int(g.most.Load())
		if most == 0 || len(r.Method+" "+r.URL.RequestURI()+" HTTP/1.1") <= most {
			return tenant.RoundTrip(r)
		}
		g.turns.Add(1)
		if g.cuts {
			return nil, errors.New("http2: server sent GOAWAY and closed the connection; LastStreamID=1, ErrCode=ENHANCE_YOUR_CALM")
		}
		w := httptest.NewRecorder()
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusRequestURITooLong)
		return w.Result(), nil
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// globalName is a custom field of the global namespace.
func globalName(i int) string { return fmt.Sprintf("legacy-cost-center-%d", i) }

// globalValue is what a row has there.
func globalValue(id int64, i int) string { return fmt.Sprintf("center %d of %d.", i, id) }

// addGlobals gives all rows the custom fields from one number up to another.
func (h *harness) addGlobals(object string, from, to int) {
	for _, row := range h.tenant.Rows(object) {
		for i := from; i < to; i++ {
			h.tenant.SetMember(object, row.ID, globalName(i), fmt.Sprintf("%q", globalValue(row.ID, i)))
		}
	}
}

// whole sees to it that the last record of each row has all of its
// custom fields, and that no version is there twice.
func (h *harness) whole(object string, globals int) []readRecord {
	h.t.Helper()
	records := h.records("coupa." + object)
	once := map[string]bool{}
	for _, r := range records {
		if key := fmt.Sprint(r.id, r.updatedAt); once[key] {
			h.t.Errorf("%s id %d of %s was published twice", object, r.id, r.updatedAt)
		} else {
			once[key] = true
		}
	}
	for _, row := range h.tenant.Rows(object) {
		last := newest(h.t, records, row.ID)
		if at := row.UpdatedAt.UTC().Format(time.RFC3339); last.updatedAt != at {
			h.t.Errorf("%s id %d: the last record is of %s, the tenant has %s", object, row.ID, last.updatedAt, at)
		}
		for i := range globals {
			if !bytes.Contains(last.value, []byte(globalValue(row.ID, i))) {
				h.t.Errorf("%s id %d: its record lacks %s", object, row.ID, globalName(i))
				break
			}
		}
	}
	return records
}

// runs sees to it that every task runs, and gives the first.
func (h *harness) runs(r *running) status.TaskStatus {
	h.t.Helper()
	tasks := r.Connectors()[0].Tasks
	for _, s := range tasks {
		if s.State != status.Running || s.Failures > 0 || s.Trace != "" {
			h.t.Errorf("%s is %s: %s (%d failures)", s.Object, s.State, s.Trace, s.Failures)
		}
	}
	return tasks[0]
}

// saidOf counts the log's lines about an object that say so.
func (h *harness) saidOf(object, what string) (n int) {
	for line := range strings.Lines(h.log.String()) {
		if strings.Contains(line, what) && strings.Contains(line, "object="+object) {
			n++
		}
	}
	return n
}

// longest is the longest request line so far.
func (h *harness) longest() (bytes int) {
	for _, r := range h.tenant.Requests() {
		bytes = max(bytes, r.Line)
	}
	return bytes
}

// However many custom fields a company has, what the product asks for because of them stops nothing.
func TestCustomFieldsOfAnyNumberStopNoObject(t *testing.T) {
	longRaced(t)
	for _, tt := range []struct {
		name     string
		globals  int
		custom   string
		gateway  *gateway
		most     int64
		requests int
	}{
		{"20 of them behind a gateway that takes 8190 bytes", 20, "auto", &gateway{}, 8190, 1},
		{"30 of them", 30, "auto", &gateway{}, 8190, 2},
		{"60 of them, typed", 60, "auto", &gateway{}, 8190, 2},
		{"60 of them, as a map", 60, "map", &gateway{}, 8190, 2},
		{"120 of them over HTTP/2", 120, "auto", &gateway{cuts: true}, 6000, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 301, Rows: 60, Objects: []string{"invoices", "suppliers"}}, func(h *harness) {
				h.keys["fields"], h.keys["custom.fields"], h.keys["poll.interval.ms"] = "schema", tt.custom, "5000"
				h.gateway = tt.gateway
				h.gateway.most.Store(tt.most)
				h.addGlobals("invoices", 0, tt.globals)
				r := h.start()
				h.pass(2 * time.Minute)
				s := h.runs(r)
				h.whole("invoices", tt.globals)
				h.whole("suppliers", 0)
				if s.PageRequests != tt.requests || h.longest() > coupa.MaxLine {
					t.Errorf("a page takes %d requests, want %d; the longest line has %d bytes", s.PageRequests, tt.requests, h.longest())
				}
				if said := h.saidOf("invoices", "each page with rows takes several requests"); said != min(1, tt.requests-1) {
					t.Errorf("it is said %d times that pages take several requests", said)
				}
				h.tenant.Update("invoices", 7)
				h.tenant.UpdateLine("invoices", 9)
				h.settle()
				h.runs(r)
			})
		})
	}
}

// What a running worker learns makes requests longer, and the object goes on.
func TestCustomFieldsThatComeUpStopNoObject(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 302, Rows: 60, Objects: []string{"invoices"}, MaxLine: 8190}, func(h *harness) {
		h.keys["fields"], h.keys["poll.interval.ms"] = "schema", "5000"
		h.addGlobals("invoices", 0, 10)
		r := h.start()
		h.settle()
		if s := h.runs(r); s.PageRequests != 1 {
			t.Errorf("a page takes %d requests with ten names", s.PageRequests)
		}
		h.whole("invoices", 10)
		for _, names := range []int{11, 60} {
			h.addGlobals("invoices", 0, names)
			h.pass(sample.Every + time.Minute)
			h.addGlobals("invoices", 0, 1) // what is learned is published with a row's next change
			h.settle()
			h.runs(r)
			h.whole("invoices", names)
		}
		if s := h.runs(r); s.PageRequests != 2 || h.longest() > coupa.MaxLine {
			t.Errorf("a page takes %d requests; the longest line has %d bytes", s.PageRequests, h.longest())
		}
	})
}

// A change of the asking is none of the rows: nothing is published again.
func TestAChangeOfTheAskingPublishesNothing(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 303, Rows: 12, Objects: []string{"invoices"}}, func(h *harness) {
		h.keys["fields"], h.keys["overlap.ms"] = "schema", "60000000000"
		h.keys["lookback.ms"] = h.keys["overlap.ms"] // every poll reads all rows
		h.gateway = &gateway{}
		h.addGlobals("invoices", 0, 20)
		r := h.start()
		h.settle()
		before := len(h.whole("invoices", 20))
		requests := map[int]bool{h.runs(r).PageRequests: true}
		for _, most := range []int64{6500, 4500, 4100, 0} {
			h.gateway.most.Store(most)
			dropped, turns := h.runs(r).Dropped, h.gateway.turns.Load()
			h.settle()
			if s := h.runs(r); s.Dropped <= dropped {
				t.Errorf("%d rows read again and dropped, %d before", s.Dropped, dropped)
			}
			if most > 0 && h.gateway.turns.Load() == turns {
				t.Errorf("a gateway for %d bytes has refused nothing", most)
			}
			if now := len(h.whole("invoices", 20)); now != before {
				t.Errorf("%d records with a gateway for %d bytes, %d before", now, most, before)
			}
			h.stop()
			r = h.start()
			h.settle()
			requests[h.runs(r).PageRequests] = true
		}
		if now := len(h.whole("invoices", 20)); now != before || len(requests) < 3 {
			t.Errorf("%d records, %d before; pages took %v requests", now, before, requests)
		}
	})
}

// Rows that change while their parts are read go out whole.
func TestRowsThatChangeBetweenTheirPartsGoOutWhole(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 304, Rows: 60, Objects: []string{"invoices"}, RateLimit: -1}, func(h *harness) {
		h.keys["fields"] = "schema"
		h.addGlobals("invoices", 0, 60)
		var n atomic.Int64
		h.tenant.OnRequest(func(q coupatest.Request) {
			if q.Rows > 0 && len(q.Query.Get("fields")) > 1000 && n.Load() < 90 {
				id := n.Add(1)%60 + 1
				h.tenant.SetMember("invoices", id, globalName(0), fmt.Sprintf(`"first %d."`, n.Load()))
				h.tenant.SetMember("invoices", id, globalName(59), fmt.Sprintf(`"last %d."`, n.Load()))
			}
		})
		r := h.start()
		h.pass(90 * time.Second)
		h.runs(r)
		versions := map[int64][][2]string{} // by row: what it had in both
		for _, v := range h.tenant.Versions("invoices") {
			var row map[string]any
			if err := json.Unmarshal(v.JSON, &row); err != nil {
				t.Fatal(err)
			}
			versions[v.ID] = append(versions[v.ID], [2]string{fmt.Sprint(row[globalName(0)]), fmt.Sprint(row[globalName(59)])})
		}
		records := h.records("coupa.invoices")
		for _, rec := range records {
			if !slices.ContainsFunc(versions[rec.id], func(v [2]string) bool {
				return bytes.Contains(rec.value, []byte(v[0])) && bytes.Contains(rec.value, []byte(v[1]))
			}) {
				t.Errorf("id %d of %s is of two versions", rec.id, rec.updatedAt)
			}
		}
		for _, v := range h.tenant.Rows("invoices") {
			if last := newest(t, records, v.ID); last.updatedAt != v.UpdatedAt.UTC().Format(time.RFC3339) {
				t.Errorf("id %d: the last record is of %s, the tenant has %s", v.ID, last.updatedAt, v.UpdatedAt)
			}
		}
		if n.Load() < 90 {
			t.Errorf("%d changes between parts", n.Load())
		}
	})
}

// Lists of ids are as long as their request may be.
func TestListsOfIDsFitTheirRequests(t *testing.T) {
	longRaced(t)
	for _, globals := range []int{0, 60} {
		t.Run(fmt.Sprint(globals, " custom fields"), func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 305, Rows: 60, Objects: []string{"invoices"}, MaxLine: 8190}, func(h *harness) {
				h.keys["fields"], h.keys["poll.interval.ms"] = "schema", "5000"
				h.addGlobals("invoices", 0, globals)
				r := h.start()
				h.pass(2 * time.Minute)
				ids := []int64{1, 2, 3, 4, 5}
				for i := range int64(45) {
					ids = append(ids, 12_000_000+i)
				}
				asked := h.snapshot(r, status.SnapshotRequest{IDs: ids})
				h.settle()
				if s := h.snapshots(r)[asked.ID]; s.State != "DONE" || s.Rows != 5 {
					t.Errorf("the snapshot is %+v", s)
				}
				// behind the overlap, which is short once a row has changed: a look-back finds
				// them, and they are read by their ids
				h.tenant.Update("invoices", 5)
				for range 50 {
					h.tenant.CreateLate("invoices", 5*time.Minute)
				}
				h.pass(20 * time.Minute)
				if s := h.runs(r); s.LookbackFinds < 50 {
					t.Errorf("look-backs found %d rows", s.LookbackFinds)
				}
				records := h.records("coupa.invoices")
				for _, row := range h.tenant.Rows("invoices") {
					newest(t, records, row.ID)
				}
				if h.longest() > coupa.MaxLine {
					t.Errorf("the longest line has %d bytes", h.longest())
				}
			})
		})
	}
}

// Where nothing that can be left to another request is too long, the trace says what is.
func TestALineThatCannotBeShorterIsNamed(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 306, Rows: 20, Objects: []string{"invoices"}}, func(h *harness) {
		h.keys["fields"] = "schema"
		h.gateway = &gateway{}
		h.gateway.most.Store(3000)
		r := h.start()
		h.settle()
		s := r.Connectors()[0].Tasks[0]
		for _, want := range []string{"its request line has", "bytes", "leave-out or choose", "custom.fields = off", "fields = all"} {
			if !strings.Contains(s.Trace, want) {
				t.Errorf("%s: %q, want it to say %q", s.State, s.Trace, want)
			}
		}
	})
}
