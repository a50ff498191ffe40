package checkpoint

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const million = 1_000_000

// writeMillion fills the topic with a million entries in commits of 50, in order of time or, as a
// backfill of a week leaves them, at random times.
func writeMillion(b *testing.B, c *cluster, random bool) {
	b.Helper()
	rnd := rand.New(rand.NewPCG(1, 2))
	owner := c.owner()
	var batch []Commit
	for seq := uint64(1); seq <= million/50; seq++ {
		commit := many(acme, seq, 50, int64(seq)*30-7*day)
		for i := range commit.Entries {
			commit.Entries[i].ID = int64(seq)*50 + int64(i)
			if random {
				commit.Entries[i].At = noon - rnd.Int64N(7*day)
				commit.Entries[i].UpdatedAt = commit.Entries[i].At
			}
		}
		if batch = append(batch, commit); len(batch) == 500 {
			c.transaction(owner, kgo.TryCommit, c.records(batch...)...)
			batch = nil
		}
	}
}

func BenchmarkRestoreMillion(b *testing.B) {
	for name, random := range map[string]bool{"in-order-of-time": false, "at-random-times": true} {
		b.Run(name, func(b *testing.B) {
			c := newCluster(b, nil)
			writeMillion(b, c, random)
			_, nonce := c.fence()
			for b.Loop() {
				s := c.open(b, fmt.Sprintf("%s/%d.db", b.TempDir(), time.Now().UnixNano()))
				if err := Restore(b.Context(), c.config(nonce), s); err != nil {
					b.Fatal(err)
				}
				stats := s.Stats()
				if stats.Entries != million {
					b.Fatalf("%d entries", stats.Entries)
				}
				b.ReportMetric(float64(stats.FileBytes)/million, "file-B/entry")
			}
		})
	}
}

// smallCommits yields n commits of one entry, every three seconds, joined or not, without a store.
func smallCommits(n int, joined bool) iter.Seq[Commit] {
	return func(yield func(Commit) bool) {
		last := young{}
		for seq := uint64(1); seq <= uint64(n); seq++ {
			c := many(acme, seq, 1, int64(seq)*3-7*day)
			c.Entries[0].ID, c.Entries[0].Digest = int64(seq*7919%2_000_000), seq*0x9e3779b97f4a7c15
			if until := BucketEnd(c.Entries[0].At, c.Retention); !joined || last.key.Until != until || len(last.entries) >= youngBelow {
				last = young{key: ChunkKey{acme, until, seq, false}}
			} else {
				c.joined = []young{last}
			}
			last.entries = sorted(last.entries, c.Entries)
			if !yield(c) {
				return
			}
		}
	}
}

// The log as it is before compaction: the worst case of a lost file.
func BenchmarkRestoreSmallCommits(b *testing.B) {
	const entries = 200_000
	for name, joined := range map[string]bool{"joined": true, "apart": false} {
		b.Run(name, func(b *testing.B) {
			c := newCluster(b, nil)
			owner := c.owner()
			for batch := range slices.Chunk(slices.Collect(smallCommits(entries, joined)), 500) {
				c.transaction(owner, kgo.TryCommit, c.records(batch...)...)
			}
			_, nonce := c.fence()
			for b.Loop() {
				s := c.open(b, fmt.Sprintf("%s/%d.db", b.TempDir(), time.Now().UnixNano()))
				if err := Restore(b.Context(), c.config(nonce), s); err != nil {
					b.Fatal(err)
				}
				if n := s.Stats().Entries; n != entries {
					b.Fatalf("%d entries", n)
				}
			}
		})
	}
}

// What a week of a ledger takes in the topic: keys and values of the chunks that compaction leaves
// (live), and of all chunks and positions written (log).
func BenchmarkTopicBytes(b *testing.B) {
	const entries = 200_000
	commits := func(size int, random bool) iter.Seq[Commit] {
		rnd := rand.New(rand.NewPCG(1, 2))
		return func(yield func(Commit) bool) {
			for seq := uint64(1); seq <= uint64(entries/size); seq++ {
				c := many(acme, seq, size, int64(seq)*int64(size)*3-7*day)
				for i := range c.Entries {
					e := &c.Entries[i]
					e.ID, e.Digest = rnd.Int64N(2_000_000), rnd.Uint64()
					if random {
						e.ID, e.At = int64(seq)*int64(size)+int64(i), noon-rnd.Int64N(7*day)
					}
					e.UpdatedAt = e.At
				}
				if !yield(c) {
					return
				}
			}
		}
	}
	for name, written := range map[string]iter.Seq[Commit]{
		"commits-of-1-apart":          smallCommits(entries, false),
		"commits-of-1-joined":         smallCommits(entries, true),
		"commits-of-50":               commits(50, false),
		"commits-of-5000":             commits(5000, false),
		"backfill-in-commits-of-50":   commits(50, true),
		"backfill-in-commits-of-5000": commits(5000, true),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				live, log := map[string]int{}, 0
				for c := range written {
					for _, ch := range c.changes() {
						key, value := ch.key(), ch.value()
						log += len(key) + len(value)
						if ch.kind == put {
							live[string(key)] = len(key) + len(value)
						}
					}
				}
				sum := 0
				for _, n := range live {
					sum += n
				}
				b.ReportMetric(float64(sum)/entries, "live-B/entry")
				b.ReportMetric(float64(log)/entries, "log-B/entry")
			}
		})
	}
}

func BenchmarkApply50Durable(b *testing.B) {
	s := openTest(b, storePath(b))
	seq := uint64(0)
	for b.Loop() {
		seq++
		mustApply(b, s, int64(seq), many(acme, seq, 50, int64(seq)*5))
	}
}

func BenchmarkOpenMillion(b *testing.B) {
	path := storePath(b)
	s := openTest(b, path)
	for i := range uint64(50) {
		mustApply(b, s, int64(i+1), many(acme, i+1, 20_000, int64(i)*20_000))
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := Open(path, testIdentity())
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkExpireDay(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		s := openTest(b, storePath(b))
		for i := range uint64(20) {
			mustApply(b, s, int64(i+1), many(acme, i+1, 4_000, int64(i)*2_000))
		}
		c := commitOf(acme, 21)
		c.Expired = chunks(b, s, acme)
		b.StartTimer()
		mustApply(b, s, 21, c)
	}
}

func BenchmarkRecords50(b *testing.B) {
	c := many(acme, 1, 50, 0)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Records(checkpoints, 3); err != nil {
			b.Fatal(err)
		}
	}
}

// What the states of a page of rows add to a commit.
func BenchmarkApplyRows(b *testing.B) {
	for name, rows := range map[string]int{"none": 0, "50-of-5-lines": 50} {
		b.Run(name, func(b *testing.B) {
			s := openTest(b, storePath(b))
			seq := uint64(0)
			for b.Loop() {
				seq++
				c := many(acme, seq, 50, int64(seq))
				for i := range rows {
					r := RowState{ID: int64(i) * 31 % 997}
					for n := range int64(5) {
						r.Lines = append(r.Lines, Line{"invoice_lines", r.ID*10 + n, seq})
					}
					c.Rows = append(c.Rows, r)
				}
				mustApply(b, s, int64(seq), c)
			}
		})
	}
}
