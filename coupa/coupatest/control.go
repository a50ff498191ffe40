package coupatest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// newControl serves the paths by which a harness in another process looks at a
// tenant and steers it. They need no token and count for no limit; a tenant is
// meant to listen on loopback.
//
//	GET  /_tenant/versions?object=invoices   every version ever, as Version, one JSON object a line
//	GET  /_tenant/rows?object=invoices       the rows that readers see now, likewise
//	GET  /_tenant/deletes?object=invoices    how often rows were removed, {"17":1,…}
//	GET  /_tenant/changes                    {"state":"on","settled_at":…}
//	POST /_tenant/changes?state=on|off       lets Run change rows or not; after "off" none is under way, and
//	                                         none becomes visible after settled_at
//	POST /_tenant/faults                     a Fault as JSON; retry_after in nanoseconds
//	DELETE /_tenant/faults                   ends all faults
//	POST /_tenant/objects/{object}           creates a row
//	POST /_tenant/objects/{object}/{id}      updates one; ?line=1 only a line of it
//	DELETE /_tenant/objects/{object}/{id}    removes one
//	POST /_tenant/objects/{object}/{id}/undelete        Undelete
//	POST /_tenant/objects/{object}/hidden?through=20    Hide of the ids up to one; 0: of none
//	DELETE /_tenant/objects/{object}/{id}/lines   RemoveLine
//	POST /_tenant/objects/{object}/{id}/members/{key}   SetMember to the body
//	POST /_tenant/objects/{object}/{id}/left-out?times=1   LeaveOut
//	POST /_tenant/objects/{object}/{id}/failing?fields=some|all|none   Fail, Mend
//	POST /_tenant/objects/{object}/{id}/undated         Undate
//	POST /_tenant/scopes?scope=a+b           Grant of scopes, of those of Config if none is given
//	POST /_tenant/secret?secret=…            Rotate
//	POST /_tenant/warm?object=invoices&fields=…   Warm; answers {"rows":200}
//	GET  /_tenant/requests                   requests to /api so far, {"invoices":12,…}
//	GET  /_tenant/delivered                  rows in their pages, likewise
//
// What changes a row answers its Version. Without object, versions and rows are
// those of all objects.
func (t *Tenant) newControl() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_tenant/versions", func(w http.ResponseWriter, r *http.Request) {
		t.list(w, r, func(object string) (*table, []*version) {
			t.mu.Lock()
			defer t.mu.Unlock()
			return t.tables[object], t.tables[object].log
		})
	})
	mux.HandleFunc("GET /_tenant/rows", func(w http.ResponseWriter, r *http.Request) { t.list(w, r, t.current) })
	mux.HandleFunc("GET /_tenant/deletes", func(w http.ResponseWriter, r *http.Request) { t.reply(w, t.Deletes(r.FormValue("object"))) })
	mux.HandleFunc("/_tenant/changes", t.controlChanges)
	mux.HandleFunc("POST /_tenant/faults", func(w http.ResponseWriter, r *http.Request) {
		var f Fault
		if err := json.NewDecoder(r.Body).Decode(&f); err != nil || f.Kind == "" {
			http.Error(w, fmt.Sprintf(`want a fault as {"kind":"throttle","object":"invoices","count":1}: %v`, err), http.StatusBadRequest)
			return
		}
		t.Inject(f)
		t.reply(w, f)
	})
	mux.HandleFunc("DELETE /_tenant/faults", func(w http.ResponseWriter, r *http.Request) { t.ClearFaults() })
	mux.HandleFunc("POST /_tenant/scopes", func(_ http.ResponseWriter, r *http.Request) {
		var scopes []string
		if given := r.FormValue("scope"); given != "" {
			scopes = strings.Fields(given)
		}
		t.Grant(scopes)
	})
	mux.HandleFunc("POST /_tenant/secret", func(_ http.ResponseWriter, r *http.Request) { t.Rotate(r.FormValue("secret")) })
	mux.HandleFunc("POST /_tenant/warm", func(w http.ResponseWriter, r *http.Request) {
		n, err := t.Warm(r.FormValue("object"), r.FormValue("fields"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		t.reply(w, map[string]int{"rows": n})
	})
	mux.HandleFunc("GET /_tenant/requests", func(w http.ResponseWriter, r *http.Request) { t.reply(w, t.RequestCounts()) })
	mux.HandleFunc("GET /_tenant/delivered", func(w http.ResponseWriter, r *http.Request) { t.reply(w, t.RowCounts()) })
	mux.HandleFunc("POST /_tenant/objects/{object}", func(w http.ResponseWriter, r *http.Request) {
		t.replyVersion(w, t.Create(r.PathValue("object")))
	})
	mux.HandleFunc("POST /_tenant/objects/{object}/{id}", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("line") != "" {
			t.replyVersion(w, t.UpdateLine(target(r)))
			return
		}
		t.replyVersion(w, t.Update(target(r)))
	})
	mux.HandleFunc("DELETE /_tenant/objects/{object}/{id}", func(w http.ResponseWriter, r *http.Request) {
		if !t.Delete(target(r)) {
			http.Error(w, "no such row", http.StatusNotFound)
		}
	})
	mux.HandleFunc("POST /_tenant/objects/{object}/{id}/undelete", t.controlRow(func(_ *http.Request, object string, id int64) bool {
		return t.Undelete(object, id)
	}))
	mux.HandleFunc("POST /_tenant/objects/{object}/hidden", t.controlRow(func(r *http.Request, object string, _ int64) bool {
		through, err := strconv.ParseInt(r.FormValue("through"), 10, 64)
		t.Hide(object, func(id int64) bool { return id <= through })
		return err == nil
	}))
	mux.HandleFunc("DELETE /_tenant/objects/{object}/{id}/lines", func(w http.ResponseWriter, r *http.Request) {
		t.replyVersion(w, t.RemoveLine(target(r)))
	})
	mux.HandleFunc("POST /_tenant/objects/{object}/{id}/members/{key}", func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if err != nil || !json.Valid(raw) {
			http.Error(w, "want the member's value as JSON", http.StatusBadRequest)
			return
		}
		object, id := target(r)
		t.replyVersion(w, t.SetMember(object, id, r.PathValue("key"), string(raw)))
	})
	mux.HandleFunc("POST /_tenant/objects/{object}/{id}/left-out", t.controlRow(func(r *http.Request, object string, id int64) bool {
		times, err := strconv.Atoi(r.FormValue("times"))
		return err == nil && t.LeaveOut(object, id, times)
	}))
	mux.HandleFunc("POST /_tenant/objects/{object}/{id}/failing", t.controlRow(func(r *http.Request, object string, id int64) bool {
		switch fields := r.FormValue("fields"); fields {
		case "some", "all":
			return t.Fail(object, id, fields == "all")
		case "none":
			return t.Mend(object, id)
		}
		return false
	}))
	mux.HandleFunc("POST /_tenant/objects/{object}/{id}/undated", t.controlRow(func(_ *http.Request, object string, id int64) bool {
		return t.Undate(object, id)
	}))
	return mux
}

