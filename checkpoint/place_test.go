package checkpoint

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	berrors "go.etcd.io/bbolt/errors"
)

var errDisk = errors.New("input/output error")

// failAt is a failpoint that fails at one point, from the nth time on.
func failAt(point string, n int) func(string) error {
	return func(p string) error {
		if p == point {
			n--
		}
		if p == point && n <= 0 {
			return errDisk
		}
		return nil
	}
}

// wantPlace checks that the error blames the place, by its path and with the remedy.
func wantPlace(t *testing.T, err error, path string) {
	t.Helper()
	if !errors.Is(err, ErrPlace) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "state.dir needs a writable disk with room") {
		t.Errorf("the error is %v", err)
	}
}

// wantAgreement checks that the store answers as a new one over a copy of its file does.
func wantAgreement(t *testing.T, s *Store) {
	t.Helper()
	b, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "copy.db")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := Open(path, s.id)
	if err != nil {
		t.Fatal(err)
	}
	defer closeChecked(t, file)
	if s.Next() != file.Next() || s.counts != file.counts || !reflect.DeepEqual(positions(t, s), positions(t, file)) {
		t.Errorf("memory has next %d, %+v, %v; the file next %d, %+v, %v", s.Next(), s.counts, positions(t, s), file.Next(), file.counts, positions(t, file))
	}
	for stream := range maps.Keys(positions(t, file)) {
		if !slices.Equal(ledger(t, s, stream), ledger(t, file, stream)) || !slices.Equal(chunks(t, s, stream), chunks(t, file, stream)) {
			t.Errorf("memory and file have different ledgers of %v", stream)
		}
	}
}

func TestOpenTellsOfAPlaceThatIsNoFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"a folder below a file":   filepath.Join(file, "state", "shard-0.db"),
		"a folder under the name": dir,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(path, testIdentity())
			wantPlace(t, err, path)
		})
	}
}

// A state file that can be read tells nothing about whether it can be written.
func TestOpenTellsOfADiskThatTakesNoMore(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		with  func(size int) seams
		cause error
	}{
		"is full":                    {func(size int) seams { return seams{maxSize: size} }, berrors.ErrMaxSizeReached},
		"fails to write":             {func(int) seams { return seams{failpoint: failAt(pointBefore, 1)} }, errDisk},
		"writes and fails to say so": {func(int) seams { return seams{failpoint: failAt(pointAfter, 1)} }, errDisk},
		"fails the second time":      {func(int) seams { return seams{failpoint: failAt(pointBefore, 2)} }, errDisk},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := storePath(t)
			s := openTest(t, path)
			seq := uint64(0)
			for stats := s.Stats(); stats.FreeBytes > roomPages*4096/2; stats = s.Stats() {
				seq++
				mustApply(t, s, 7, many(acme, seq, 500, int64(seq)*500))
			}
			want, size := ledger(t, s, acme), s.Stats().FileBytes
			closeChecked(t, s)
			_, err := open(path, testIdentity(), tt.with(int(size)))
			wantPlace(t, err, path)
			if !errors.Is(err, tt.cause) || errors.Is(err, ErrLocked) {
				t.Errorf("got %v", err)
			}
			if got := asides(path); len(got) != 0 {
				t.Errorf("set aside: %v", got)
			}
			s = openTest(t, path)
			if s.Aside() != "" || s.Next() != 7 || !slices.Equal(ledger(t, s, acme), want) {
				t.Errorf("when there is room again: aside %q, next %d, %d entries", s.Aside(), s.Next(), len(ledger(t, s, acme)))
			}
		})
	}
}

// Room that was claimed is left for the commits to come: opening again and again doesn't grow the file.
func TestClaimedRoomIsGivenBack(t *testing.T) {
	t.Parallel()
	path := storePath(t)
	var sizes []int64
	for i := range 4 {
		s := openTest(t, path)
		mustApply(t, s, int64(i+1), many(acme, uint64(i+1), 100, int64(i)*100))
		sizes = append(sizes, s.Stats().FileBytes)
		closeChecked(t, s)
	}
	if sizes[0] < roomPages*4096 || sizes[3] > sizes[0]+64<<10 {
		t.Errorf("the file's sizes: %v", sizes)
	}
}

