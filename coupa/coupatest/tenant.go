package coupatest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	_ "time/tzdata" // the company's zone must resolve anywhere
)

// Config says what a tenant holds and how it answers. The zero value is a tenant
// as Coupa documents it, with 200 rows of every object.
type Config struct {
	// Seed decides every row's content and the course of Run.
	Seed uint64
	// Objects are the resource paths served; nil: those of Resources.
	Objects []string
	// Rows is how many rows each object has at the start; 0: 200, negative: none.
	Rows int
	// Epoch is the instant before which the first rows were made, over 540 days;
	// zero: the time of New.
	Epoch time.Time
	// RowBytes is about how large a row is as a request for a schema's fields
	// renders it; 0: its natural size, 2 to 4 KB for an invoice.
	RowBytes int
	// ChangesPerSecond is how fast Run changes rows; 0: not at all.
	ChangesPerSecond float64
	// RateLimit is requests a second, Burst how many may come at once on top;
	// beyond them: 429. 0: 25 and 20, as Coupa documents. Negative RateLimit: no limit.
	RateLimit float64
	Burst     int
	// RateWaits lets those on top wait for their turn, so that answers come later
	// the more there are; otherwise they pass at once.
	RateWaits bool
	// Latency is waited before each answer of the API.
	Latency time.Duration
	// PageCap is the most rows of a page; 0: 50.
	PageCap int
	// TokenHold is how old a token must be before it works; 0: 5 s, negative: none.
	TokenHold time.Duration
	// TokenTTL is how long a token works; 0: 24 h.
	TokenTTL time.Duration
	// ClientID and ClientSecret are the only ones accepted; both empty: any are.
	ClientID, ClientSecret string
	// Scopes are those granted to the client; nil: all of the objects served.
	Scopes []string
	// Location is the company's zone; nil: America/Los_Angeles.
	Location *time.Location
	// Clocks are how far the clocks of the instance's servers are ahead of the time: answers come from
	// the servers in turns, and each change is stamped by any of them. nil: one server, that is right.
	Clocks []time.Duration
	// LateBy is how long after their stamp one in twenty changes of Run become
	// visible; 0: 2 s, negative: none do.
	LateBy time.Duration
	// RepeatParents answers a condition on the lines' updated-at with a row once for
	// each line that fits, as a join does; repeats count for limit and offset.
	RepeatParents bool
	// CollapseParents answers such a condition with each row once, while all of its lines that fit count
	// for limit and offset: a page has fewer rows than its limit although more follow.
	CollapseParents bool
	// MarksStamp lets a mark as exported move the row's updated-at: no document says whether it does.
	MarksStamp bool
	// MaxRows answers pages of more rows with 504 and a web page, as a gateway does that waits too long;
	// 0: none.
	MaxRows int
	// Gzip compresses answers for requests that accept it.
	Gzip bool
	// MaxLine answers 414 with a web page to request lines of more bytes, as nginx does above 8190;
	// 0: to none.
	MaxLine int
}

func (c Config) withDefaults(cat *catalogue) Config {
	if c.Objects == nil {
		c.Objects = cat.order
	}
	if c.Scopes == nil {
		for _, path := range c.Objects {
			if r := cat.resources[path]; r != nil {
				c.Scopes = append(c.Scopes, r.Scope, writeScope(r.Scope))
			}
		}
	}
	if c.Epoch.IsZero() {
		c.Epoch = time.Now()
	}
	if c.Location == nil {
		c.Location, _ = time.LoadLocation("America/Los_Angeles")
	}
	fill(&c.Rows, 200)
	fill(&c.RateLimit, 25)
	fill(&c.Burst, 20)
	fill(&c.PageCap, 50)
	fill(&c.TokenHold, 5*time.Second)
	fill(&c.TokenTTL, 24*time.Hour)
	fill(&c.LateBy, 2*time.Second)
	return c
}

// fill sets *value if it is zero.
func fill[T comparable](value *T, otherwise T) {
	var zero T
	if *value == zero {
		*value = otherwise
	}
}

// Resources are the resource paths that a tenant serves unless Config.Objects says
// otherwise, in Coupa's spelling. It can also serve those that shapes.json marks as asked.
func Resources() []string { return slices.Clone(theCatalogue().order) }

// Tenant is a simulated Coupa instance, an http.Handler. Its methods may be
// called at any time from any goroutine.
type Tenant struct {
	cfg   Config
	cat   *catalogue
	paint painter
	full  map[string]*plan // per resource: the plan of a full row
	sizes map[string]size  // with RowBytes: how much a row needs to reach it

	limit   bucket
	tokens  tokens
	faults  faults
	log     requestLog
	cached  atomic.Int64 // bytes held by version.cache
	gzips   sync.Pool
	scratch sync.Pool // *appender, to render into
	control http.Handler

	turn atomic.Uint64 // of the server that answers next

	run    sync.Mutex  // held while Run makes one change
	paused atomic.Bool // Run makes none

	tables map[string]*table // the map is set once; tables are guarded by mu

	mu      sync.Mutex       // below run; guards what follows
	plans   map[string]*plan // by path and fields
	seq     int64
	settled int64 // unix nanoseconds: the latest version.visible
	rng     *rand.Rand
}

