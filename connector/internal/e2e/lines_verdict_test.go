//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What can be wrong with a topic of lines.
const (
	lineMissing  = "a line of the tenant is not there"
	lineStale    = "a line is there as it is no more"
	lineLeft     = "a line is there that is gone"
	lineRepeated = "a record repeats the one before it of its line"
	lineAlone    = "a record comes with no version of its row"
	lineNothing  = "a tombstone is of no line"
)

// tenantLine is a line of a row of the tenant.
type tenantLine struct {
	parent int64
	line   map[string]any
}

// lineCase is a topic of lines with what it is judged by.
type lineCase struct {
	topic, list string
	want        map[int64]tenantLine // by id
	rows        []consumed           // of the topic of their rows
	lines       []consumed           // of its own; those of a key in their order
}

// rowVersion is a version of a row.
type rowVersion struct {
	id        int64
	updatedAt string
}

// faults are what is wrong, with every example.
func (c lineCase) faults() map[string][]string {
	found := map[string][]string{}
	find := func(fault string, id int64, about any) {
		found[fault] = append(found[fault], fmt.Sprintf("line %d: %.1000s", id, fmt.Sprint(about)))
	}
	versions := map[rowVersion][]map[string]any{}
	for _, r := range c.rows {
		v := rowVersion{r.Key.ID, r.Headers["coupa.updated_at"]}
		versions[v] = append(versions[v], r.Value)
	}
	there := map[int64]map[string]any{}
	for _, r := range c.lines {
		id, before := r.Key.ID, there[r.Key.ID]
		shown := r.Value
		if r.Value == nil {
			if shown = before; before == nil || r.Headers["coupa.op"] != "delete" {
				find(lineNothing, id, r.Headers)
				continue
			}
			delete(there, id)
		} else {
			if before != nil && reflect.DeepEqual(filled(before), filled(r.Value)) {
				find(lineRepeated, id, r.Value)
			}
			there[id] = r.Value
		}
		row := versions[rowVersion{parentOf(shown), r.Headers["coupa.updated_at"]}]
		if !slices.ContainsFunc(row, func(row map[string]any) bool { return c.brings(row, id, r.Value) }) {
			find(lineAlone, id, fmt.Sprint("row ", parentOf(shown), " of ", r.Headers["coupa.updated_at"], " as ", r.Value))
		}
	}
	for id, want := range c.want {
		switch got := there[id]; {
		case got == nil:
			find(lineMissing, id, want)
		case parentOf(got) != want.parent || !sameLine(got, want.line):
			find(lineStale, id, fmt.Sprint(got, ", want ", want))
		}
	}
	for id, got := range there {
		if _, ok := c.want[id]; !ok {
			find(lineLeft, id, got)
		}
	}
	return found
}

// brings tells whether a record of a row can have come with that of a line; of one with
// its lines in it, whether the line is there as its record has it, and for a tombstone
// that it isn't. Any record of the version will do where rows have no lines in them.
func (c lineCase) brings(row map[string]any, id int64, value map[string]any) bool {
	list, within := row[c.list]
	if !within {
		return true
	}
	lines, _ := list.([]any)
	i := slices.IndexFunc(lines, func(l any) bool { return l.(map[string]any)["id"] == float64(id) })
	if i < 0 || value == nil {
		return i < 0 && value == nil
	}
	own := filled(value).(map[string]any)
	delete(own, "parent_id")
	return reflect.DeepEqual(own, filled(lines[i]))
}

func parentOf(line map[string]any) int64 {
	parent, _ := line["parent_id"].(float64)
	return int64(parent)
}

// filled is a copy of a value without what is null in it: a
// field that a later schema has is in older records as null is.
func filled(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, member := range v {
			if member != nil {
				out[name] = filled(member)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = filled(v[i])
		}
		return out
	}
	return v
}

