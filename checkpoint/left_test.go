package checkpoint

import (
	"bytes"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.etcd.io/bbolt"
)

// left is what there is of a shard's file when its owner has ended.
type left struct {
	path                 string
	older, newest, other []byte // after the first commit, after the second, another worker's after the first
	next                 int64  // of the newest
}

// An owner works, its process ends, and something happens to the state file or to the topic before
// the next one starts. aside is what Aside says then; "": the file was fit.
func TestWhateverBecomesOfTheStateFileTheTopicDecides(t *testing.T) {
	t.Parallel()
	first := commitOf(acme, 1, [3]int64{1, -day, 1}, [3]int64{2, 0, 2})
	second := commitOf(acme, 2, [3]int64{1, 0, 3})
	foreign := func(change func(*Identity)) func(*cluster, left) {
		return func(c *cluster, l left) {
			id := c.identity()
			change(&id)
			l.become(c.t, nil)
			s, err := Open(l.path, id)
			if err != nil {
				c.t.Fatal(err)
			}
			mustApply(c.t, s, 3, commitOf(acme, 1, [3]int64{66, 0, 6}))
			closeChecked(c.t, s)
		}
	}
	tests := map[string]struct {
		what  func(*cluster, left)
		aside string
	}{
		"it is as it was": {func(*cluster, left) {}, ""},
		"it is lost":      {func(c *cluster, l left) { l.become(c.t, nil) }, ""},
		"it is empty":     {func(c *cluster, l left) { l.become(c.t, []byte{}) }, ""},
		"it is older":     {func(c *cluster, l left) { l.become(c.t, l.older) }, ""},
		"it is a copy of another worker's, which was behind": {func(c *cluster, l left) { l.become(c.t, l.other) }, ""},
		"it is a copy that was made while its owner wrote": {func(c *cluster, l left) {
			next := l.get(c.t, bucketMeta, keyNext)
			l.become(c.t, l.older)
			l.put(c.t, bucketMeta, keyNext, next)
		}, "its pages are not all of one moment"},
		"it is newer, and ahead of the topic": {func(c *cluster, l left) {
			s := c.open(c.t, l.path)
			mustApply(c.t, s, 5000, commitOf(acme, 3, [3]int64{77, 0, 7}))
			closeChecked(c.t, s)
		}, "ahead of the topic"},
		"it is of another cluster":   {foreign(func(id *Identity) { id.ClusterID = "cluster-b" }), `belongs to cluster "cluster-b"`},
		"it is of an older topic":    {foreign(func(id *Identity) { id.TopicID = [16]byte{9} }), "deleted and created again"},
		"it is of another topic":     {foreign(func(id *Identity) { id.Topic = "other" }), "partition 3 of other"},
		"it is of another partition": {foreign(func(id *Identity) { id.Partition = 1 }), "partition 1 of"},
		"it is corrupt in the middle": {func(c *cluster, l left) {
			l.become(c.t, append(l.newest[:2*4096:2*4096], make([]byte, len(l.newest)-2*4096)...))
		}, "it is damaged"},
		"it is cut short":        {func(c *cluster, l left) { l.become(c.t, l.newest[:3*4096]) }, "it is damaged"},
		"it is not a state file": {func(c *cluster, l left) { l.become(c.t, make([]byte, 64<<10)) }, "not a readable state file"},
		"the topic lost the records that follow it": {func(c *cluster, l left) {
			c.deleteBelow(l.next)
			c.transaction(c.owner(), kgo.TryCommit, c.records(first, second)...)
			l.become(c.t, l.older)
		}, "too far behind"},
		"the topic was truncated": {func(c *cluster, l left) {
			c.deleteTopic()
			c.createTopic()
			c.transaction(c.owner(), kgo.TryCommit, c.records(first, second)...)
			// a truncated log keeps its id
			l.put(c.t, bucketMeta, keyIdentity, seal([]byte(keyIdentity), c.identity().encode()))
		}, "ahead of the topic"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *cluster) {
				l := left{path: storePath(t)}
				s := c.open(t, l.path)
				owner := c.takeOver(s)
				c.commit(owner, s, first)
				l.older = fileOf(t, s)
				other := c.open(t, storePath(t))
				c.takeOver(other)
				l.other = fileOf(t, other)
				owner = c.takeOver(s)
				c.commit(owner, s, second)
				l.newest, l.next = fileOf(t, s), s.Next()
				closeChecked(t, s)

				tt.what(c, l)
				s = c.open(t, l.path)
				owner = c.takeOver(s)
				if !strings.Contains(s.Aside(), tt.aside) || (s.Aside() == "") != (tt.aside == "") || (len(asides(l.path)) > 0) != (tt.aside != "") {
					t.Errorf("set aside: %q, want %q; files %v", s.Aside(), tt.aside, asides(l.path))
				}
				wantEntries(t, ledger(t, s, acme), [3]int64{1, -day, 1}, [3]int64{1, 0, 3}, [3]int64{2, 0, 2})
				if got := positions(t, s); len(got) != 1 || !reflect.DeepEqual(got[acme], second.Position) {
					t.Errorf("positions are %v", got)
				}
				c.commit(owner, s, commitOf(acme, 3, [3]int64{4, 1, 4}))
			})
		})
	}
}

// fileOf is the store's file as it is between two updates.
func fileOf(t testing.TB, s *Store) []byte {
	t.Helper()
	b, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// become replaces the file; nil: removes it.
func (l left) become(t testing.TB, content []byte) {
	t.Helper()
	err := os.Remove(l.path)
	if content != nil {
		err = errors.Join(err, os.WriteFile(l.path, content, 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// get and put read and write the file behind the store's back.
func (l left) get(t testing.TB, bucket, key string) (value []byte) {
	t.Helper()
	l.edit(t, func(tx *bbolt.Tx) error {
		value = bytes.Clone(tx.Bucket([]byte(bucket)).Get([]byte(key)))
		return nil
	})
	return value
}

func (l left) put(t testing.TB, bucket, key string, value []byte) {
	t.Helper()
	l.edit(t, func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucket)).Put([]byte(key), value) })
}

func (l left) edit(t testing.TB, fn func(*bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(l.path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(fn), db.Close()); err != nil {
		t.Fatal(err)
	}
}
