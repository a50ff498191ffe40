package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	checkpoints    = "checkpoints"
	tombstonesKept = time.Second // the topic's delete.retention.ms
)

// cluster is a fake broker with a checkpoint topic of four partitions; partition 3 is used.
type cluster struct {
	t    testing.TB
	fake *kfake.Cluster
	opts []kgo.Opt
	n    int // fences so far
}

// inBubble runs the test on fake time, with a broker on a network of its own.
func inBubble(t *testing.T, test func(t *testing.T, c *cluster)) {
	synctest.Test(t, func(t *testing.T) {
		var net kfake.VirtualNetwork
		test(t, newCluster(t, []kfake.Opt{kfake.ListenFn(net.Listen)}, kgo.Dialer(net.DialContext)))
	})
}

func newCluster(t testing.TB, opts []kfake.Opt, clientOpts ...kgo.Opt) *cluster {
	t.Helper()
	fake, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	c := &cluster{t: t, fake: fake, opts: append(clientOpts, kgo.SeedBrokers(fake.ListenAddrs()...))}
	c.createTopic()
	return c
}

func (c *cluster) client(opts ...kgo.Opt) *kgo.Client {
	c.t.Helper()
	cl, err := kgo.NewClient(append(slices.Clone(c.opts), opts...)...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(cl.Close)
	return cl
}

func (c *cluster) createTopic() {
	c.t.Helper()
	admin := kadm.NewClient(c.client())
	configs := map[string]*string{
		"cleanup.policy":      kadm.StringPtr("compact"),
		"delete.retention.ms": kadm.StringPtr(fmt.Sprint(tombstonesKept.Milliseconds())),
	}
	if _, err := admin.CreateTopic(c.t.Context(), 4, 1, configs, checkpoints); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) deleteTopic() {
	c.t.Helper()
	if _, err := kadm.NewClient(c.client()).DeleteTopic(c.t.Context(), checkpoints); err != nil {
		c.t.Fatal(err)
	}
}

// owner is a producer with the shard's transactional id; a new one fences the one before.
func (c *cluster) owner() *kgo.Client {
	return c.client(kgo.TransactionalID("shard-3"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
}

// transaction produces the records in one transaction and returns the offset behind the last of them.
func (c *cluster) transaction(cl *kgo.Client, end kgo.TransactionEndTry, records ...*kgo.Record) int64 {
	c.t.Helper()
	ctx := c.t.Context()
	if err := cl.BeginTransaction(); err != nil {
		c.t.Fatal(err)
	}
	if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		c.t.Fatal(err)
	}
	if err := cl.EndTransaction(ctx, end); err != nil {
		c.t.Fatal(err)
	}
	return records[len(records)-1].Offset + 1
}

func (c *cluster) records(commits ...Commit) []*kgo.Record {
	c.t.Helper()
	var out []*kgo.Record
	for _, commit := range commits {
		records, err := commit.Records(checkpoints, 3)
		if err != nil {
			c.t.Fatal(err)
		}
		out = append(out, records...)
	}
	return out
}

// commit is steps 4 and 5 of a shard; s may be nil.
func (c *cluster) commit(cl *kgo.Client, s *Store, commits ...Commit) {
	c.t.Helper()
	next := c.transaction(cl, kgo.TryCommit, c.records(commits...)...)
	if s != nil {
		mustApply(c.t, s, next, commits...)
	}
}

// fence is step 2 of a shard: it fences the owner before, and returns the new owner and its nonce.
func (c *cluster) fence() (*kgo.Client, string) {
	c.t.Helper()
	c.n++
	nonce := fmt.Sprintf("nonce-%d", c.n)
	cl := c.owner()
	c.transaction(cl, kgo.TryCommit, FenceRecord(checkpoints, 3, nonce))
	return cl, nonce
}

func (c *cluster) config(nonce string) RestoreConfig {
	return RestoreConfig{Opts: c.opts, Topic: checkpoints, Partition: 3, Nonce: nonce}
}

// takeOver is steps 2 and 3, and what of step 1 comes before.
func (c *cluster) takeOver(s *Store) *kgo.Client {
	c.t.Helper()
	if err := Fit(c.t.Context(), c.opts, s); err != nil {
		c.t.Fatal(err)
	}
	cl, nonce := c.fence()
	if err := Restore(c.t.Context(), c.config(nonce), s); err != nil {
		c.t.Fatal(err)
	}
	return cl
}

func (c *cluster) identity() Identity {
	c.t.Helper()
	id, err := Identify(c.t.Context(), c.client(), checkpoints, 3)
	if err != nil {
		c.t.Fatal(err)
	}
	return id
}

// open is step 1.
func (c *cluster) open(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(path, c.identity())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeChecked(t, s) })
	return s
}