// sameLine compares a line's id, its stamp, and all else of
// it that is no object and no list and has a field.
func sameLine(got, want map[string]any) bool {
	compared := 0
	for name, value := range want {
		field, ok := got[strings.ReplaceAll(name, "-", "_")]
		if !ok || value == nil || value == "" {
			continue
		}
		switch value := value.(type) {
		case string:
			if text, _ := field.(string); !sameText(text, value) {
				return false
			}
		case float64: // decimals are written as texts
			if text, isText := field.(string); field != value && !(isText && sameText(text, strconv.FormatFloat(value, 'f', -1, 64))) {
				return false
			}
		case bool:
			if field != value {
				return false
			}
		default:
			continue
		}
		compared++
	}
	return compared >= 2 && got["id"] == want["id"]
}

// sameText compares texts, and instants, days and numbers that are written as such.
func sameText(got, want string) bool {
	if got == want {
		return true
	}
	a, err := time.Parse(time.RFC3339, got)
	b, err2 := time.Parse(time.RFC3339, want)
	if err2 == nil && (err == nil && a.Equal(b) || len(got) == len(time.DateOnly) && strings.HasPrefix(want, got)) {
		return true
	}
	n, ok := new(big.Rat).SetString(got)
	m, ok2 := new(big.Rat).SetString(want)
	return ok && ok2 && n.Cmp(m) == 0
}

// findsFaults writes each fault into what was read, which had none, and wants it to be found.
func (c lineCase) findsFaults(t *testing.T) {
	t.Helper()
	if len(c.faults()) > 0 {
		return
	}
	last := func(fits func(consumed) bool) int {
		for i, r := range slices.Backward(c.lines) {
			if fits(r) {
				return i
			}
		}
		t.Fatalf("%s has no record to try the verdict on", c.topic)
		return 0
	}
	dead := last(func(r consumed) bool { return r.Value == nil })
	live := last(func(r consumed) bool { _, ok := c.want[r.Key.ID]; return ok })
	changed := func(i int, name string, value any) consumed {
		r := c.lines[i]
		r.Value = filled(r.Value).(map[string]any)
		r.Value[name] = value
		return r
	}
	without := slices.DeleteFunc(slices.Clone(c.lines), func(r consumed) bool { return r.Key.ID == c.lines[live].Key.ID })
	for fault, lines := range map[string][]consumed{
		lineMissing:  without,
		lineStale:    append(slices.Clone(c.lines), changed(live, "updated_at", "2001-01-01T00:00:00+00:00")),
		lineLeft:     slices.Delete(slices.Clone(c.lines), dead, dead+1),
		lineRepeated: slices.Insert(slices.Clone(c.lines), live, c.lines[live]),
		lineAlone:    append(slices.Clone(c.lines), changed(live, "parent_id", float64(1<<40))),
		lineNothing:  slices.Insert(slices.Clone(c.lines), dead, c.lines[dead]),
	} {
		forged := c
		forged.lines = lines
		if len(forged.faults()[fault]) == 0 {
			t.Errorf("%s: the verdict did not find: %s", c.topic, fault)
		}
	}
	forged := c
	forged.rows = slices.DeleteFunc(slices.Clone(c.rows), func(r consumed) bool { return r.Key.ID == parentOf(c.lines[live].Value) })
	if len(forged.faults()[lineAlone]) == 0 {
		t.Errorf("%s: the verdict did not find that a row is not there", c.topic)
	}
}

// rows are the tenant's rows of an object as readers see them, by id.
func (t *tenant) rows(tb testing.TB, object string) map[int64]map[string]any {
	tb.Helper()
	resp, err := http.Get(t.url + "/_tenant/rows?object=" + url.QueryEscape(object))
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	rows := map[int64]map[string]any{}
	for d := json.NewDecoder(resp.Body); d.More(); {
		var row struct {
			ID  int64
			Row map[string]any
		}
		if err := d.Decode(&row); err != nil {
			tb.Fatal(err)
		}
		rows[row.ID] = row.Row
	}
	return rows
}