// controlRow serves what changes how a row is answered for; change reports whether it could be done.
func (t *Tenant) controlRow(change func(r *http.Request, object string, id int64) bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if object, id := target(r); !change(r, object, id) {
			http.Error(w, "no such row, or no such change", http.StatusNotFound)
		}
	}
}

// target is the row that a control path names; id 0, which no row has, if it
// names none.
func target(r *http.Request) (object string, id int64) {
	id, _ = strconv.ParseInt(r.PathValue("id"), 10, 64)
	return r.PathValue("object"), id
}

func (t *Tenant) reply(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", jsonType)
	json.NewEncoder(w).Encode(value)
}

func (t *Tenant) replyVersion(w http.ResponseWriter, v Version) {
	if v.ID == 0 {
		http.Error(w, "no such row", http.StatusNotFound)
		return
	}
	t.reply(w, v)
}

// list writes versions one a line as it renders them.
func (t *Tenant) list(w http.ResponseWriter, r *http.Request, read func(object string) (*table, []*version)) {
	objects := t.cfg.Objects
	if object := r.FormValue("object"); object != "" {
		if t.tables[object] == nil {
			http.Error(w, "no object "+object, http.StatusNotFound)
			return
		}
		objects = []string{object}
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	for _, object := range objects {
		tb, versions := read(object)
		selected, err := t.plan(tb, r.FormValue("fields"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		for _, v := range versions {
			out := t.export(tb, v)
			out.JSON = t.paint.render(nil, tb.resource, v, selected)
			if !json.Valid(out.JSON) { // a row by hand that is no JSON goes as text
				out.JSON, _ = json.Marshal(string(out.JSON))
			}
			if encoder.Encode(out) != nil {
				return
			}
		}
	}
}

func (t *Tenant) controlChanges(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		switch r.FormValue("state") {
		case "on":
			t.Resume()
		case "off":
			t.Pause()
		default:
			http.Error(w, "want state=on or state=off", http.StatusBadRequest)
			return
		}
	}
	state := "on"
	if t.paused.Load() {
		state = "off"
	}
	t.reply(w, map[string]any{"state": state, "settled_at": t.SettledAt()})
}

// SettledAt is from when on all versions made so far are visible.
func (t *Tenant) SettledAt() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Unix(0, t.settled).UTC()
}