func TestRestoreOfAnEmptyTopic(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *cluster) {
		s := c.open(t, storePath(t))
		c.takeOver(s)
		if s.Next() != 1 || len(positions(t, s)) != 0 || s.Aside() != "" {
			t.Errorf("next %d, positions %v, aside %q", s.Next(), positions(t, s), s.Aside())
		}
	})
}

// Three owners in a row: one that works, one that finds its file behind, one that finds it complete.
func TestRestoreBehindAndEqual(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *cluster) {
		path := storePath(t)
		s := c.open(t, path)
		owner := c.takeOver(s)
		c.commit(owner, s, commitOf(acme, 1, [3]int64{1, 0, 1}))
		unapplied := commitOf(acme, 2, [3]int64{1, 0, 2}, [3]int64{2, 0, 2})
		c.commit(owner, nil, unapplied, commitOf(Stream{"acme", "users"}, 1, [3]int64{9, 0, 9}))
		closeChecked(t, s)

		for _, name := range []string{"behind", "equal"} {
			s = c.open(t, path)
			c.takeOver(s)
			wantEntries(t, ledger(t, s, acme), [3]int64{1, 0, 1}, [3]int64{1, 0, 2}, [3]int64{2, 0, 2})
			wantEntries(t, ledger(t, s, Stream{"acme", "users"}), [3]int64{9, 0, 9})
			if got := positions(t, s)[acme]; !reflect.DeepEqual(got, unapplied.Position) || s.Aside() != "" {
				t.Errorf("%s: position %v, aside %q", name, got, s.Aside())
			}
			closeChecked(t, s)
		}
	})
}

// What a zombie, or an owner that died, left uncommitted is not read, wherever it lies in the log.
func TestRestorePassesOverAbortedTransactions(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *cluster) {
		s := c.open(t, storePath(t))
		owner := c.takeOver(s)
		lost := commitOf(acme, 1, [3]int64{66, 0, 6})
		c.transaction(owner, kgo.TryAbort, c.records(lost)...)
		c.commit(owner, nil, commitOf(acme, 1, [3]int64{1, 0, 1}))
		c.transaction(owner, kgo.TryAbort, c.records(commitOf(acme, 2, [3]int64{67, 0, 6}))...)
		if err := owner.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := owner.ProduceSync(t.Context(), c.records(commitOf(acme, 2, [3]int64{68, 0, 6}))...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		next := c.takeOver(s)
		wantEntries(t, ledger(t, s, acme), [3]int64{1, 0, 1})
		if got := positions(t, s)[acme].Seq; got != 1 {
			t.Errorf("seq is %d", got)
		}
		c.commit(next, s, commitOf(acme, 2, [3]int64{2, 0, 2}))
		c.takeOver(s)
		wantEntries(t, ledger(t, s, acme), [3]int64{1, 0, 1}, [3]int64{2, 0, 2})
	})
}

func TestRestoreSetsAsideWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		want  string
		spoil func(t *testing.T, c *cluster, s *Store)
	}{
		"a file that is ahead of the topic": {"ahead of the topic", func(t *testing.T, _ *cluster, s *Store) {
			mustApply(t, s, 5000, commitOf(acme, 2, [3]int64{77, 0, 7}))
		}},
		"a file that is ahead by a commit, no longer than the fence": {"ahead of the topic", func(t *testing.T, _ *cluster, s *Store) {
			mustApply(t, s, s.Next()+3, commitOf(acme, 2, [3]int64{77, 0, 7})) // a marker, and two records
		}},
		"a file that is ahead in seq alone": {"cut back", func(t *testing.T, c *cluster, s *Store) {
			mustApply(t, s, s.Next(), commitOf(acme, 2), commitOf(acme, 3, [3]int64{77, 0, 7}))
			c.transaction(c.owner(), kgo.TryCommit, c.records(commitOf(acme, 2))...)
		}},
		"a file whose next offset was deleted": {"too far behind", func(t *testing.T, c *cluster, s *Store) {
			c.transaction(c.owner(), kgo.TryCommit, c.records(commitOf(acme, 2), commitOf(acme, 3))...)
			c.deleteBelow(s.Next() + 1)
			c.transaction(c.owner(), kgo.TryCommit, c.records(commitOf(acme, 4, [3]int64{1, 0, 1}))...)
		}},
		"a file of a topic that was made again": {"deleted and created again", func(_ *testing.T, c *cluster, _ *Store) {
			c.deleteTopic()
			c.createTopic()
			c.transaction(c.owner(), kgo.TryCommit, c.records(commitOf(acme, 1, [3]int64{1, 0, 1}))...)
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *cluster) {
				s := c.open(t, storePath(t))
				owner := c.takeOver(s)
				c.commit(owner, s, commitOf(acme, 1, [3]int64{1, 0, 1}))
				tt.spoil(t, c, s)
				c.takeOver(s)
				if !strings.Contains(s.Aside(), tt.want) {
					t.Errorf("set aside: %q, want %q", s.Aside(), tt.want)
				}
				wantEntries(t, ledger(t, s, acme), [3]int64{1, 0, 1})
				if len(asides(s.path)) != 1 {
					t.Errorf("set aside: %v", asides(s.path))
				}
			})
		})
	}
}

