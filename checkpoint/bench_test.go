package checkpoint

import (
	"fmt"
	"math/rand/v2"
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
				if n := s.Stats().Entries; n < million*99/100 {
					b.Fatalf("%d entries", n)
				}
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
