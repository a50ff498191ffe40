package checkpoint

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

// model is the store in maps.
type model struct {
	positions map[Stream]Position
	entries   map[version]bool
	chunks    map[ChunkKey]map[Entry]bool
	rows      map[Stream]map[int64]string
	// of young chunks: what is not in them any more when they are written again
	voided map[ChunkKey]map[Entry]bool
	sets   map[Stream][len(idSets)]map[int64]bool
}

type version struct {
	stream Stream
	Entry
}

func newModel() *model {
	return &model{positions: map[Stream]Position{}, entries: map[version]bool{}, chunks: map[ChunkKey]map[Entry]bool{}, rows: map[Stream]map[int64]string{}, voided: map[ChunkKey]map[Entry]bool{}, sets: map[Stream][len(idSets)]map[int64]bool{}}
}

// apply carries out a commit; one that is joined goes on with the young chunks as they were before it.
func (m *model) apply(c Commit, joined bool) {
	if c.Position.Seq <= m.positions[c.Stream].Seq {
		return
	}
	keys := map[int64]ChunkKey{}
	for _, e := range c.Entries {
		until := BucketEnd(e.At, c.Retention)
		keys[until] = ChunkKey{c.Stream, until, c.Position.Seq, false}
		last := ChunkKey{}
		for k := range m.chunks {
			if k.Stream == c.Stream && k.Until == until && (last.Seq == 0 || k.compare(last) > 0) {
				last = k
			}
		}
		held := 0
		for e := range m.chunks[last] {
			if !m.voided[last][e] && !slices.Contains(c.Voided, e) {
				held++
			}
		}
		if joined && held > 0 && len(m.chunks[last]) < 64 && !slices.Contains(c.Expired, last) {
			keys[until] = last
		}
	}
	expired := slices.SortedFunc(slices.Values(c.Expired), ChunkKey.compare)
	for _, k := range expired {
		_, had := m.chunks[k]
		delete(m.chunks, k)
		older := false
		for live := range m.chunks {
			older = older || live.Stream == k.Stream && live.Until <= k.Until
		}
		if had && !older {
			maps.DeleteFunc(m.entries, func(v version, _ bool) bool { return v.stream == k.Stream && v.At < k.Until })
		}
	}
	m.void(c)
	for _, key := range keys { // a chunk that is written again is without what was voided
		maps.DeleteFunc(m.chunks[key], func(e Entry, _ bool) bool { return m.voided[key][e] })
		delete(m.voided, key)
	}
	m.change(c)
	for _, e := range c.Entries {
		key := keys[BucketEnd(e.At, c.Retention)]
		if m.chunks[key] == nil {
			m.chunks[key] = map[Entry]bool{}
		}
		m.chunks[key][e] = true
	}
	for _, key := range keys { // a chunk that is written again brings all it holds
		for e := range m.chunks[key] {
			m.entries[version{c.Stream, e}] = true
		}
	}
	for _, r := range c.Rows {
		if m.rows[c.Stream] == nil {
			m.rows[c.Stream] = map[int64]string{}
		}
		lines := slices.SortedFunc(slices.Values(r.Lines), func(a, b Line) int { return cmp.Or(cmp.Compare(a.List, b.List), cmp.Compare(a.ID, b.ID)) })
		if m.rows[c.Stream][r.ID] = fmt.Sprint(lines); len(lines) == 0 {
			delete(m.rows[c.Stream], r.ID)
		}
	}
	m.positions[c.Stream] = c.Position
}

func (m *model) void(c Commit) {
	if len(c.Voided) == 0 {
		return
	}
	for k, entries := range m.chunks {
		for _, e := range c.Voided {
			if k.Stream != c.Stream || k.Void || len(entries) >= 64 || !entries[e] {
				continue
			}
			if m.voided[k] == nil {
				m.voided[k] = map[Entry]bool{}
			}
			m.voided[k][e] = true
		}
	}
	for _, e := range c.Voided {
		delete(m.entries, version{c.Stream, e})
	}
	last := slices.MaxFunc(c.Voided, Entry.compare)
	m.chunks[ChunkKey{c.Stream, BucketEnd(last.At, c.Retention), c.Position.Seq, true}] = nil
}