func (c *cluster) deleteBelow(offset int64) {
	c.t.Helper()
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: checkpoints, Partition: 3, At: offset})
	if _, err := kadm.NewClient(c.client()).DeleteRecords(c.t.Context(), offsets); err != nil {
		c.t.Fatal(err)
	}
}

func TestOpenSetsAsideTheFileOfAnotherCluster(t *testing.T) {
	t.Parallel()
	path := storePath(t)
	for _, name := range []string{"cluster-a", "cluster-b"} {
		synctest.Test(t, func(t *testing.T) {
			var net kfake.VirtualNetwork
			c := newCluster(t, []kfake.Opt{kfake.ListenFn(net.Listen), kfake.ClusterID(name)}, kgo.Dialer(net.DialContext))
			s := c.open(t, path)
			if (s.Aside() != "") != (name == "cluster-b") {
				t.Errorf("%s: aside %q", name, s.Aside())
			}
			c.commit(c.takeOver(s), s, commitOf(acme, 1, [3]int64{1, 0, 1}))
			wantEntries(t, ledger(t, s, acme), [3]int64{1, 0, 1})
		})
	}
}

// The log may lose its front between the question where it begins and the first fetch.
func TestRestoreStartsOverWhenItsOffsetIsGone(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *cluster) {
		s := c.open(t, storePath(t))
		c.commit(c.takeOver(s), s, commitOf(acme, 1, [3]int64{1, 0, 1}))
		c.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: checkpoints, Err: kerr.OffsetOutOfRange})
		c.takeOver(s)
		if !strings.Contains(s.Aside(), "no longer holds") {
			t.Errorf("set aside: %q", s.Aside())
		}
		wantEntries(t, ledger(t, s, acme), [3]int64{1, 0, 1})
	})
}

func TestARestoreThatIsKilledGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *cluster) {
		path := storePath(t)
		owner := c.owner()
		for i := range 40 {
			c.commit(owner, nil, many(acme, uint64(i+1), 50, int64(i)*50))
		}
		_, nonce := c.fence()
		cfg := c.config(nonce)
		cfg.Chunk = 200
		var seen []int64
		for attempt := range 3 {
			s := c.open(t, path)
			ctx, cancel := context.WithCancel(t.Context())
			chunksLeft := 3
			cfg.Progress = func(applied int64) {
				if chunksLeft--; chunksLeft == 0 && attempt < 2 {
					cancel()
				}
			}
			err := Restore(ctx, cfg, s)
			cancel()
			if killed := errors.Is(err, context.Canceled); killed != (attempt < 2) {
				t.Fatalf("attempt %d: %v", attempt, err)
			}
			seen = append(seen, s.Stats().Entries)
			if attempt == 2 {
				if got := positions(t, s)[acme].Seq; got != 40 {
					t.Errorf("seq is %d", got)
				}
			}
			closeChecked(t, s)
		}
		if !slices.Equal(seen, []int64{600, 1200, 2000}) {
			t.Errorf("entries after each attempt: %v", seen)
		}
	})
}

