package shard

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/record"
)

// memoryStates is a store of rows' states.
type memoryStates struct{ rows map[int64]checkpoint.RowState }

func (m memoryStates) Row(_ checkpoint.Stream, id int64) (checkpoint.RowState, error) {
	return m.rows[id], nil
}

func (m memoryStates) Owner(_ checkpoint.Stream, list string, line int64) (int64, bool, error) {
	for id, r := range m.rows {
		for _, l := range r.Lines {
			if l.List == list && l.ID == line {
				return id, true, nil
			}
		}
	}
	return 0, false, nil
}

func (m memoryStates) apply(t *testing.T, changes []checkpoint.RowState) {
	t.Helper()
	for _, r := range changes {
		if m.rows[r.ID] = r; len(r.Lines) == 0 {
			delete(m.rows, r.ID)
		}
	}
	seen := map[string]int64{}
	for id, r := range m.rows {
		for _, l := range r.Lines {
			key := fmt.Sprint(l.List, l.ID)
			if other, there := seen[key]; there {
				t.Errorf("line %s is in the states of rows %d and %d", key, id, other)
			}
			seen[key] = id
		}
	}
}

// theirs is a tenant of rows with lines in two lists; a line is in one row.
type theirs map[lineID]struct {
	row    int64
	digest uint64
}

func (m theirs) row(id int64) *record.RowLines {
	rl := &record.RowLines{Version: record.Version{ID: id}, Tenant: "acme", Lists: []record.List{{List: "a", Topic: "t.a"}, {List: "b", Topic: "t.b"}}}
	for key, l := range m {
		if l.row == id {
			n := rl.List(key.list)
			rl.Lines = append(rl.Lines, record.Line{List: n, ID: key.id, Digest: l.digest, Record: &kgo.Record{Topic: rl.Lists[n].Topic, Value: []byte{1}}})
		}
	}
	slices.SortFunc(rl.Lines, func(a, b record.Line) int {
		return lineID{rl.Lists[a.List].List, a.ID}.compare(lineID{rl.Lists[b.List].List, b.ID})
	})
	return rl
}

// Lines come, change, go and move between rows, and rows are read in any order, some of them late,
// some several times in a transaction, of which some are aborted. Once all rows are read, the
// topic has each line, in its last content, and no other. No record repeats what stands there.
func TestTopicsOfLinesAreThoseOfTheRowsReadLast(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 11))
		store, tenant := memoryStates{map[int64]checkpoint.RowState{}}, theirs{}
		topic := map[lineID]uint64{}
		read := func(states *rowStates, id int64) map[lineID]uint64 {
			rl := tenant.row(id)
			records, err := states.publish(rl)
			if err != nil {
				t.Fatal(err)
			}
			out := map[lineID]uint64{}
			for _, r := range records {
				key := lineID{r.Topic[2:], r.id}
				if _, twice := out[key]; twice {
					t.Errorf("seed %d: %v goes out twice for one reading of row %d", seed, key, id)
				}
				out[key] = 0
				if r.Value != nil {
					out[key] = tenant[key].digest
				}
			}
			return out
		}
		for range 60 {
			for range rnd.IntN(6) {
				key := lineID{[]string{"a", "b"}[rnd.IntN(2)], rnd.Int64N(12)}
				l := tenant[key]
				switch rnd.IntN(5) {
				case 0:
					delete(tenant, key)
				case 1:
					l.row = rnd.Int64N(5)
					tenant[key] = l
				default:
					if l.digest == 0 {
						l.row = rnd.Int64N(5)
					}
					l.digest = 1 + rnd.Uint64N(4)
					tenant[key] = l
				}
			}
			maps.DeleteFunc(tenant, func(_ lineID, l struct {
				row    int64
				digest uint64
			}) bool {
				return l.digest == 0
			})
			states, after := newRowStates(store, checkpoint.Stream{}, 0), maps.Clone(topic)
			for range 1 + rnd.IntN(4) {
				for key, digest := range read(states, rnd.Int64N(5)) {
					if digest == 0 {
						if _, there := after[key]; !there {
							t.Errorf("seed %d: a tombstone of %v, which is not there", seed, key)
						}
						delete(after, key)
						continue
					}
					after[key] = digest
				}
			}
			if rnd.IntN(4) > 0 { // else it is aborted
				store.apply(t, states.changes())
				topic = after
			}
		}
		states := newRowStates(store, checkpoint.Stream{}, 0)
		for id := range int64(5) {
			for key, digest := range read(states, id) {
				if topic[key] = digest; digest == 0 {
					delete(topic, key)
				}
			}
		}
		store.apply(t, states.changes())
		for key, l := range tenant {
			if topic[key] != l.digest {
				t.Errorf("seed %d: the topic has %v as %d, the tenant as %d", seed, key, topic[key], l.digest)
			}
		}
		if len(topic) != len(tenant) {
			t.Errorf("seed %d: the topic has %d lines, the tenant %d", seed, len(topic), len(tenant))
		}
		again := newRowStates(store, checkpoint.Stream{}, 0)
		for id := range int64(5) {
			if out := read(again, id); len(out) > 0 {
				t.Errorf("seed %d: row %d read again gives %v", seed, id, out)
			}
		}
		if t.Failed() {
			return
		}
	}
}

