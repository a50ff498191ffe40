package coupatest

import (
	"compress/gzip"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// failure is what makes the requests fail that would show a row.
type failure uint8

const (
	fine      failure = iota
	failsFull         // those that ask for more than its id
	failsAll
)

// LeaveOut lets a row be missing from the next answers that it should be in, so many of them, or from all
// if times is negative. It still counts for their limit, so pages come short, as those of a server do that
// looks at rows once more after it has picked them. 0: it is shown again.
func (t *Tenant) LeaveOut(object string, id int64, times int) bool {
	return t.mark(object, id, func(r *row) { r.leftOut = times })
}

// Fail makes every request fail with 500 whose answer would show the row, but those that ask
// for its id alone (`fields=["id"]`); with all, these too.
func (t *Tenant) Fail(object string, id int64, all bool) bool {
	how := failsFull
	if all {
		how = failsAll
	}
	return t.mark(object, id, func(r *row) { r.fails = how })
}

// Mend ends what Fail began.
func (t *Tenant) Mend(object string, id int64) bool {
	return t.mark(object, id, func(r *row) { r.fails = fine })
}

// Undate takes a row's updated-at away: it is null, whatever changes, and no condition on it finds the row.
func (t *Tenant) Undate(object string, id int64) bool {
	if t.SetSilent(object, id, "updated-at", "null").ID == 0 {
		return false
	}
	return t.mark(object, id, func(r *row) { r.undated = true })
}

// mark changes how a row is answered for, and reports whether there is one.
func (t *Tenant) mark(object string, id int64, how func(*row)) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	tb := t.tables[object]
	if tb == nil || tb.row(id) == nil {
		return false
	}
	how(tb.row(id))
	tb.marked = true
	return true
}

// shown is what an answer shows of the rows that were picked for it, and whether it fails. t.mu is held.
func (t *Tenant) shown(tb *table, q *query, picked []*version) (rows []*version, fails bool) {
	if t.cfg.CollapseParents {
		picked = slices.Compact(picked)
	}
	if !tb.marked {
		return picked, false
	}
	onlyID := len(q.plan.items) == 1 && q.plan.items[0].kind == kindID
	rows = slices.DeleteFunc(slices.Clone(picked), func(v *version) bool {
		r := tb.row(v.id)
		fails = fails || r.fails == failsAll || r.fails == failsFull && !onlyID
		if r.leftOut > 0 {
			r.leftOut--
			return true
		}
		return r.leftOut < 0
	})
	return rows, fails
}

// isDated reports whether q has a condition on the rows' updated-at.
func (q *query) isDated() bool { return q.from != never || q.before != always }

// pieces is how much of a body without an end is written at a time.
const pieces = 64 << 10

// stream sends the bodies that are not sent whole: those of EndlessRow, Blanks and Drip.
// It returns when all is sent, or the client has gone: false.
func (t *Tenant) stream(w http.ResponseWriter, r *http.Request, a answer) bool {
	if a.fault.Kind == Drip {
		t.drip(w, r)
		return false
	}
	var out io.Writer = w
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
		defer z.Close()
		out = z
	}
	w.WriteHeader(a.status)
	if a.fault.Kind == Blanks {
		if !repeat(r, out, ' ', a.fault.Bytes) {
			return false
		}
		_, err := out.Write(a.body)
		return err == nil
	}
	begun := a.body[:len(a.body)-1]
	if a.rows > 0 {
		begun = append(begun, ',')
	}
	out.Write(append(begun, `{"id":`+strconv.Itoa(1<<40)+`,"name":"`...))
	return repeat(r, out, 'x', 0)
}

// repeat writes a byte so many times, 0: without an end. False: the client has gone.
func repeat(r *http.Request, out io.Writer, c byte, times int64) bool {
	piece := []byte(strings.Repeat(string(rune(c)), pieces))
	for left := times; times == 0 || left > 0; left -= pieces {
		if times > 0 {
			piece = piece[:min(left, pieces)]
		}
		if _, err := out.Write(piece); err != nil || r.Context().Err() != nil {
			return false
		}
	}
	return true
}

// drip sends a blank a second for as long as the client waits.
func (t *Tenant) drip(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(http.StatusOK)
	for {
		if _, err := w.Write([]byte(" ")); err != nil {
			return
		}
		http.NewResponseController(w).Flush()
		select {
		case <-time.After(time.Second):
		case <-r.Context().Done():
			return
		}
	}
}