func TestTombstonesAndCompaction(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *cluster) {
		live := c.open(t, storePath(t))
		owner := c.takeOver(live)
		c.commit(owner, live, commitOf(acme, 1, [3]int64{1, -9 * day, 1}, [3]int64{2, 0, 2}))
		c.commit(owner, live, commitOf(acme, 2, [3]int64{3, 0, 3}))
		third := commitOf(acme, 3, [3]int64{2, 0, 4})
		var err error
		if third.Expired, err = live.ExpiredChunks(acme, noon-7*day, 10); err != nil || len(third.Expired) != 1 {
			t.Fatalf("expired: %v, %v", third.Expired, err)
		}
		c.commit(owner, live, third)
		for _, compacted := range []bool{false, true} {
			if compacted {
				<-time.After(2 * tombstonesKept) // of fake time
				c.fake.Compact()
				if starts, err := kadm.NewClient(c.client()).ListStartOffsets(t.Context(), checkpoints); err != nil || starts[checkpoints][3].Offset == 0 {
					t.Fatalf("nothing was compacted away: %v, %v", starts, err)
				}
			}
			s := c.open(t, storePath(t))
			c.takeOver(s)
			wantEntries(t, ledger(t, s, acme), [3]int64{2, 0, 2}, [3]int64{2, 0, 4}, [3]int64{3, 0, 3})
			if !slices.Equal(chunks(t, s, acme), chunks(t, live, acme)) || !reflect.DeepEqual(positions(t, s), positions(t, live)) {
				t.Errorf("compacted %v: chunks %v, positions %v", compacted, chunks(t, s, acme), positions(t, s))
			}
		}
	})
}

func TestRestorePassesOverWhatSomebodyElseWrote(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *cluster) {
		owner := c.owner()
		c.transaction(owner, kgo.TryCommit, &kgo.Record{Topic: checkpoints, Partition: 3, Key: []byte("acme-7"), Value: []byte("a row")})
		c.commit(owner, nil, commitOf(acme, 1))
		c.transaction(owner, kgo.TryCommit, &kgo.Record{Topic: checkpoints, Partition: 3, Value: []byte(`{"type":"told"}`)})
		_, nonce := c.fence()
		var foreign []int64
		cfg, s := c.config(nonce), c.open(t, storePath(t))
		cfg.Foreign = func(offset int64) { foreign = append(foreign, offset) }
		if err := Restore(t.Context(), cfg, s); err != nil {
			t.Fatal(err)
		}
		if len(foreign) != 2 || foreign[0] != 0 || foreign[1] <= 2 {
			t.Errorf("passed over %v", foreign)
		}
		if p := positions(t, s); p[acme].Seq != 1 {
			t.Errorf("positions %v", p)
		}
	})
}

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	newer := &kgo.Record{Topic: checkpoints, Partition: 3, Key: []byte(`{"v":2}`), Value: []byte(`{}`)}
	t.Run("a fence that was never committed", func(t *testing.T) {
		inBubble(t, func(t *testing.T, c *cluster) {
			s := c.open(t, storePath(t))
			c.commit(c.owner(), nil, commitOf(acme, 1))
			if err := Restore(t.Context(), c.config("other"), s); !errors.Is(err, ErrNoFence) {
				t.Errorf("got %v", err)
			}
		})
	})
	t.Run("a record of a newer version, with its offset", func(t *testing.T) {
		inBubble(t, func(t *testing.T, c *cluster) {
			s := c.open(t, storePath(t))
			c.transaction(c.owner(), kgo.TryCommit, newer)
			_, nonce := c.fence()
			if err := Restore(t.Context(), c.config(nonce), s); !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "offset 0") {
				t.Errorf("got %v", err)
			}
		})
	})
	t.Run("the file of another partition", func(t *testing.T) {
		inBubble(t, func(t *testing.T, c *cluster) {
			cfg := c.config("n")
			cfg.Partition = 1
			if err := Restore(t.Context(), cfg, c.open(t, storePath(t))); err == nil {
				t.Error("accepted")
			}
		})
	})
	t.Run("a topic or partition that is not there", func(t *testing.T) {
		inBubble(t, func(t *testing.T, c *cluster) {
			for topic, partition := range map[string]int32{checkpoints: 4, "none": 0} {
				if _, err := Identify(t.Context(), c.client(), topic, partition); err == nil {
					t.Errorf("%s/%d was found", topic, partition)
				}
			}
		})
	})
}

// A failed Apply leaves the file behind; Restore brings it to the end and Apply goes on.
func TestRestoreSettlesAFailedApply(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *cluster) {
		s := c.open(t, storePath(t))
		owner := c.takeOver(s)
		s.failpoint = func(string) error { return errors.New("disk gone") }
		next := c.transaction(owner, kgo.TryCommit, c.records(commitOf(acme, 1, [3]int64{1, 0, 1}))...)
		if err := s.Apply([]Commit{commitOf(acme, 1, [3]int64{1, 0, 1})}, next); err == nil {
			t.Fatal("applied")
		}
		s.failpoint = nil
		owner = c.takeOver(s)
		wantEntries(t, ledger(t, s, acme), [3]int64{1, 0, 1})
		c.commit(owner, s, commitOf(acme, 2, [3]int64{2, 0, 2}))
	})
}