func (m *model) change(c Commit) {
	sets := m.sets[c.Stream]
	for _, ch := range c.IDs {
		if sets[ch.Set] == nil || ch.Clear {
			sets[ch.Set] = map[int64]bool{}
		}
		for _, id := range ch.Add {
			sets[ch.Set][id] = true
		}
		for _, id := range ch.Remove {
			delete(sets[ch.Set], id)
		}
	}
	m.sets[c.Stream] = sets
}

func (m *model) ledger(stream Stream) []Entry {
	var out []Entry
	for v := range m.entries {
		if v.stream == stream {
			out = append(out, v.Entry)
		}
	}
	slices.SortFunc(out, Entry.compare)
	return out
}

func (m *model) chunksOf(stream Stream) []ChunkKey {
	var out []ChunkKey
	for k := range m.chunks {
		if k.Stream == stream {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, ChunkKey.compare)
	return out
}

// history makes random commits, of three streams, as a connector would make them over ten days: some
// rows twice, several versions of a row in a second, some late by days, some with later lines, chunks
// expiring in portions.
type history struct {
	rnd     *rand.Rand
	clock   int64
	seqs    map[Stream]uint64
	streams []Stream
	lines   map[Stream]map[lineKey]ownedLine
	lastID  int64
}

func newHistory(seed uint64) *history {
	return &history{
		rnd: rand.New(rand.NewPCG(seed, 1)), clock: noon, seqs: map[Stream]uint64{}, lines: map[Stream]map[lineKey]ownedLine{},
		streams: []Stream{acme, {"acme", "users"}, {"b", "invoices"}},
	}
}

func (h *history) commit(expired func(Stream, int64, int) []ChunkKey, known func(Stream) []Entry) Commit {
	h.clock += h.rnd.Int64N(hour)
	stream := h.streams[h.rnd.IntN(len(h.streams))]
	h.seqs[stream]++
	c := Commit{Stream: stream, Position: Position{Seq: h.seqs[stream], Mark: time.Unix(h.clock, 0).UTC()}, Retention: 3 * 24 * time.Hour}
	if h.rnd.IntN(5) == 0 {
		c.Retention = 24 * time.Hour
	}
	if h.rnd.IntN(3) == 0 {
		c.Position.Walk = &Walk{To: c.Position.Mark, Ranges: []Range{{After: h.rnd.Int64N(100)}}, Rows: 50}
	}
	for range h.rnd.IntN(20) {
		late := h.rnd.Int64N(60)
		if h.rnd.IntN(10) == 0 {
			late = h.rnd.Int64N(4 * day)
		}
		e := Entry{ID: h.rnd.Int64N(40), UpdatedAt: (h.clock - late) / 30 * 30, Digest: h.rnd.Uint64N(4)}
		if e.At = e.UpdatedAt; h.rnd.IntN(5) == 0 {
			e.At += h.rnd.Int64N(day)
		}
		c.Entries = append(c.Entries, e)
	}
	c.Rows = h.rows(stream)
	h.delete(&c, known(stream))
	c.Expired = expired(stream, h.clock-3*day, 1+h.rnd.IntN(4))
	return c
}

// delete changes sets of ids, as rows that are new, missing or
// deleted do, and voids entries, some of which come back at once.
func (h *history) delete(c *Commit, known []Entry) {
	for range max(0, h.rnd.IntN(8)-4) {
		ch := IDChange{Set: IDSet(1 + h.rnd.IntN(3)), Clear: h.rnd.IntN(40) == 0}
		first, step := h.rnd.Int64N(2500), 1+h.rnd.Int64N(3)
		if h.rnd.IntN(3) == 0 { // new rows
			h.lastID += 3
			first, step = h.lastID, 1
		}
		for i := range h.rnd.Int64N(400) {
			if id := first + i*step; h.rnd.IntN(4) > 0 {
				ch.Add = append(ch.Add, id)
			} else {
				ch.Remove = append(ch.Remove, id)
			}
		}
		c.IDs = append(c.IDs, ch)
	}
	if h.rnd.IntN(4) > 0 {
		return
	}
	for _, e := range known {
		if h.rnd.IntN(8) == 0 {
			if c.Voided = append(c.Voided, e); h.rnd.IntN(3) == 0 {
				c.Entries = append(c.Entries, e)
			}
		}
	}
}

// rows makes states in which lines come, change, go, and move from row to row.
func (h *history) rows(stream Stream) []RowState {
	if h.lines[stream] == nil {
		h.lines[stream] = map[lineKey]ownedLine{}
	}
	lines, touched := h.lines[stream], map[int64]bool{}
	for range h.rnd.IntN(8) {
		key := lineKey{[]string{"order_lines", "tax_lines"}[h.rnd.IntN(2)], h.rnd.Int64N(60)}
		if was, there := lines[key]; there {
			touched[was.row] = true
		}
		if delete(lines, key); h.rnd.IntN(3) > 0 {
			lines[key] = ownedLine{h.rnd.Int64N(20), h.rnd.Uint64N(5)}
			touched[lines[key].row] = true
		}
	}
	var all []RowState
	for row := range touched {
		r := RowState{ID: row}
		for key, l := range lines {
			if l.row == row {
				r.Lines = append(r.Lines, Line{key.list, key.id, l.digest})
			}
		}
		all = append(all, r)
	}
	return all
}

// ownedLine is a line in the state of a row.
type ownedLine struct {
	row    int64
	digest uint64
}

func TestStoreAgreesWithItsModel(t *testing.T) {
	t.Parallel()
	for range histories(t, 4) {
		seed := rand.Uint64()
		h, m := newHistory(seed), newModel()
		path := storePath(t)
		live := openTest(t, path)
		var log []change // what a topic would hold
		for i := range 200 {
			c := h.commit(func(st Stream, before int64, limit int) []ChunkKey {
				keys, err := live.ExpiredChunks(st, before, limit)
				if err != nil {
					t.Fatal(err)
				}
				return keys
			}, func(st Stream) []Entry { return ledger(t, live, st) })
			join := h.rnd.IntN(4) > 0 || len(c.IDs) > 0
			if join {
				c = mustJoin(t, live, c)
			}
			m.apply(c, join)
			mustApply(t, live, int64(i+1), c)
			log = append(log, throughRecords(t, c)...)
			if h.rnd.IntN(40) == 0 {
				closeChecked(t, live)
				live = openTest(t, path)
			}
		}
		whole, compacted := replay(t, log), replay(t, compactLog(log))
		for _, c := range compactLog(log) {
			if c.kind != put {
				continue
			}
			if want := slices.SortedFunc(maps.Keys(m.chunks[c.chunk]), Entry.compare); !slices.Equal(c.entries, want) {
				t.Errorf("seed %d: the topic's chunk %v has %d entries, the model %d", seed, c.chunk, len(c.entries), len(want))
			}
		}
		for _, stream := range h.streams {
			if got, want := ledger(t, live, stream), m.ledger(stream); !slices.Equal(got, want) {
				t.Errorf("seed %d: %v has %d entries, the model %d", seed, stream, len(got), len(want))
			}
			if got, want := chunks(t, live, stream), m.chunksOf(stream); !slices.Equal(got, want) {
				t.Errorf("seed %d: %v has chunks %v, the model %v", seed, stream, got, want)
			}
			if !slices.Equal(ledger(t, whole, stream), ledger(t, live, stream)) {
				t.Errorf("seed %d: the whole topic gives another ledger of %v", seed, stream)
			}
			if !slices.Equal(chunks(t, compacted, stream), chunks(t, live, stream)) {
				t.Errorf("seed %d: the compacted topic gives other chunks of %v", seed, stream)
			}
			recent := h.clock - 3*day + day // buckets that have not begun to expire
			if !slices.Equal(entriesIn(t, compacted, stream, recent, 0), entriesIn(t, live, stream, recent, 0)) {
				t.Errorf("seed %d: the compacted topic gives another ledger of %v", seed, stream)
			}
		}
		for name, s := range map[string]*Store{"live": live, "whole": whole, "compacted": compacted} {
			if got := positions(t, s); !reflect.DeepEqual(got, m.positions) {
				t.Errorf("seed %d: %s has positions %v, want %v", seed, name, got, m.positions)
			}
			for _, stream := range h.streams {
				for set := Known; int(set) < len(idSets); set++ {
					want := slices.Sorted(maps.Keys(m.sets[stream][set]))
					if got, err := s.IDs(stream, set, -1, math.MaxInt); err != nil || !slices.Equal(got, want) {
						t.Errorf("seed %d: %s has %d ids %v of %v, %v, want %d", seed, name, len(got), set, stream, err, len(want))
					}
				}
				if got, want := rowStates(t, s, stream), m.rows[stream]; !maps.Equal(got, want) {
					t.Errorf("seed %d: %s has states %v of %v, want %v", seed, name, got, stream, want)
				}
			}
		}
	}
}

// throughRecords writes the commit as records and reads it back.
func throughRecords(t *testing.T, c Commit) []change {
	t.Helper()
	records, err := c.Records("checkpoints", 3)
	if err != nil {
		t.Fatal(err)
	}
	var out []change
	for _, r := range records {
		ch, err := decode(r.Key, r.Value)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, ch)
	}
	return out
}

