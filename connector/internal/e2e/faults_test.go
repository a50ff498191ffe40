//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// logged is a version as the tenant tells of it.
type logged struct {
	ID        int             `json:"id"`
	Seq       int             `json:"seq"`
	UpdatedAt time.Time       `json:"updated_at"`
	VisibleAt time.Time       `json:"visible_at"`
	Checked   int             `json:"checked"`
	Row       json.RawMessage `json:"row"`
}

// faultLog is what the tenant tells: row 1 in two versions, row 2 in one whose associations
// are empty in Coupa's ways, row 3 in two of which the second changes a line alone.
func faultLog() []logged {
	const row1 = `{"id":1,"updated-at":"2026-03-08T01:30:0%d-08:00","total":"%d.5","rate":0.125,"due-date":"2026-03-31T23:59:59-07:00",` +
		`"note":"","supplier":{"id":"7","name":"Bäcker \u0026 Söhne","status":"active"},"invoice-lines":[{"id":1,"price":"0.10"},` +
		`{"id":2,"price":null}],"custom-fields":{"site":{"id":3},"budget":1.50,"old":null}}`
	const row2 = `{"id":2,"updated-at":"2026-11-01T01:30:00-07:00","total":null,"due-date":"","note":null,"supplier":"","invoice-lines":[]}`
	const row3 = `{"id":3,"updated-at":"2026-11-01T01:30:00-07:00","invoice-lines":[{"id":5,"price":"%d"}]}`
	autumn := time.Date(2026, 11, 1, 8, 30, 0, 0, time.UTC)
	spring := time.Date(2026, 3, 8, 9, 30, 0, 0, time.UTC)
	version := func(id, seq int, at time.Time, row string) logged {
		return logged{ID: id, Seq: seq, UpdatedAt: at, VisibleAt: at, Row: json.RawMessage(row)}
	}
	return []logged{
		version(1, 1, spring, fmt.Sprintf(row1, 0, 10)), version(3, 2, autumn, fmt.Sprintf(row3, 1)),
		version(2, 3, autumn, row2), version(1, 4, spring.Add(time.Second), fmt.Sprintf(row1, 1, 11)), version(3, 5, autumn, fmt.Sprintf(row3, 2)),
	}
}

// tells is a tenant that has gone through a log, and has removed rows so often.
func tells(deletes string, log func(object string) []logged) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/_tenant/deletes" {
			_, _ = w.Write([]byte(deletes))
			return
		}
		all := log(r.URL.Query().Get("object"))
		for i, v := range all {
			replaced := slices.ContainsFunc(all[i+1:], func(later logged) bool { return later.ID == v.ID })
			if r.URL.Path == "/_tenant/versions" || !replaced {
				_ = json.NewEncoder(w).Encode(v)
			}
		}
	}))
}

// judged is what the judge says, by object.
func judged(t *testing.T, d docket) map[string]verdict {
	t.Helper()
	verdicts, err := judge(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]verdict{}
	for _, v := range verdicts {
		all[v.Object] = v
	}
	return all
}

// mark sets the exported flag of a row of faultLog, behind all that happens to it there.
type mark struct {
	seq, checked int           // of the version that is marked, and of the one that was looked at
	at           time.Duration // since now
	age          time.Duration // since when the marked version was visible
}

// inTime marks what was looked at, long after it was published.
func inTime(seq int) mark { return mark{seq, seq, time.Minute, time.Hour} }

// marks of the three rows, that of row 1 as it is told.
func marks(row1 mark) []mark { return []mark{row1, inTime(3), inTime(5)} }

// markedLog is faultLog and marks.
func markedLog(now time.Time, marks []mark) []logged {
	log := faultLog()
	for _, m := range marks {
		v := &log[m.seq-1]
		v.VisibleAt = now.Add(m.at - m.age)
		mark := *v
		mark.Seq, mark.VisibleAt, mark.Checked = len(log)+1, now.Add(m.at), m.checked
		mark.Row = append([]byte(`{"exported":true,`), v.Row[1:]...)
		log = append(log, mark)
	}
	return log
}

