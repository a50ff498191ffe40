package checkpoint

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.etcd.io/bbolt"
)

// TestPower cuts the power of the file's disk, CUTS (60) times, drawn from SEED, while owners open, restore,
// commit and compact. The disk forgets what was not synced. After each cut the file is as the last commit
// left it that Apply had taken, or as the one left it that it was about, or it is set aside; and what is
// restored into it is what a file has that was never cut.
func TestPower(t *testing.T) {
	folder := os.Getenv("POWER")
	if folder == "" {
		t.Skip("make power runs it, on a disk that forgets, which needs Linux, root and /dev/fuse")
	}
	cuts, err := strconv.Atoi(cmp.Or(os.Getenv("CUTS"), "60"))
	if err != nil {
		t.Fatal(err)
	}
	seed, err := strconv.ParseUint(cmp.Or(os.Getenv("SEED"), fmt.Sprint(rand.Uint64()>>32)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	tally := map[string]int{}
	for n := range uint64((cuts + 19) / 20) {
		ok := t.Run(fmt.Sprintf("history %d", n), func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *cluster) {
				p := &powered{cluster: c, t: t, rnd: rand.New(rand.NewPCG(seed, n)), history: newHistory(seed + n), tally: tally,
					folder: folder, path: filepath.Join(folder, "disk", fmt.Sprintf("shard-%d.db", n)), whole: openTest(t, storePath(t))}
				for range min(20, cuts-20*int(n)) {
					p.untilCut()
				}
				p.cut(0)
				p.on()
				if err := p.own(); err != nil { // nobody cuts it
					t.Error(err)
				}
			})
		})
		if !ok {
			t.Fatalf("CUTS=%d SEED=%d plays it again", cuts, seed)
		}
	}
	t.Logf("SEED=%d", seed)
	for _, how := range slices.Sorted(maps.Keys(tally)) {
		t.Logf("%5d %s", tally[how], how)
	}
}

// powered is a history of one partition whose file is on a disk that is cut.
type powered struct {
	*cluster
	t            *testing.T
	rnd          *rand.Rand
	history      *history
	tally        map[string]int
	folder, path string
	whole        *Store  // of the same commits, and never cut
	states       []state // after each commit, of the whole one
	applied      int64   // Next when Apply or Restore returned last
	thrown       bool    // the file may not fit, and be set aside
	ahead        int64   // Next of a file that has what the topic has not
}

// state is what a file has that has applied the records below next; the first of its last commit is at begin.
type state struct {
	begin, next int64
	counts      counts
}