// New makes a tenant with its first rows. It panics if cfg names an object that
// is not one of Resources.
func New(cfg Config) *Tenant {
	cat := theCatalogue()
	cfg = cfg.withDefaults(cat)
	t := &Tenant{
		cfg: cfg, cat: cat,
		paint: painter{seed: cfg.Seed, zone: cfg.Location, epoch: cfg.Epoch.Unix()},
		full:  map[string]*plan{}, sizes: map[string]size{},
		limit:  bucket{rate: cfg.RateLimit, burst: float64(cfg.Burst), waits: cfg.RateWaits},
		tables: map[string]*table{}, plans: map[string]*plan{},
		rng: rand.New(rand.NewPCG(cfg.Seed, 0x636f757061)),
	}
	t.log.counts, t.log.rows = map[string]int64{}, map[string]int64{}
	t.control = t.newControl()
	for _, path := range cfg.Objects {
		r := cat.resources[path]
		if r == nil {
			panic("coupatest: no object " + path + "; there are " + strings.Join(cat.order, ", "))
		}
		if r.Parent != "" && t.tables[r.Parent] == nil {
			panic("coupatest: " + path + " needs " + r.Parent + " before it")
		}
		t.tables[path] = &table{resource: r, byHand: map[string]bool{}}
		t.full[path] = (&selection{all: true}).compile(r.shape, 0)
		t.sizes[path] = t.measure(r)
		t.populate(t.tables[path])
	}
	return t
}

// size tells how large rows of a resource are and so what they need to reach
// Config.RowBytes: so many lines, and so much padding.
type size struct{ lines, pad int }

// measure renders a few rows without and with a line.
func (t *Tenant) measure(r *resource) size {
	if t.cfg.RowBytes <= 0 {
		return size{}
	}
	sel, _ := parseFields(leanFields(r.shape))
	pl := sel.compile(r.shape, 0)
	const samples = 16
	average := func(lines int) int {
		total := 0
		for id := range int64(samples) {
			v := &version{id: id + 1, created: t.paint.epoch, updated: t.paint.epoch, lines: t.firstLines(id+1, lines, t.paint.epoch, t.paint.epoch)}
			total += len(t.paint.render(nil, r, v, pl))
		}
		return total / samples
	}
	if r.Lines == "" {
		return size{pad: max(0, t.cfg.RowBytes-average(0))}
	}
	bare, one := average(0), average(1)
	n := max(1, (t.cfg.RowBytes-bare)/(one-bare))
	n = min(n, linesOfOne)
	return size{lines: n, pad: max(0, t.cfg.RowBytes-bare-n*(one-bare))}
}

// populate makes the first rows: their creation is spread evenly over 540 days
// before the epoch, their last update falls between then and the epoch, and some
// ids are missing.
func (t *Tenant) populate(tb *table) {
	const history = 540 * day
	n := int64(max(0, t.cfg.Rows))
	for i := range n {
		id := i + i/7 + 1
		h := mix(mix(t.cfg.Seed, tb.shape.hash), uint64(id)^0x5eed)
		created := t.paint.epoch - 60 - history*(n-i)/n
		updated := created + int64(h%uint64(t.paint.epoch-60-created+1))
		v := t.newVersion(tb, id, created)
		v.updated = updated
		for k := range v.lines {
			v.lines[k].updated = updated + int64(mix(h, uint64(k))%3)
		}
		v.visible = time.Unix(updated, 0).UnixNano()
		t.seq++
		v.seq = t.seq
		tb.put(v, t.cfg.Epoch)
	}
}

// linesOfOne is the most lines that a row can have, by the way their ids are made.
const linesOfOne = 9999

// newVersion is the first version of a row.
func (t *Tenant) newVersion(tb *table, id, now int64) *version {
	n := t.sizes[tb.Path].lines
	if n == 0 {
		n = 1 + int(mix(t.cfg.Seed^tb.shape.hash, uint64(id))%3)
	}
	if tb.Lines == "" {
		n = 0
	}
	return &version{id: id, parent: t.parentOf(tb, id), created: now, updated: now, pad: t.sizes[tb.Path].pad, lines: t.firstLines(id, n, now, now)}
}

// parentOf draws the row that a row of tb is below, at first from the
// lower half of them: the others have none. 0: rows of tb are below none.
func (t *Tenant) parentOf(tb *table, id int64) int64 {
	if tb.Parent == "" {
		return 0
	}
	rows := t.tables[tb.Parent].rows
	if len(rows) == 0 {
		return 0
	}
	return rows[mix(t.cfg.Seed^tb.shape.hash, uint64(id))%uint64((len(rows)+1)/2)].id
}