// samples are the records that a faultless connector writes for faultLog.
func samples(object string) []*sample {
	row1 := func(second int, total string) *sample {
		at := time.Date(2026, 3, 8, 9, 30, second, 0, time.UTC)
		return &sample{id: 1, partition: 1, value: map[string]any{
			"id": int64(1), "updated_at": at, "total": total, "due_date": time.Date(2026, 3, 31, 0, 0, 0, 0, time.UTC), "note": "",
			"supplier":      map[string]any{"id": int64(7), "name": "Bäcker & Söhne"},
			"lines":         []any{map[string]any{"id": int64(1), "price": "0.10"}, map[string]any{"id": int64(2)}},
			"custom_fields": map[string]any{"site": `{"id":3}`, "budget": "1.50"},
			"unmapped":      map[string]any{"rate": "0.125"},
		}}
	}
	autumn := time.Date(2026, 11, 1, 8, 30, 0, 0, time.UTC)
	row2 := &sample{id: 2, partition: 2, value: map[string]any{"id": int64(2), "updated_at": autumn}}
	row3 := func(price string) *sample {
		lines := []any{map[string]any{"id": int64(5), "price": price}}
		return &sample{id: 3, partition: 2, value: map[string]any{"id": int64(3), "updated_at": autumn, "lines": lines}}
	}
	out := []*sample{row1(0, "10.50"), row2, row1(1, "11.50"), row3("1"), row3("2")}
	for _, s := range out {
		s.at = time.Now()
		s.headers = map[string]string{
			"coupa.tenant": "judged", "coupa.object": object, "coupa.op": "upsert",
			"coupa.updated_at": s.value["updated_at"].(time.Time).Format(time.RFC3339),
		}
	}
	return out
}

// faultCase is a topic that is wrong in one way.
type faultCase struct {
	name  string
	alter func([]*sample) []*sample
	want  string // the counts that are not 0; "… x" where chance decides on others before x
	path  string // of one of the examples
}

// caseOf is the object of the i-th.
func caseOf(i int) string { return fmt.Sprintf("case_%02d", i) }

