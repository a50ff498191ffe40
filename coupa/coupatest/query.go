package coupatest

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// query is the parsed query string of a collection request.
type query struct {
	plan          *plan
	limit, offset int
	order         string // normal name
	descending    bool

	parent           int64 // of the rows; 0: they have none
	above, through   int64 // id bounds: above < id <= through
	from, before     int64 // updated-at bounds, unix seconds: from <= updated < before
	lineFrom, lineTo int64 // the same for any one line
	groups           []*group
	checks           bool // asks by id among the rows without the exported flag
}

// group is the conditions that one object, reached by path, must meet together.
type group struct {
	path  []string // normal names; empty: the row itself
	plan  *plan    // renders just what the conditions look at
	conds []condition
}

// condition compares one member.
type condition struct {
	name, op, value string
}

const (
	never  = -1 << 62
	always = 1<<62 - 1
)

// badQuery is a request that Coupa answers with 400.
type badQuery struct{ message string }

func (e badQuery) Error() string { return e.message }

// parameters that are not conditions.
func reserved(key string) bool {
	switch key {
	case "limit", "offset", "order_by", "dir", "fields", "return_object", "filter", "format", "show_deleted_lines":
		return true
	}
	return false
}

// parseQuery reads a collection request's parameters.
func (t *Tenant) parseQuery(tb *table, values url.Values) (*query, error) {
	q := &query{
		limit: t.cfg.PageCap, order: "id",
		above: never, through: always, from: never, before: always, lineFrom: never, lineTo: always,
	}
	var err error
	if q.plan, err = t.plan(tb, values.Get("fields")); err != nil {
		return nil, badQuery{err.Error()}
	}
	if n, err := strconv.Atoi(values.Get("limit")); err == nil && n > 0 {
		q.limit = min(n, q.limit)
	}
	if n, err := strconv.Atoi(values.Get("offset")); err == nil && n > 0 {
		q.offset = n
	}
	q.checks = values.Has("id[in]") && values.Get("exported") == "false"
	q.descending = strings.EqualFold(values.Get("dir"), "desc")
	if order := normal(values.Get("order_by")); order != "" {
		if _, err := t.member(tb, []string{order}); err != nil {
			return nil, err
		}
		q.order = order
	}
	keys := make([]string, 0, len(values))
	for key := range values {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if reserved(key) {
			continue
		}
		for _, value := range values[key] {
			if err := t.addCondition(q, tb, key, value); err != nil {
				return nil, err
			}
		}
	}
	return q, nil
}

// addCondition reads one key[…][operator]=value.
func (t *Tenant) addCondition(q *query, tb *table, key, value string) error {
	path, op, err := splitKey(key)
	if err != nil {
		return err
	}
	f, err := t.member(tb, path)
	if err != nil {
		return err
	}
	c := condition{name: path[len(path)-1], op: op, value: value}
	if f != nil && f.isTime() && op != "blank" {
		if c.value, err = instants(op, value); err != nil {
			return err
		}
	}
	if q.bound(tb, path, c) {
		return nil
	}
	path = path[:len(path)-1]
	for _, g := range q.groups {
		if slices.Equal(g.path, path) {
			g.conds = append(g.conds, c)
			g.plan = groupSelection(path, g.conds).compile(tb.shape, 0)
			return nil
		}
	}
	g := &group{path: path, conds: []condition{c}}
	g.plan = groupSelection(path, g.conds).compile(tb.shape, 0)
	q.groups = append(q.groups, g)
	return nil
}

// bound takes the conditions that walks are made of as bounds, which need no
// rendering: on id, on updated-at, on the lines' updated-at.
func (q *query) bound(tb *table, path []string, c condition) bool {
	switch {
	case len(path) == 1 && path[0] == "id" && c.op == "in":
		low, high := int64(always), int64(never)
		for _, text := range strings.Split(c.value, ",") {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return false
			}
			low, high = min(low, n), max(high, n)
		}
		q.above, q.through = max(q.above, low-1), min(q.through, high)
		return false // bounded, and still to be compared
	case len(path) == 1 && path[0] == "id":
		n, err := strconv.ParseInt(c.value, 10, 64)
		return err == nil && tighten(c.op, n, &q.above, &q.through, 1)
	case len(path) == 1 && path[0] == "updated-at":
		n, err := time.Parse(time.RFC3339, c.value)
		return err == nil && tighten(c.op, n.Unix(), &q.from, &q.before, 0)
	case len(path) == 2 && path[0] == tb.Lines && path[1] == "updated-at":
		n, err := time.Parse(time.RFC3339, c.value)
		return err == nil && tighten(c.op, n.Unix(), &q.lineFrom, &q.lineTo, 0)
	}
	return false
}

