package explain

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupastream/coupastream/connector/record"
)

// find searches for an id in the topic of rows.
func (s *scene) find(n int32, id int64) (*Record, Search) {
	s.t.Helper()
	cl, err := kgo.NewClient(s.kafka...)
	if err != nil {
		s.t.Fatal(err)
	}
	defer cl.Close()
	w := &wanted{id: id}
	if s.cfg.Most == 0 {
		s.cfg.Most = Usual
	}
	found := s.cfg.find(s.t.Context(), cl, "coupa.invoices", n, w)
	return w.last, found
}

// fill puts so many records of other rows behind, into the partition of an id.
func (s *scene) fill(id int64, n, size int) {
	s.t.Helper()
	at, random := s.of("coupa.invoices", id, time.Now(), record.OpUpsert).Partition, rand.NewChaCha8([32]byte{})
	for n > 0 {
		var some []*kgo.Record
		for range min(n, 500) {
			r := s.of("coupa.invoices", 1_000_000+int64(n), time.Now(), record.OpUpsert)
			r.Partition, r.Value = at, make([]byte, size)
			_, _ = random.Read(r.Value) // it never fails, and nothing makes it smaller
			some = append(some, r)
			n--
		}
		s.publish(some...)
	}
}

// What is committed is found from the end of its partition, whatever lies behind it.
func TestARecordIsFoundFromTheEnd(t *testing.T) {
	play(t, func(s *scene) {
		s.set("invoices")
		id, stamp := s.row.ID, s.before()
		s.publish(s.of("coupa.invoices", id, stamp.Add(-time.Hour), record.OpUpsert))
		s.publish(s.of("coupa.invoices", id, stamp, record.OpSnapshot))
		s.end(kgo.TryAbort, s.of("coupa.invoices", id, stamp.Add(time.Hour), record.OpUpsert))
		other := s.of("coupa.invoices", id, stamp.Add(time.Hour), record.OpUpsert)
		other.Headers[0].Value = []byte("other")
		s.publish(other)
		s.fill(id, 3000, 10)
		if err := s.writer.BeginTransaction(); err != nil { // one that stays open does not hold it up
			t.Fatal(err)
		}
		if err := s.writer.ProduceSync(s.t.Context(), s.of("coupa.invoices", id, stamp.Add(time.Hour), record.OpUpsert)).FirstErr(); err != nil {
			t.Fatal(err)
		}
		told := 0
		s.cfg.Progress = func(Progress) { told++ }
		s.cluster.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
			s.cluster.KeepControl()
			<-time.After(300 * time.Millisecond) // as a slow one takes
			return nil, nil, false
		})
		found, how := s.find(partitions, id)
		if found == nil || !found.stamp().Equal(stamp) || found.Op != record.OpSnapshot || found.Offset != 2 || found.Schema != 7 || found.Deleted {
			t.Errorf("%+v, want the snapshot's record at offset 2", found)
		}
		if !how.Through || how.Error != "" || how.Records < 3000 || how.Back == nil || told == 0 {
			t.Errorf("%+v, told %d times", how, told)
		}
		if err := s.writer.EndTransaction(s.t.Context(), kgo.TryAbort); err != nil {
			t.Fatal(err)
		}
	})
}

// A search ends within its bound, and does not say then that there is nothing; large records behind small
// ones are read in smaller blocks.
func TestASearchIsBounded(t *testing.T) {
	play(t, func(s *scene) {
		s.set("invoices")
		id := s.row.ID
		s.publish(s.of("coupa.invoices", id, s.before(), record.OpUpsert))
		s.fill(id, 60, 200<<10)
		s.fill(id, 2000, 1)
		s.cfg.Most = 3 << 20
		if found, how := s.find(partitions, id); found != nil || how.Through || how.Bytes > s.cfg.Most+wasteful+2*blockBytes {
			t.Errorf("%+v, %+v", found, how)
		}
		s.cfg.Most = 1 << 30
		if found, how := s.find(partitions, id); found == nil || found.Offset != 0 {
			t.Errorf("%+v, %+v", found, how)
		}
	})
}

// Partitions that were added move no id, and one that the registry's other ids have moved is found in the
// end.
func TestTheKeysPartitionIsReadFirst(t *testing.T) {
	play(t, func(s *scene) {
		s.set("invoices")
		admin := kadm.NewClient(s.writer)
		if _, err := admin.UpdatePartitions(s.t.Context(), 8, "coupa.invoices"); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		for id := int64(1); id <= 5; id++ {
			s.publish(s.of("coupa.invoices", id, s.before(), record.OpUpsert))
		}
		found, how := s.find(partitions, 3)
		if found == nil || !how.Through || how.Records > 5 {
			t.Errorf("%+v, %+v", found, how)
		}
		if found, how := s.find(0, 3); found == nil || !how.Through { // among 8
			t.Errorf("%+v, %+v", found, how)
		}
		s.cfg.Key = func(int64) ([]byte, bool) { return nil, false }
		if found, how := s.find(partitions, 3); found == nil || !how.Through {
			t.Errorf("%+v, %+v of a key that is not known", found, how)
		}
	})
}

// What retention has taken is not there, a broker that has lost the lead is asked about, and no topic is no
// error.
func TestATopicThatIsNotAsItWas(t *testing.T) {
	play(t, func(s *scene) {
		s.set("invoices")
		id := s.row.ID
		s.publish(s.of("coupa.invoices", id, s.before(), record.OpUpsert))
		s.fill(id, 20, 1)
		s.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.NotLeaderForPartition, Count: 2})
		found, how := s.find(partitions, id)
		if found == nil || how.Error != "" {
			t.Errorf("%+v, %+v", found, how)
		}
		admin := kadm.NewClient(s.writer)
		var off kadm.Offsets
		off.Add(kadm.Offset{Topic: "coupa.invoices", Partition: found.Partition, At: 5})
		if _, err := admin.DeleteRecords(s.t.Context(), off); err != nil {
			t.Fatal(err)
		}
		if found, how := s.find(partitions, id); found != nil || !how.Through {
			t.Errorf("%+v, %+v", found, how)
		}
		if _, err := admin.DeleteTopics(s.t.Context(), "coupa.invoices"); err != nil {
			t.Fatal(err)
		}
		if found, how := s.find(partitions, id); found != nil || !how.Missing || !how.Through {
			t.Errorf("%+v, %+v", found, how)
		}
	})
}