// judgeFindsFaults writes, with a client and an encoder that the
// connector does not use, topics that are each wrong in one way.
func (p *parts) judgeFindsFaults(t *testing.T) {
	set := func(i int, key string, v any) func([]*sample) []*sample {
		return func(s []*sample) []*sample { s[i].value[key] = v; return s }
	}
	again := func(s *sample) *sample {
		c := *s
		c.value = maps.Clone(s.value)
		c.headers = maps.Clone(s.headers)
		return &c
	}
	asTheyAre := func(s []*sample) []*sample { return s }
	without := func(i int) func([]*sample) []*sample {
		return func(s []*sample) []*sample { return slices.Delete(s, i, i+1) }
	}
	gone := func(s *sample) *sample {
		c := again(s)
		c.gone, c.headers["coupa.op"] = true, "delete"
		return c
	}
	cases := []faultCase{
		{"nothing is wrong", asTheyAre, "", ""},
		{"an aborted record is not there", func(s []*sample) []*sample { c := again(s[2]); c.aborted = true; return append(s, c) }, "", ""},
		{"a row never came", without(1), "lost 1", "row"},
		{"the last version never came", without(2), "lost 1", "last version"},
		{"a change of a line alone never came", func(s []*sample) []*sample { return s[:4] }, "stale_lines 1", "last version"},
		{"a change of a line alone came first", func(s []*sample) []*sample { s[3], s[4] = s[4], s[3]; return s }, "stale_lines 1, out_of_order 1", "version"},
		{"a record came twice", func(s []*sample) []*sample { return append(s, again(s[1])) }, "repeated 1", "content"},
		{"an old version came last", func(s []*sample) []*sample { s[0], s[2] = s[2], s[0]; return s }, "lost 1, out_of_order 1", "updated-at"},
		{"a decimal is off by a cent", set(0, "total", "10.51"), "mismatched 1", "total"},
		{"a decimal that does not fit was rounded", set(0, "unmapped", nil), "mismatched 1", "rate"},
		{"a decimal that does not fit was changed", set(0, "unmapped", map[string]any{"rate": "0.13"}), "mismatched 1", "unmapped.rate"},
		{"a date is UTC's day", set(0, "due_date", time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)), "mismatched 1", "due-date"},
		{"an empty text became null", set(0, "note", nil), "mismatched 1", "note"},
		{"a null text became empty", set(1, "note", ""), "lost 1, mismatched 1", "note"},
		{"a name lost its umlaut", set(0, "supplier", map[string]any{"id": int64(7), "name": "Backer & Sohne"}), "mismatched 1", "supplier.name"},
		{"an association is missing", set(0, "supplier", nil), "mismatched 1", "supplier.id"},
		{"a line is missing", set(0, "lines", []any{map[string]any{"id": int64(1), "price": "0.10"}}), "mismatched 1", "invoice-lines"},
		{"a custom field is missing", set(0, "custom_fields", map[string]any{"budget": "1.50"}), "mismatched 1", "custom-fields.site"},
		{"a value that has a field hides in unmapped", func(s []*sample) []*sample {
			s[0].value["total"], s[0].value["unmapped"] = nil, map[string]any{"rate": "0.125", "total": `"10.5"`}
			return s
		}, "mismatched 1", "total"},
		{"something that was never sent is in unmapped", set(1, "unmapped", map[string]any{"x": "1"}), "lost 1, mismatched 1", "unmapped.x"},
		{"versions of a row are in two partitions", func(s []*sample) []*sample { s[2].partition = 0; return s }, "… misplaced 1", "partition"},
		{"the key is another tenant's", func(s []*sample) []*sample { s[1].headers["key"] = "other"; return s }, "misplaced 1", "key"},
		{"a header is missing", func(s []*sample) []*sample { delete(s[1].headers, "coupa.object"); return s }, "mislabelled 1", "coupa.object"},
		{"the updated-at header is another instant", func(s []*sample) []*sample {
			s[1].headers["coupa.updated_at"] = "2026-11-01T01:30:00Z"
			return s
		}, "mislabelled 1", "coupa.updated_at"},
		{"the record's timestamp is updated-at", func(s []*sample) []*sample { s[1].at = time.Date(2026, 3, 8, 0, 0, 0, 0, time.UTC); return s }, "mislabelled 1", "record timestamp"},
		{"a row came back after it was deleted", func(s []*sample) []*sample { return append(s, gone(s[1]), again(s[1])) }, "", ""},
		{"a row that is there has a tombstone", func(s []*sample) []*sample { return append(s, gone(s[1]), again(s[1]), gone(s[1]), again(s[1])) }, "false_deletes 1", "row"},
		{"a row that is there has a tombstone at last", func(s []*sample) []*sample { return append(s, gone(s[1])) }, "lost 1", "row"},
		{"a row that is gone has no tombstone", func(s []*sample) []*sample {
			c := again(s[1])
			c.id, c.value["id"] = 9, int64(9)
			return append(s, c)
		}, "mismatched 1, undeleted 1", "row"},
		{"bytes follow the value", func(s []*sample) []*sample { s[1].trailing = "x"; return s }, "lost 1, undecodable 1", "partition 2"},
	}
	ofMarks := []struct {
		faultCase
		marks  []mark
		unread int // how many of them are of what was saved between a look and the mark
	}{
		{faultCase{"each row was marked when it was published", asTheyAre, "", ""}, marks(inTime(4)), 0},
		{faultCase{"a row was not marked", asTheyAre, "unmarked 1", "exported"}, marks(inTime(4))[:2], 0},
		{faultCase{"a version was marked that never came", without(2), "marked_unpublished 1", "marked version"}, marks(inTime(4)), 0},
		{faultCase{"a version came behind its mark", asTheyAre, "marked_unpublished 1", "marked version"}, marks(mark{4, 4, -time.Minute, time.Hour}), 0},
		{faultCase{"nobody had looked before the mark", without(2), "marked_unpublished 1", "marked version"}, marks(mark{4, 0, time.Minute, time.Second}), 0},
		{faultCase{"a version was saved between look and mark", without(2), "", ""}, marks(mark{4, 1, time.Minute, time.Second}), 1},
		{faultCase{"such a version came all the same", asTheyAre, "", ""}, marks(mark{4, 1, -time.Minute, time.Second}), 0},
		{faultCase{"a mark came long after the look", without(2), "marked_unpublished 1", "marked version"}, marks(mark{4, 1, time.Minute, time.Hour}), 0},
		{faultCase{"a row came that had the flag", func(s []*sample) []*sample {
			c := again(s[1])
			c.value["unmapped"] = map[string]any{"exported": "true"}
			return append(s, c)
		}, "mismatched 1", "unmapped.exported"}, marks(inTime(4)), 0},
	}
	now, marked, unread := time.Now(), map[string][]mark{}, map[string]int{}
	for _, c := range ofMarks {
		object := caseOf(len(cases))
		cases, marked[object], unread[object] = append(cases, c.faultCase), c.marks, c.unread
	}
	tenant := tells(`{"2":1}`, func(object string) []logged { return markedLog(now, marked[object]) })
	defer tenant.Close()
	f := p.forger(t)
	d := docket{bootstrap: p.bootstrap, registry: p.registry, control: tenant.URL, tenant: "judged", poll: time.Second, since: now, topics: map[string]string{},
		marked: slices.Sorted(maps.Keys(marked))}
	var all []*sample
	for i, c := range cases {
		object := caseOf(i)
		d.topics[object] = "judged-" + p.run + "." + object
		for _, s := range c.alter(samples(object)) {
			s.topic = d.topics[object]
			all = append(all, s)
		}
	}
	f.write(t, slices.Sorted(maps.Values(d.topics)), all)
	got := judged(t, d)
	for i, c := range cases {
		v := got[caseOf(i)]
		found, rest := v.findings(), strings.TrimPrefix(c.want, "… ")
		if found != c.want && (rest == c.want || !strings.HasSuffix(found, rest)) {
			t.Errorf("%s: judge says %q, want %q\n%v", c.name, found, c.want, v)
		}
		if v.Unread != unread[v.Object] {
			t.Errorf("%s: judge says that %d versions were marked unread, want %d\n%v", c.name, v.Unread, unread[v.Object], v)
		}
		if c.path != "" && !strings.Contains(v.String(), `"path":"`+c.path+`"`) {
			t.Errorf("%s: judge does not show path %s\n%v", c.name, c.path, v)
		}
	}
}