// firstLines are n lines of a row, stamped up to two seconds after their header.
func (t *Tenant) firstLines(id int64, n int, created, updated int64) []line {
	lines := make([]line, n)
	for k := range lines {
		late := int64(mix(uint64(id), uint64(k)) % 3)
		lines[k] = line{id: id*(linesOfOne+1) + int64(k) + 1, created: created + late, updated: updated + late}
	}
	return lines
}

// plan is the compiled form of a `fields` value, kept for the next request.
func (t *Tenant) plan(tb *table, fields string) (*plan, error) {
	if fields == "" {
		return t.full[tb.Path], nil
	}
	key := tb.Path + "?" + fields
	t.mu.Lock()
	pl := t.plans[key]
	t.mu.Unlock()
	if pl != nil {
		return pl, nil
	}
	sel, err := parseFields(fields)
	if err != nil {
		return nil, err
	}
	pl = sel.compile(tb.shape, 0)
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.plans) >= 256 { // a client that never repeats itself
		clear(t.plans)
	}
	t.plans[key] = pl
	return pl, nil
}

// cacheLimit bounds the bytes of rendered rows that are kept for the next reader.
const cacheLimit = 1 << 30

// rowJSON is v as pl asks for it. The result is shared: not to be changed.
func (t *Tenant) rowJSON(tb *table, v *version, pl *plan) []byte {
	first, n := v.cache.Load(), 0
	for r := first; r != nil; r = r.next {
		if r.plan == pl {
			return r.json
		}
		n++
	}
	scratch, _ := t.scratch.Get().(*appender)
	if scratch == nil {
		scratch = new(appender)
	}
	*scratch = t.paint.render((*scratch)[:0], tb.resource, v, pl)
	out := bytes.Clone(*scratch)
	t.scratch.Put(scratch)
	if n >= 8 || t.cached.Load() > cacheLimit {
		return out
	}
	if v.cache.CompareAndSwap(first, &rendered{plan: pl, json: out, next: first}) {
		t.cached.Add(int64(len(out)))
	}
	return out
}

// Warm renders an object's rows for a value of `fields` ahead of the requests that
// ask for them with it, so that a benchmark does not measure the tenant. As much
// is kept as fits into a gigabyte. It returns how many rows there are.
func (t *Tenant) Warm(object, fields string) (int, error) {
	tb, rows := t.current(object)
	if tb == nil {
		return 0, fmt.Errorf("no object %s; there are %s", object, strings.Join(t.cfg.Objects, ", "))
	}
	pl, err := t.plan(tb, fields)
	if err != nil {
		return 0, err
	}
	for _, v := range rows {
		t.rowJSON(tb, v, pl)
	}
	return len(rows), nil
}

// Version is one state of a row.
type Version struct {
	Object    string    `json:"object"`
	ID        int64     `json:"id"`
	UpdatedAt time.Time `json:"updated_at"`       // UTC, whole seconds
	VisibleAt time.Time `json:"visible_at"`       // from when on readers see it
	Seq       int64     `json:"seq"`              // ascending over all objects
	Parent    int64     `json:"parent,omitempty"` // id of the row that it is below
	// Checked is, of a mark as exported, the Seq of the version that was shown last to who asked for this
	// row by its id among those without the flag, as a client does that looks before it marks; 0: nobody did.
	Checked int64 `json:"checked,omitempty"`
	// JSON is the row with every member, as a request without `fields` renders it.
	JSON json.RawMessage `json:"row"`
}

func (t *Tenant) export(tb *table, v *version) Version {
	return Version{
		Object: tb.Path, ID: v.id, Seq: v.seq, Parent: v.parent, Checked: v.checked,
		UpdatedAt: time.Unix(v.updated, 0).UTC(), VisibleAt: time.Unix(0, v.visible).UTC(),
		JSON: t.paint.render(nil, tb.resource, v, t.full[tb.Path]),
	}
}

// Versions are all versions of an object's rows that ever were, in the order in
// which they were made, also those that are not visible yet.
func (t *Tenant) Versions(object string) []Version {
	t.mu.Lock()
	tb := t.tables[object]
	var log []*version
	if tb != nil {
		log = tb.log
	}
	t.mu.Unlock()
	out := make([]Version, len(log))
	for i, v := range log {
		out[i] = t.export(tb, v)
	}
	return out
}

// Rows are the rows that a reader sees now, by id.
func (t *Tenant) Rows(object string) []Version {
	tb, current := t.current(object)
	out := make([]Version, len(current))
	for i, v := range current {
		out[i] = t.export(tb, v)
	}
	return out
}

func (t *Tenant) current(object string) (*table, []*version) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tb := t.tables[object]
	if tb == nil {
		return nil, nil
	}
	now := time.Now().UnixNano()
	current := make([]*version, 0, len(tb.rows))
	for _, r := range tb.rows {
		if v := r.at(now); v != nil {
			current = append(current, v)
		}
	}
	return tb, current
}