// Each failure of the one durable act here, once not carried out and once carried out all the same.
func TestApplyThatFails(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		point string
		next  int64
		want  [][3]int64
	}{
		"before its commit applies nothing":   {pointBefore, 1, [][3]int64{{1, 0, 1}}},
		"after its commit has applied it all": {pointAfter, 2, [][3]int64{{1, 0, 1}, {2, 1, 1}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := storePath(t)
			s := openTest(t, path)
			users := Stream{"acme", "users"}
			mustApply(t, s, 1, commitOf(acme, 1, [3]int64{1, 0, 1}))
			s.failpoint = failAt(tt.point, 1)
			two := commitOf(acme, 2, [3]int64{2, 1, 1})
			wantPlace(t, s.Apply([]Commit{two}, 2), path)
			s.failpoint = nil
			wantEntries(t, ledger(t, s, acme), tt.want...)
			if s.Next() != tt.next {
				t.Errorf("next is %d, want %d", s.Next(), tt.next)
			}
			wantAgreement(t, s)
			if err := s.Apply([]Commit{commitOf(users, 1)}, 9); !errors.Is(err, ErrBehind) || errors.Is(err, ErrPlace) {
				t.Errorf("another stream may pass over what is missing: %v", err)
			}
			mustApply(t, s, 9, two, commitOf(users, 1))
			wantEntries(t, ledger(t, s, acme), [3]int64{1, 0, 1}, [3]int64{2, 1, 1})
			mustApply(t, s, 12, commitOf(acme, 3))
		})
	}
}

func TestApplyOnADiskThatIsFull(t *testing.T) {
	t.Parallel()
	path := storePath(t)
	s, err := open(path, testIdentity(), seams{maxSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer closeChecked(t, s)
	mustApply(t, s, 1, commitOf(acme, 1, [3]int64{1, 0, 1}))
	big := many(acme, 2, 20_000, 1)
	for range 2 { // the second time as the first
		err := s.Apply([]Commit{big}, 2)
		wantPlace(t, err, path)
		if !errors.Is(err, berrors.ErrMaxSizeReached) {
			t.Errorf("the error is %v", err)
		}
		wantEntries(t, ledger(t, s, acme), [3]int64{1, 0, 1})
		wantAgreement(t, s)
	}
	s.makeRoom()
	mustApply(t, s, 2, big)
	if n := len(ledger(t, s, acme)); n != 20_001 {
		t.Errorf("%d entries", n)
	}
}

// makeRoom ends what seams.maxSize began.
func (s *Store) makeRoom() { s.db.MaxSize, s.maxSize = 0, 0 }

// A restore that meets a failing disk keeps what it has applied, and the next one goes on from there.
func TestRestoreOnADiskThatFails(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		with seams
		kept int // entries that the failed restore leaves, at least
	}{
		"because it is full": {seams{maxSize: 512 << 10}, 400},
		// Open has two
		"before a commit":                  {seams{failpoint: failAt(pointBefore, 2+3)}, 2 * 400},
		"after a commit":                   {seams{failpoint: failAt(pointAfter, 2+3)}, 3 * 400},
		"before the first commit":          {seams{failpoint: failAt(pointBefore, 2+1)}, 0},
		"after a commit that was the last": {seams{failpoint: failAt(pointAfter, 2+25)}, 25 * 400},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *cluster) {
				for i := range uint64(25) {
					c.transaction(c.owner(), kgo.TryCommit, c.records(many(acme, i+1, 400, int64(i)*400))...)
				}
				_, nonce := c.fence()
				cfg := c.config(nonce)
				cfg.Chunk = 400
				path := storePath(t)
				id := c.identity()
				s, err := open(path, id, tt.with)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { closeChecked(t, s) })
				wantPlace(t, Restore(t.Context(), cfg, s), path)
				if err := s.Apply([]Commit{commitOf(Stream{"acme", "users"}, 1)}, 9999); !errors.Is(err, ErrBehind) {
					t.Errorf("a commit may pass over what was not restored: %v", err)
				}
				kept := len(ledger(t, s, acme))
				if kept < tt.kept || tt.with.maxSize == 0 && kept != tt.kept {
					t.Errorf("%d entries are left, want %d", kept, tt.kept)
				}
				s.failpoint = nil
				s.makeRoom()
				var applied int64
				cfg.Progress = func(n int64) { applied = n }
				if err := Restore(t.Context(), cfg, s); err != nil {
					t.Fatal(err)
				}
				if n := len(ledger(t, s, acme)); n != 10_000 || int(applied) != 10_000-kept || s.Aside() != "" {
					t.Errorf("%d entries, %d of them applied by the second restore after %d, aside %q", n, applied, kept, s.Aside())
				}
			})
		})
	}
}