func (p *powered) power(text string) {
	if err := os.WriteFile(filepath.Join(p.folder, "power"), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *powered) cut(after int) { p.power(fmt.Sprintf("cut %d %d", after, p.rnd.Uint64()>>1)) }
func (p *powered) on()           { p.power("on") }

// off tells whether the power is away.
func (p *powered) off() bool {
	text, err := os.ReadFile(filepath.Join(p.folder, "power"))
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.HasPrefix(string(text), "off")
}

// untilCut has one owner after the other until the power is cut, and looks at what is left.
func (p *powered) untilCut() {
	p.cut(1 + p.rnd.IntN([]int{10, 100, 400}[p.rnd.IntN(3)]))
	for !p.off() {
		err := p.own()
		if err == nil && p.rnd.IntN(3) == 0 {
			err = p.spoil()
		}
		if err != nil && !(p.off() && errors.Is(err, ErrPlace)) {
			p.t.Fatalf("power away: %v, and yet: %v", p.off(), err)
		}
	}
	p.on()
	_, err := os.Stat(p.path)
	p.tally["cuts"]++
	if _, _, err := Peek(p.path); err != nil {
		p.t.Fatal(err)
	}
	s, err2 := Open(p.path, p.identity())
	if err2 != nil {
		p.t.Fatal(err2)
	}
	defer closeChecked(p.t, s)
	p.tally[p.found(s, err)]++
	p.applied = s.Next()
}

// found tells what an owner finds, and fails where that is nothing that a cut may leave.
func (p *powered) found(s *Store, stat error) string {
	next := s.Next()
	switch {
	case s.Aside() != "" && p.thrown:
		return "thrown away: it was damaged or another partition's before"
	case s.Aside() != "":
		p.t.Errorf("set aside: %s", s.Aside())
	case p.thrown && next == p.ahead:
		return "ahead of the topic: the next restore throws it away"
	case next == p.applied:
		return "as the last commit left it"
	case next > p.applied && p.applied > 0 && !p.thrown:
		return "as the commit left it that was under way"
	case p.thrown || p.applied == 0:
		return "begun anew"
	case errors.Is(stat, os.ErrNotExist):
		p.t.Errorf("the file is gone; it had applied up to %d", p.applied)
	default:
		p.t.Errorf("the file has applied up to %d, and had up to %d", next, p.applied)
	}
	return "faults"
}

// own is an ownership: it opens the file, restores, commits, and closes it. An error is the disk's.
func (p *powered) own() (err error) {
	s, err := Open(p.path, p.identity())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := Fit(p.t.Context(), p.opts, s); err != nil {
		return err
	}
	p.check(s)
	owner, nonce := p.fence()
	cfg := p.config(nonce)
	cfg.Chunk = 1 + p.rnd.IntN(200)
	cfg.Progress = func(int64) { p.applied = s.Next() }
	if err := Restore(p.t.Context(), cfg, s); err != nil {
		return err
	}
	p.applied, p.thrown = s.Next(), false
	p.check(s)
	p.compare(s)
	if _, err := s.Own(map[TopicPartition]int64{{"invoices", 0}: s.Next()}); err != nil {
		return err
	}
	for range p.rnd.IntN(8) {
		if err := p.commitTo(s, owner); err != nil {
			return err
		}
	}
	if p.rnd.IntN(4) == 0 {
		return bloat(s)
	}
	return nil
}

// commitTo commits to the topic, to the whole store, and to the one that is cut.
func (p *powered) commitTo(s *Store, owner *kgo.Client) error {
	c := p.history.commit(func(st Stream, before int64, limit int) []ChunkKey {
		keys, err := p.whole.ExpiredChunks(st, before, limit)
		if err != nil {
			p.t.Fatal(err)
		}
		return keys
	}, func(st Stream) []Entry { return ledger(p.t, p.whole, st) })
	c = mustJoin(p.t, p.whole, c)
	records := p.records(c)
	next := p.transaction(owner, kgo.TryCommit, records...)
	mustApply(p.t, p.whole, next, c)
	p.states = append(p.states, state{records[0].Offset, next, p.whole.counts})
	if err := s.Apply([]Commit{c}, next); err != nil {
		return err
	}
	p.applied = next
	return nil
}

// check holds a file that was not restored yet to the state after a commit, unless a restore is within one.
func (p *powered) check(s *Store) {
	p.t.Helper()
	var want counts
	for _, st := range p.states {
		if st.next > s.Next() {
			if st.begin < s.Next() {
				return
			}
			break
		}
		want = st.counts
	}
	if s.counts != want {
		p.t.Fatalf("a file that has applied up to %d has %+v, want %+v", s.Next(), s.counts, want)
	}
}

// compare holds a restored file to the whole one.
func (p *powered) compare(s *Store) {
	p.t.Helper()
	if got, want := positions(p.t, s), positions(p.t, p.whole); !reflect.DeepEqual(got, want) {
		p.t.Errorf("positions %v, want %v", got, want)
	}
	for _, st := range p.history.streams {
		if !slices.Equal(ledger(p.t, s, st), ledger(p.t, p.whole, st)) || !slices.Equal(chunks(p.t, s, st), chunks(p.t, p.whole, st)) ||
			!maps.Equal(rowStates(p.t, s, st), rowStates(p.t, p.whole, st)) {
			p.t.Errorf("%v is not what was committed", st)
		}
	}
}

// bloat leaves a file most of whose pages are free, so that the next Open compacts it.
func bloat(s *Store) error {
	err := s.db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists([]byte(bucketRoom))
		for i := range uint16(2 * compactFrom / roomPiece) {
			err = errors.Join(err, b.Put(binary.BigEndian.AppendUint16(nil, i), make([]byte, roomPiece)))
		}
		return err
	})
	if err == nil {
		err = s.db.Update(clearRoom)
	}
	if err != nil {
		return placeError(s.path, err)
	}
	return nil
}

// spoil does to the closed file what an owner has to set it aside for.
func (p *powered) spoil() error {
	p.thrown = true
	switch p.rnd.IntN(3) {
	case 0: // the broker has lost what it had acknowledged
		s, err := Open(p.path, p.identity())
		if err != nil {
			return err
		}
		p.ahead = p.end() + 2 + p.rnd.Int64N(20)
		lost := commitOf(acme, p.history.seqs[acme]+1, [3]int64{p.rnd.Int64N(1000), 0, 1})
		return errors.Join(s.Apply([]Commit{lost}, p.ahead), s.Close())
	case 1:
		id := p.identity()
		id.ClusterID = "another"
		s, err := Open(p.path, id)
		if err != nil {
			return err
		}
		return s.Close()
	default:
		return damage(p.rnd, p.path)
	}
}

// end is where the topic ends.
func (p *powered) end() int64 {
	ends, err := kadm.NewClient(p.client()).ListEndOffsets(p.t.Context(), checkpoints)
	if err != nil {
		p.t.Fatal(err)
	}
	end, _ := ends.Lookup(checkpoints, 3)
	return end.Offset
}

func damage(rnd *rand.Rand, path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return placeError(path, err)
	}
	bytes := make([]byte, 4096)
	for i := range bytes {
		bytes[i] = byte(rnd.Uint32())
	}
	info, err := f.Stat()
	if err == nil {
		_, err = f.WriteAt(bytes, rnd.Int64N(info.Size()))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return placeError(path, err)
	}
	return nil
}