// compactLog keeps the last record of every key, and no tombstone.
func compactLog(log []change) []change {
	last := map[string]int{}
	for i, c := range log {
		last[string(c.key())] = i
	}
	var out []change
	for _, i := range slices.SortedFunc(maps.Values(last), cmp.Compare[int]) {
		if log[i].value() != nil {
			out = append(out, log[i])
		}
	}
	return out
}

// replay applies changes to an empty store, some at a time, as Restore does.
func replay(t *testing.T, log []change) *Store {
	t.Helper()
	s := openTest(t, storePath(t))
	r := &restorer{store: s, puts: map[ChunkKey]int{}}
	for part := range slices.Chunk(log, 37) {
		for _, c := range part {
			r.add(c)
			r.next++
		}
		if err := r.apply(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestCompare(t *testing.T) {
	t.Parallel()
	mine := testIdentity()
	at := func(start, end int64) partitionState { return partitionState{Identity: mine, Start: start, End: end} }
	rebuilt := at(0, 100)
	rebuilt.ClusterID = "cluster-b"
	recreated := at(0, 100)
	recreated.TopicID = [16]byte{9}
	tests := map[string]struct {
		next   int64
		topic  partitionState
		want   verdict
		reason bool
	}{
		"a file at the end goes on":                             {100, at(0, 100), goOn, false},
		"a file behind applies":                                 {40, at(0, 100), apply, false},
		"a file at the first offset held applies":               {40, at(40, 100), apply, false},
		"a file ahead is set aside":                             {101, at(0, 100), setAside, true},
		"a file whose offset is gone is set aside":              {39, at(40, 100), setAside, true},
		"an empty file applies":                                 {0, at(0, 100), apply, false},
		"an empty file applies from the first offset held":      {0, at(40, 100), apply, false},
		"an empty file of an empty topic applies":               {0, at(0, 0), apply, false},
		"a file of another cluster is set aside, even at equal": {100, rebuilt, setAside, true},
		"a file of a topic made again is set aside":             {40, recreated, setAside, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, why := compare(mine, tt.next, tt.topic)
			if got != tt.want || (why != "") != tt.reason {
				t.Errorf("got %d %q", got, why)
			}
		})
	}
}