// After a failure the file itself may be out of reach for a while.
func TestAFileThatCanNotBeOpenedAgainAfterAFailure(t *testing.T) {
	t.Parallel()
	one, two := commitOf(acme, 1, [3]int64{1, 0, 1}), commitOf(acme, 2, [3]int64{2, 0, 2})
	for name, recovers := range map[string]func(*cluster, *Store, func() error) error{
		"is applied to when it is back": func(_ *cluster, s *Store, back func() error) error {
			return errors.Join(back(), s.Apply([]Commit{two}, 5))
		},
		"is restored when it is back": func(c *cluster, s *Store, back func() error) error {
			_, nonce := c.fence()
			wantPlace(c.t.(*testing.T), Restore(c.t.Context(), c.config(nonce), s), s.path)
			return errors.Join(back(), Restore(c.t.Context(), c.config(nonce), s))
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *cluster) {
				s := c.open(t, storePath(t))
				owner := c.takeOver(s)
				c.commit(owner, s, one)
				away := s.path + ".away"
				s.failpoint = func(string) error {
					return errors.Join(errDisk, os.Rename(s.path, away), os.Mkdir(s.path, 0o700))
				}
				next := c.transaction(owner, kgo.TryCommit, c.records(two)...)
				wantPlace(t, s.Apply([]Commit{two}, next), s.path)
				s.failpoint = nil
				wantPlace(t, s.Apply([]Commit{two}, next), s.path)
				if err := s.Range(acme, 0, 0, func(Entry) bool { return true }); err == nil {
					t.Error("a ledger that can't be read is empty")
				}
				if _, err := s.Positions(); err == nil {
					t.Error("positions that can't be read are none")
				}
				back := func() error { return errors.Join(os.Remove(s.path), os.Rename(away, s.path)) }
				if err := recovers(c, s, back); err != nil {
					t.Fatal(err)
				}
				wantEntries(t, ledger(t, s, acme), [3]int64{1, 0, 1}, [3]int64{2, 0, 2})
				wantAgreement(t, s)
			})
		})
	}
}

func TestAFileThatIsDamagedByAFailureIsReadAgainFromTheTopic(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *cluster) {
		s := c.open(t, storePath(t))
		owner := c.takeOver(s)
		c.commit(owner, s, commitOf(acme, 1, [3]int64{1, 0, 1}))
		s.failpoint = func(string) error {
			damaged := s.path + ".damaged"
			return errors.Join(errDisk, os.WriteFile(damaged, []byte(strings.Repeat("x", 64<<10)), 0o600), os.Rename(damaged, s.path))
		}
		two := commitOf(acme, 2, [3]int64{2, 0, 2})
		next := c.transaction(owner, kgo.TryCommit, c.records(two)...)
		wantPlace(t, s.Apply([]Commit{two}, next), s.path)
		s.failpoint = nil
		for _, commits := range [][]Commit{{two}, {two, commitOf(Stream{"acme", "users"}, 1)}} {
			if err := s.Apply(commits, next); err == nil || s.Aside() != "" {
				t.Errorf("applied to what is damaged: %v, aside %q", err, s.Aside())
			}
		}
		c.takeOver(s)
		if !strings.Contains(s.Aside(), "not a readable state file") {
			t.Errorf("set aside: %q", s.Aside())
		}
		wantEntries(t, ledger(t, s, acme), [3]int64{1, 0, 1}, [3]int64{2, 0, 2})
	})
}

func TestAClosedStoreStaysClosed(t *testing.T) {
	t.Parallel()
	path := storePath(t)
	s := openTest(t, path)
	mustApply(t, s, 1, commitOf(acme, 1))
	closeChecked(t, s)
	for range 2 {
		if err := s.Apply([]Commit{commitOf(acme, 2)}, 2); !errors.Is(err, os.ErrClosed) {
			t.Errorf("applied, or %v", err)
		}
	}
	again := openTest(t, path) // its lock is free
	if got := positions(t, again)[acme].Seq; got != 1 {
		t.Errorf("seq is %d", got)
	}
}

// Close may come between a failing Update and what follows it.
func TestAStoreClosedWhileItFailsStaysClosed(t *testing.T) {
	t.Parallel()
	path := storePath(t)
	s := openTest(t, path)
	s.failpoint = func(point string) error {
		if point == pointAfter {
			return errors.Join(errDisk, s.Close())
		}
		return nil
	}
	wantPlace(t, s.Apply([]Commit{commitOf(acme, 1)}, 1), path)
	if got := positions(t, openTest(t, path))[acme].Seq; got != 1 {
		t.Errorf("seq is %d", got)
	}
}

// Where there is no room for the file that takes the place of one that was set aside.
func TestRestoreOnADiskThatIsFullWhenAFileIsSetAside(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *cluster) {
		s := c.open(t, storePath(t))
		c.commit(c.takeOver(s), s, commitOf(acme, 1, [3]int64{1, 0, 1}))
		mustApply(t, s, 5000, commitOf(acme, 2, [3]int64{77, 0, 7})) // ahead of the topic
		_, nonce := c.fence()
		s.maxSize = 1
		for range 2 {
			wantPlace(t, Restore(t.Context(), c.config(nonce), s), s.path)
			if got := s.Stats(); got != (Stats{}) || s.Next() != 0 {
				t.Errorf("memory still has %+v", got)
			}
			if err := s.Apply([]Commit{commitOf(acme, 1)}, 1); !errors.Is(err, ErrBehind) {
				t.Errorf("got %v", err)
			}
		}
		s.maxSize = 0
		if err := Restore(t.Context(), c.config(nonce), s); err != nil {
			t.Fatal(err)
		}
		wantEntries(t, ledger(t, s, acme), [3]int64{1, 0, 1})
		if !strings.Contains(s.Aside(), "ahead of the topic") || len(asides(s.path)) != 1 {
			t.Errorf("aside %q, files %v", s.Aside(), asides(s.path))
		}
	})
}
