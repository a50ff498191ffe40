package coupa

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// pageLimit is the most rows that Coupa puts into one page (API "Pagination").
const pageLimit = 50

// instantLayout is how instants are sent: UTC with Z, since a + that is not escaped means a blank.
const instantLayout = "2006-01-02T15:04:05Z"

// Window is a span of updated-at, closed below and open above, in whole seconds, UTC. A zero From has
// no lower bound, a zero To no upper one; rows without updated-at fit no window but the zero one.
type Window struct{ From, To time.Time }

// holds tells whether an instant lies in the window.
func (w Window) holds(t time.Time) bool {
	return (w.From.IsZero() || !t.Before(w.From)) && (w.To.IsZero() || t.Before(w.To))
}

func (w Window) isZero() bool { return w.From.IsZero() && w.To.IsZero() }

// String returns the window as used in errors: "[2024-01-01T00:00:00Z, …)".
func (w Window) String() string {
	return "[" + bound(w.From) + ", " + bound(w.To) + ")"
}

func bound(t time.Time) string {
	if t.IsZero() {
		return "…"
	}
	return t.UTC().Format(instantLayout)
}

// Query is one page request of a walk by id.
type Query struct {
	Path   string // resource path below /api, "invoices"
	Window Window // updated_at[gt_or_eq] and updated_at[lt]
	// Over is the instant that the answer's Date has reached, or the answer is refused; zero: Window.To, so
	// that no row comes into the window any more, but for late ones.
	Over    time.Time
	After   int64 // id[gt]
	Through int64 // id[lt_or_eq]; 0: no upper bound
	// id[in], at most 50 of them, all above 0, in place of After and Through; none: not sent
	IDs []int64
	// most rows of the page, 1 to 50; 0: 50. Only an empty answer to a request for
	// 50 shows that nothing follows: fewer are for pages that Coupa fails to make.
	Limit  int
	Fields string // value of fields, the text of a JSON array; "": not sent
	// further conditions, ANDed, as Coupa spells them: "status" or "order_lines[updated_at][gt_or_eq]"
	Filter url.Values

	// Lines asks for rows of which a line was stamped at LinesFrom (whole seconds)
	// or later: <Lines>[updated_at][gt_or_eq]. It is the resource's own collection,
	// [Resource.Lines], and Fields must leave its updated_at in; "": no condition.
	Lines     string
	LinesFrom time.Time

	Priority Priority // who goes first when requests wait for their turn
}

// page returns the query string of a page of the walk.
func (q Query) page() string {
	b := q.conditions(make([]byte, 0, 512+len(q.Fields)*3/2)) // a sixth of Fields are quotes and brackets
	b = pair(b, "order_by", "id")
	b = pair(b, "dir", "asc")
	b = pair(b, "limit", strconv.Itoa(q.limit()))
	if q.Fields != "" {
		b = pair(b, "fields", q.Fields)
	}
	return string(b)
}

// limit is how many rows the page may have.
func (q Query) limit() int {
	if q.Limit == 0 {
		return pageLimit
	}
	return q.Limit
}

// parents is the query for the rows of a collection that q's rows are below.
func (q Query) parents(path string) Query {
	return Query{Path: path, After: q.After, Through: q.Through, IDs: q.IDs, Limit: q.Limit, Fields: `["id"]`, Priority: q.Priority}
}

// name tells the page that q asks for from others, whatever is asked for of its rows.
// Of a list of ids, the first tells: parts of it begin with it, too.
func (q Query) name() string {
	q.Fields, q.IDs = "", q.IDs[:min(1, len(q.IDs))]
	return q.Path + "?" + string(q.conditions(nil))
}

// ids returns the query string that asks for the first ids in a direction.
func (q Query) ids(dir string) string {
	b := q.conditions(nil)
	b = pair(b, "order_by", "id")
	b = pair(b, "dir", dir)
	b = pair(b, "limit", strconv.Itoa(q.limit()))
	b = pair(b, "fields", `["id"]`)
	return string(b)
}

// conditions appends the user's conditions, the window, the lines and the range or list of ids.
// id[gt] is sent from the first page on, so that an instance that does not take it says so at once.
func (q Query) conditions(b []byte) []byte {
	for _, key := range slices.Sorted(maps.Keys(q.Filter)) {
		for _, value := range q.Filter[key] {
			b = pair(b, key, value)
		}
	}
	if !q.Window.From.IsZero() {
		b = pair(b, "updated_at[gt_or_eq]", bound(q.Window.From))
	}
	if !q.Window.To.IsZero() {
		b = pair(b, "updated_at[lt]", bound(q.Window.To))
	}
	if q.Lines != "" {
		b = pair(b, q.linesKey(), bound(q.LinesFrom))
	}
	if len(q.IDs) > 0 {
		return pair(b, "id[in]", q.list())
	}
	b = pair(b, "id[gt]", strconv.FormatInt(q.After, 10))
	if q.Through > 0 {
		b = pair(b, "id[lt_or_eq]", strconv.FormatInt(q.Through, 10))
	}
	return b
}

// linesKey is the condition on the lines, which also names it in errors.
func (q Query) linesKey() string { return q.Lines + "[updated_at][gt_or_eq]" }

// list returns the ids as id[in] takes them.
func (q Query) list() string {
	b := make([]byte, 0, 20*len(q.IDs))
	for i, id := range q.IDs {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, id, 10)
	}
	return string(b)
}