// tighten narrows a range by one comparison with n. open is 1 if the range is
// low < x <= high and 0 if it is low <= x < high.
func tighten(op string, n int64, low, high *int64, open int64) bool {
	switch op {
	case "gt":
		*low = max(*low, n+1-open)
	case "gt_or_eq":
		*low = max(*low, n-open)
	case "lt":
		*high = min(*high, n-open)
	case "lt_or_eq":
		*high = min(*high, n+1-open)
	case "":
		*low, *high = max(*low, n-open), min(*high, n+1-open)
	default:
		return false
	}
	return true
}

// splitKey takes order_lines[updated-at][gt] apart.
func splitKey(key string) (path []string, op string, err error) {
	parts := strings.Split(key, "[")
	for i := 1; i < len(parts); i++ {
		name, ok := strings.CutSuffix(parts[i], "]")
		if !ok {
			return nil, "", badQuery{fmt.Sprintf("malformed condition %q", key)}
		}
		parts[i] = name
	}
	switch last := parts[len(parts)-1]; last {
	case "contains", "starts_with", "ends_with", "gt", "lt", "gt_or_eq", "lt_or_eq", "not_eq", "in", "not_in", "blank":
		op, parts = last, parts[:len(parts)-1]
	}
	if len(parts) == 0 {
		return nil, "", badQuery{fmt.Sprintf("malformed condition %q", key)}
	}
	for i := range parts {
		parts[i] = normal(parts[i])
	}
	return parts, op, nil
}

// member finds the attribute that a path means; nil for one that was only ever
// set by hand. An unknown one is an error.
func (t *Tenant) member(tb *table, path []string) (*field, error) {
	sh := tb.shape
	var f *field
	for i, name := range path {
		if sh == nil {
			return nil, unknown(tb, path)
		}
		if f = sh.byName[name]; f == nil {
			t.mu.Lock()
			known := i == 0 && tb.byHand[name]
			t.mu.Unlock()
			if known {
				return nil, nil
			}
			return nil, unknown(tb, path)
		}
		sh = f.child
	}
	return f, nil
}

func unknown(tb *table, path []string) error {
	return badQuery{fmt.Sprintf("undefined attribute %s for %s", strings.Join(path, "."), tb.Singular)}
}

// groupSelection asks for the members that conditions look at.
func groupSelection(path []string, conds []condition) *selection {
	s := &selection{names: map[string]*selection{}}
	for _, c := range conds {
		s.names[c.name] = &selection{all: true}
	}
	for _, name := range slices.Backward(path) {
		s = &selection{names: map[string]*selection{name: s}}
	}
	return s
}

func (f *field) isTime() bool {
	switch f.kind {
	case kindCreated, kindUpdated, kindTime, kindDay, kindDayEnd:
		return true
	}
	return false
}

// instants makes RFC 3339 of a time value, or of each in a list.
func instants(op, value string) (string, error) {
	list := []string{value}
	if op == "in" || op == "not_in" {
		list = strings.Split(value, ",")
	}
	for i, text := range list {
		at, ok := instant(text)
		if !ok {
			return "", badQuery{fmt.Sprintf("cannot read the time %q", text)}
		}
		list[i] = at.UTC().Format(time.RFC3339)
	}
	return strings.Join(list, ","), nil
}

// instant reads a time as Coupa does: strictly with an offset, else as well as it
// can. A time whose + came as a space loses its offset, a date is midnight UTC.
func instant(text string) (time.Time, bool) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, true
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02"} {
		if len(text) >= len(layout) {
			if at, err := time.Parse(layout, text[:len(layout)]); err == nil {
				return at, true
			}
		}
	}
	return time.Time{}, false
}
