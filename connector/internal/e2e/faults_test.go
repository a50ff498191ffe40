//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// faultLog is what the tenant tells, a line a version: row 1 in two versions, row 2
// in one whose associations are empty in Coupa's ways, row 3 in two of which the
// second changes a line alone. The lines of the versions that are current come last.
func faultLog(object string) []string {
	const row1 = `{"id":1,"updated-at":"2026-03-08T01:30:0%d-08:00","total":"%d.5","rate":0.125,"due-date":"2026-03-31T23:59:59-07:00",` +
		`"note":"","supplier":{"id":"7","name":"Bäcker \u0026 Söhne","status":"active"},"invoice-lines":[{"id":1,"price":"0.10"},` +
		`{"id":2,"price":null}],"custom-fields":{"site":{"id":3},"budget":1.50,"old":null}}`
	const row2 = `{"id":2,"updated-at":"2026-11-01T01:30:00-07:00","total":null,"due-date":"","note":null,"supplier":"","invoice-lines":[]}`
	const row3 = `{"id":3,"updated-at":"2026-11-01T01:30:00-07:00","invoice-lines":[{"id":5,"price":"%d"}]}`
	autumn := time.Date(2026, 11, 1, 8, 30, 0, 0, time.UTC)
	spring := time.Date(2026, 3, 8, 9, 30, 0, 0, time.UTC)
	line := func(id, seq int, at time.Time, row string) string {
		return fmt.Sprintf(`{"object":%q,"id":%d,"updated_at":%q,"seq":%d,"row":%s}`+"\n", object, id, at.Format(time.RFC3339), seq, row)
	}
	return []string{
		line(1, 1, spring, fmt.Sprintf(row1, 0, 10)), line(3, 2, autumn, fmt.Sprintf(row3, 1)),
		line(2, 3, autumn, row2), line(1, 4, spring.Add(time.Second), fmt.Sprintf(row1, 1, 11)), line(3, 5, autumn, fmt.Sprintf(row3, 2)),
	}
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
	gone := func(s *sample) *sample {
		c := again(s)
		c.gone, c.headers["coupa.op"] = true, "delete"
		return c
	}
	cases := []struct {
		name  string
		alter func([]*sample) []*sample
		want  string // the counts that are not 0; "… x" where chance decides on others before x
		path  string // of one of the examples
	}{
		{"nothing is wrong", func(s []*sample) []*sample { return s }, "", ""},
		{"an aborted record is not there", func(s []*sample) []*sample { c := again(s[2]); c.aborted = true; return append(s, c) }, "", ""},
		{"a row never came", func(s []*sample) []*sample { return slices.Delete(s, 1, 2) }, "lost 1", "row"},
		{"the last version never came", func(s []*sample) []*sample { return slices.Delete(s, 2, 3) }, "lost 1", "last version"},
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
	tenant := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		log := faultLog(r.URL.Query().Get("object"))
		if r.URL.Path == "/_tenant/deletes" {
			log = []string{`{"2":1}`, "", ""}
		}
		if r.URL.Path == "/_tenant/rows" {
			log = log[2:]
		}
		_, _ = w.Write([]byte(strings.Join(log, "")))
	}))
	defer tenant.Close()
	f := p.forger(t)
	d := docket{bootstrap: p.bootstrap, registry: p.registry, control: tenant.URL, tenant: "judged", poll: time.Second, since: time.Now(), topics: map[string]string{}}
	var all []*sample
	for i, c := range cases {
		object := fmt.Sprintf("case_%02d", i)
		d.topics[object] = "judged-" + p.run + "." + object
		for _, s := range c.alter(samples(object)) {
			s.topic = d.topics[object]
			all = append(all, s)
		}
	}
	f.write(t, slices.Sorted(maps.Values(d.topics)), all)
	verdicts, err := judge(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]verdict{}
	for _, v := range verdicts {
		got[v.Object] = v
	}
	for i, c := range cases {
		v := got[fmt.Sprintf("case_%02d", i)]
		found, rest := v.findings(), strings.TrimPrefix(c.want, "… ")
		if found != c.want && (rest == c.want || !strings.HasSuffix(found, rest)) {
			t.Errorf("%s: judge says %q, want %q\n%v", c.name, found, c.want, v)
		}
		if c.path != "" && !strings.Contains(v.String(), `"path":"`+c.path+`"`) {
			t.Errorf("%s: judge does not show path %s\n%v", c.name, c.path, v)
		}
	}
}