// pair appends a key and a value, both escaped.
func pair(b []byte, key, value string) []byte {
	if len(b) > 0 {
		b = append(b, '&')
	}
	b = escaped(b, key)
	b = append(b, '=')
	return escaped(b, value)
}

// isPlain are the bytes that stand in a query string as they are.
var isPlain = func() (plain [256]bool) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~,:") {
		plain[c] = true
	}
	return plain
}()

// pageLen is the length of what page returns.
func (q Query) pageLen() int {
	fields := q.Fields
	if q.Fields = ""; fields == "" {
		return len(q.page())
	}
	n := len(q.page()) + len("&fields=")
	for i := range len(fields) {
		if n++; !isPlain[fields[i]] && fields[i] != ' ' {
			n += 2
		}
	}
	return n
}

// escaped appends text as it stands in a query string. RFC 3986 lets a comma and a colon stand there as they
// are, which makes `fields` and lists of ids a tenth shorter; everything else is as url.QueryEscape has it.
func escaped(b []byte, text string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(text) {
		switch c := text[i]; {
		case isPlain[c]:
			b = append(b, c)
		case c == ' ':
			b = append(b, '+')
		default:
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return b
}

// reserved are the parameters that steer a walk; a filter that sets one of them would make it skip rows.
var reserved = []string{"limit", "offset", "order_by", "dir", "fields", "filter", "format", "return_object",
	"id", "id[gt]", "id[lt_or_eq]", "updated_at", "updated_at[gt_or_eq]", "updated_at[lt]"}

// Check tells what is wrong with the query, in words for who made it. The error is of kind Misconfigured.
func (q Query) Check() error { return q.check(q.Path) }

// check refuses what cannot be asked for.
func (q Query) check(op string) error {
	if !isResourcePath(q.Path) {
		return misused(op, "%q is not a resource path: write it as invoices or coupa_pay/payments", oneLine(q.Path, 60))
	}
	if q.Window.From.Nanosecond() != 0 || q.Window.To.Nanosecond() != 0 {
		return misused(op, "the window %s to %s is not in whole seconds, as Coupa compares them", q.Window.From, q.Window.To)
	}
	if q.After < 0 || q.Through < 0 {
		return misused(op, "ids cannot be negative (after %d, through %d)", q.After, q.Through)
	}
	if q.Limit < 0 || q.Limit > pageLimit {
		return misused(op, "a page of %d rows was asked for: a page holds 1 to %d", q.Limit, pageLimit)
	}
	if q.Priority > PrioritySweep {
		return misused(op, "there is no %s: use one from %s to %s", q.Priority, PriorityPoll, PrioritySweep)
	}
	if err := q.checkIDs(op); err != nil {
		return err
	}
	if err := q.checkLines(op); err != nil {
		return err
	}
	if resource, _ := LookupResource(q.Path); resource.Parent != "" && (!q.Window.isZero() || len(q.Filter) > 0 || q.Lines != "") {
		return misused(op, "%s are read through %s, so nothing finds those that a window or a filter is for: ask for all", q.Path, resource.Parent)
	}
	return q.checkFilter(op)
}

// checkIDs refuses a list of ids that one page cannot answer.
func (q Query) checkIDs(op string) error {
	switch {
	case len(q.IDs) == 0:
		return nil
	case len(q.IDs) > pageLimit:
		return misused(op, "%d ids were asked for: a page holds %d rows at most, so ask for them in parts", len(q.IDs), pageLimit)
	case q.After != 0 || q.Through != 0:
		return misused(op, "both a list of ids and a range of them were asked for (after %d, through %d): leave one out", q.After, q.Through)
	case slices.Min(q.IDs) <= 0:
		return misused(op, "id %d was asked for: ids are above 0", slices.Min(q.IDs))
	}
	return nil
}

// checkLines refuses a condition on lines whose answer could not be checked.
func (q Query) checkLines(op string) error {
	if q.Lines == "" {
		if !q.LinesFrom.IsZero() {
			return misused(op, "lines since %s were asked for without naming their collection", bound(q.LinesFrom))
		}
		return nil
	}
	switch resource, _ := LookupResource(q.Path); {
	case q.Lines != resource.Lines:
		return misused(op, "%q is not the collection of lines of %s, which is %q", oneLine(q.Lines, 60), q.Path, resource.Lines)
	case q.LinesFrom.IsZero():
		return misused(op, "a condition on %s needs the instant from which on they were stamped", q.Lines)
	case q.LinesFrom.Nanosecond() != 0:
		return misused(op, "lines since %s were asked for, which is not in whole seconds, as Coupa compares them", q.LinesFrom)
	}
	return nil
}

// checkFilter refuses conditions that collide with those of the walk.
func (q Query) checkFilter(op string) error {
	for key := range q.Filter {
		plain := strings.ReplaceAll(key, "-", "_")
		switch {
		case slices.Contains(reserved, plain):
			return misused(op, "the filter sets %q, which the walk itself needs: use another operator, as id[in] or created_at[gt_or_eq]", key)
		case len(q.IDs) > 0 && plain == "id[in]", q.Lines != "" && plain == q.linesKey():
			return misused(op, "the filter sets %q, which this query needs itself: use another operator, as id[not_in] or updated_at[gt]", key)
		}
	}
	return nil
}

func isResourcePath(path string) bool {
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || strings.Trim(part, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			return false
		}
	}
	return true
}
