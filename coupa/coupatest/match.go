package coupatest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"
)

// collect reads the rows of q as they are at one instant, in order, and tells whether the answer fails.
func (t *Tenant) collect(tb *table, q *query) (rows []*version, fails bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	rows, fails = t.shown(tb, q, t.pick(tb, q))
	for _, v := range rows {
		if q.checks && !fails {
			tb.row(v.id).checked = v.seq
		}
	}
	return rows, fails
}

// pick reads the rows that fit, as far as limit and offset go. t.mu is held.
func (t *Tenant) pick(tb *table, q *query) []*version {
	now := time.Now().UnixNano()
	if q.order == "id" {
		return t.walk(tb, q, now)
	}
	all := t.scan(tb, q, now, always)
	tb.ties++
	t.sortBy(tb, q, all)
	return all[min(q.offset, len(all)):min(q.offset+q.limit, len(all))]
}

// walk reads by id and stops when the page is full.
func (t *Tenant) walk(tb *table, q *query, now int64) []*version {
	all := t.scan(tb, q, now, int64(q.offset)+int64(q.limit))
	return all[min(q.offset, len(all)):]
}

// scan is up to most rows that q asks for, by id, with Config.RepeatParents some of
// them several times. It skips the blocks in which no row can be inside q's windows.
func (t *Tenant) scan(tb *table, q *query, now, most int64) []*version {
	var out []*version
	low, high := tb.find(q.above+1), tb.find(q.through+1)
	for n := low; n < high && int64(len(out)) < most; n++ {
		i, end := n, block-n%block
		if q.descending && q.order == "id" {
			i = high - 1 - (n - low)
			end = i%block + 1
		}
		if s := &tb.spans[i/block]; s.high < q.from || s.low >= q.before || s.lineHigh < q.lineFrom {
			n += end - 1
			continue
		}
		if tb.rows[i].undated && q.isDated() {
			continue
		}
		if v := tb.rows[i].at(now); v != nil && t.matches(tb, q, v) {
			for range t.times(q, v) {
				out = append(out, v)
			}
		}
	}
	return out[:min(int64(len(out)), most)]
}

// times is how often a row that q asks for is in its answer.
func (t *Tenant) times(q *query, v *version) int {
	if !t.cfg.RepeatParents && !t.cfg.CollapseParents || !q.byLines() {
		return 1
	}
	n := 0
	for _, l := range v.lines {
		if q.holdsLine(l) {
			n++
		}
	}
	return n
}

// byLines reports whether q has a condition on the lines' updated-at.
func (q *query) byLines() bool { return q.lineFrom != never || q.lineTo != always }

func (q *query) holdsLine(l line) bool { return l.updated >= q.lineFrom && l.updated < q.lineTo }

func (t *Tenant) matches(tb *table, q *query, v *version) bool {
	if v.parent != q.parent || v.updated < q.from || v.updated >= q.before {
		return false
	}
	if q.byLines() && !slices.ContainsFunc(v.lines, q.holdsLine) {
		return false
	}
	for _, g := range q.groups {
		if !g.holds(decode(t.paint.render(nil, tb.resource, v, g.plan))) {
			return false
		}
	}
	return true
}

// decode reads JSON with exact numbers; nil if it is none.
func decode(raw []byte) any {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var value any
	if d.Decode(&value) != nil {
		return nil
	}
	return value
}

// holds reports whether some object that the path reaches meets all conditions.
func (g *group) holds(row any) bool {
	return slices.ContainsFunc(reach(row, g.path), func(object map[string]any) bool {
		for _, c := range g.conds {
			if !c.holds(object[find(object, c.name)]) {
				return false
			}
		}
		return true
	})
}

// find is the key of object whose normal name is name.
func find(object map[string]any, name string) string {
	for key := range object {
		if normal(key) == name {
			return key
		}
	}
	return name
}

// reach follows a path through objects and arrays to the objects at its end.
func reach(value any, path []string) []map[string]any {
	switch value := value.(type) {
	case []any:
		var out []map[string]any
		for _, element := range value {
			out = append(out, reach(element, path)...)
		}
		return out
	case map[string]any:
		if len(path) == 0 {
			return []map[string]any{value}
		}
		return reach(value[find(value, path[0])], path[1:])
	}
	return nil
}

func (c condition) holds(value any) bool {
	text := plain(value)
	if value == nil && c.op != "blank" {
		return c.op == "not_eq" || c.op == "not_in"
	}
	switch c.op {
	case "":
		return compare(text, c.value) == 0
	case "not_eq":
		return compare(text, c.value) != 0
	case "gt":
		return compare(text, c.value) > 0
	case "gt_or_eq":
		return compare(text, c.value) >= 0
	case "lt":
		return compare(text, c.value) < 0
	case "lt_or_eq":
		return compare(text, c.value) <= 0
	case "contains":
		return strings.Contains(text, c.value)
	case "starts_with":
		return strings.HasPrefix(text, c.value)
	case "ends_with":
		return strings.HasSuffix(text, c.value)
	case "blank":
		return (text == "") == (c.value == "true")
	}
	in := slices.ContainsFunc(strings.Split(c.value, ","), func(one string) bool { return compare(text, one) == 0 })
	return in == (c.op == "in")
}

// plain is the text of a scalar; "" of null and of empty associations.
func plain(value any) string {
	switch value := value.(type) {
	case string:
		return value
	case json.Number:
		return value.String()
	case bool:
		return strconv.FormatBool(value)
	case []any:
		if len(value) > 0 {
			return "[]"
		}
	case map[string]any:
		return "{}"
	}
	return ""
}

// compare orders two values as instants if both are, else as numbers if both
// are, else as text.
func compare(a, b string) int {
	if x, err := time.Parse(time.RFC3339, a); err == nil {
		if y, err := time.Parse(time.RFC3339, b); err == nil {
			return x.Compare(y)
		}
	}
	if x, ok := new(big.Rat).SetString(a); ok {
		if y, ok := new(big.Rat).SetString(b); ok {
			return x.Cmp(y)
		}
	}
	return cmp.Compare(a, b)
}

// sortBy orders rows by q.order. Rows that are equal come in an order that
// differs from request to request, as nothing documented breaks ties.
func (t *Tenant) sortBy(tb *table, q *query, rows []*version) {
	key := map[*version]string{}
	by := func(v *version) int64 { return v.updated }
	switch q.order {
	case "updated-at":
	case "created-at":
		by = func(v *version) int64 { return v.created }
	default:
		pl := groupSelection(nil, []condition{{name: q.order}}).compile(tb.shape, 0)
		for _, v := range rows {
			object, _ := decode(t.paint.render(nil, tb.resource, v, pl)).(map[string]any)
			key[v] = plain(object[find(object, q.order)])
		}
		by = func(*version) int64 { return 0 }
	}
	slices.SortFunc(rows, func(a, b *version) int {
		n := cmp.Or(cmp.Compare(by(a), by(b)), compare(key[a], key[b]))
		if q.descending {
			n = -n
		}
		return cmp.Or(n, cmp.Compare(mix(tb.ties, uint64(a.id)), mix(tb.ties, uint64(b.id))))
	})
}