func TestAListThatCouldNotBeReadKeepsItsLines(t *testing.T) {
	store := memoryStates{map[int64]checkpoint.RowState{7: {ID: 7, Lines: []checkpoint.Line{{List: "a", ID: 1, Digest: 5}, {List: "b", ID: 2, Digest: 5}, {List: "gone", ID: 3, Digest: 5}}}}}
	states := newRowStates(store, checkpoint.Stream{}, 0)
	rl := theirs{}.row(7)
	rl.Unread = []bool{true, false}
	records, err := states.publish(rl)
	if err != nil || len(records) != 1 || records[0].Topic != "t.b" || records[0].Value != nil {
		t.Errorf("records %v %v", records, err)
	}
	if kept := states.changes(); len(kept) != 1 || len(kept[0].Lines) != 2 {
		t.Errorf("states %v", kept)
	}
}

func TestLinesThatAreAskedForGoOutUnchanged(t *testing.T) {
	store := memoryStates{map[int64]checkpoint.RowState{7: {ID: 7, Lines: []checkpoint.Line{{List: "a", ID: 1, Digest: 5}, {List: record.RowItself, ID: 7, Digest: 9}}}}}
	rl := theirs{{"a", 1}: {7, 5}}.row(7)
	rl.RowRecord, rl.Content = &kgo.Record{}, 9
	for _, rl.All = range []bool{false, true} {
		records, err := newRowStates(store, checkpoint.Stream{}, 0).publish(rl)
		if want := map[bool]int{false: 0, true: 2}[rl.All]; err != nil || len(records) != want {
			t.Errorf("asked for %t: %d records %v, want %d", rl.All, len(records), err, want)
		}
	}
}

// What waits to be marked is what was published last; a mark of another version leaves it there.
func TestARowIsMarkedAsItWasPublishedLast(t *testing.T) {
	const published, marked = false, true
	type step struct {
		at, lines int64
		marked    bool
	}
	lines := checkpoint.Line{List: "a", ID: 1, Digest: 5}
	for name, k := range map[string]struct {
		kept  []step
		steps []step
		want  record.Stamps // that wait; zero: none
		moved bool
	}{
		"published":                         {nil, []step{{10, 11, published}}, record.Stamps{ID: 7, UpdatedAt: 10, LinesAt: 11}, true},
		"and marked at once":                {nil, []step{{10, 0, published}, {10, 0, marked}}, record.Stamps{}, true},
		"marked later":                      {[]step{{10, 0, published}}, []step{{10, 0, marked}}, record.Stamps{}, true},
		"marked when it was published anew": {[]step{{10, 0, published}}, []step{{20, 0, published}, {10, 0, marked}}, record.Stamps{ID: 7, UpdatedAt: 20}, true},
		"marked before a line changed":      {[]step{{10, 15, published}}, []step{{10, 0, marked}}, record.Stamps{ID: 7, UpdatedAt: 10, LinesAt: 15}, false},
		"marked twice":                      {nil, []step{{10, 0, marked}}, record.Stamps{}, false},
		"published once more":               {[]step{{10, 0, published}}, []step{{10, 0, published}}, record.Stamps{ID: 7, UpdatedAt: 10}, false},
		"set back":                          {[]step{{10, 0, published}}, []step{{4, 0, published}}, record.Stamps{ID: 7, UpdatedAt: 4}, true},
	} {
		t.Run(name, func(t *testing.T) {
			state := checkpoint.RowState{ID: 7, Lines: []checkpoint.Line{lines}}
			for _, s := range k.kept {
				state.Lines = append(state.Lines, record.Stamps{ID: 7, UpdatedAt: s.at, LinesAt: s.lines}.Line())
			}
			states := newRowStates(memoryStates{map[int64]checkpoint.RowState{7: state}}, checkpoint.Stream{}, 0)
			for _, s := range k.steps {
				if err := states.mark(record.Stamps{ID: 7, UpdatedAt: s.at, LinesAt: s.lines}, s.marked); err != nil {
					t.Fatal(err)
				}
			}
			changes := states.changes()
			if moved := len(changes) > 0; moved != k.moved {
				t.Errorf("changed: %v", changes)
			}
			for _, row := range append(changes, state)[:1] {
				if got, _ := record.StampsIn(row); got != k.want || !slices.Contains(row.Lines, lines) {
					t.Errorf("%v, want %v, and the line in its place", row, k.want)
				}
			}
		})
	}
}

func TestTombstonesHaveTheHeadersOfTheirRow(t *testing.T) {
	rl := theirs{}.row(7)
	rl.Headers = []kgo.RecordHeader{{Key: record.HeaderTenant, Value: []byte("acme")}, {Key: record.HeaderOp, Value: []byte(record.OpUpsert)}, {Key: record.HeaderUpdatedAt, Value: []byte("2026-11-24T00:00:00Z")}}
	r := rl.Tombstone(0, 9)
	if headerIn(r, record.HeaderOp) != record.OpDelete || headerIn(r, record.HeaderUpdatedAt) != "2026-11-24T00:00:00Z" || headerIn(r, record.HeaderTenant) != "acme" || r.Value != nil {
		t.Errorf("%v", r)
	}
	if string(rl.Headers[1].Value) != record.OpUpsert {
		t.Error("the row's own headers have changed")
	}
}

func headerIn(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}
