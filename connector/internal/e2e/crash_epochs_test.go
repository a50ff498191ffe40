//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupastream/coupastream/connector/internal/failpoint"
)

const atLastEpoch = ", when the epochs of its id end"

// epochsDeck is what happens within a few transactions of the end of a producer's epochs. With
// transaction.version 2 each takes one, and behind the last one the coordinator gives another producer id.
func epochsDeck() []incident {
	var d []incident
	for _, p := range append(steps(), failpoint.Restore) {
		for _, side := range []string{"before", "after"} {
			aim := streaming
			if p == failpoint.Restore {
				aim = starting
			}
			d = append(d, incident{kind: killAtLastEpoch, aim: aim, point: p, side: side})
		}
	}
	for _, b := range []blow{killed9(coordinatesTxn), twoOfThree} {
		for _, side := range []string{"before", "after"} {
			k := kind{name: b.name + whileOpen + atLastEpoch, missed: b.name, strike: func(s *scene, i *incident) {
				s.nearLastEpoch(i)
				s.heldAt(i, func() { s.blowAt(i, b) })
				s.newProducerID(i)
			}}
			d = append(d, incident{kind: k, aim: streaming, point: failpoint.Commit, side: side})
		}
	}
	return d
}

var killAtLastEpoch = kind{name: "kill -9 at a step" + atLastEpoch, missed: atRandom, strike: func(s *scene, i *incident) {
	s.nearLastEpoch(i)
	strikeAtPoint(s, i)
	s.recover("a kill at the end of the epochs")
	s.newProducerID(i)
}}

// nearLastEpoch stops all workers and leaves so few epochs to the ids of
// their shards that they end with one of the next transactions.
func (s *scene) nearLastEpoch(i *incident) {
	s.Helper()
	for _, m := range s.up() {
		m.terminate()
		s.tally.add(func(t *tally) { t.restarts++ })
	}
	for _, id := range s.transactionalIDs() {
		epoch := math.MaxInt16 - 1 - int16(s.random.IntN(5))
		if err := await(s.Context(), "another epoch", time.Minute, func() error { return s.p.raiseEpoch(s, id, epoch) }); err != nil {
			s.Fatal(err)
		}
	}
	i.note = fmt.Sprint("before: ", s.producers())
}

// newProducerID waits until the first shard's id has another producer id. Until then epochs are left.
func (s *scene) newProducerID(i *incident) {
	s.Helper()
	id := s.transactionalIDs()[0]
	if err := await(s.Context(), "the epochs to end", time.Minute, func() error {
		all, err := s.p.topics.DescribeTransactions(s.Context(), id)
		if err == nil && all[id].ProducerEpoch > math.MaxInt16/2 {
			err = fmt.Errorf("%s is at epoch %d", id, all[id].ProducerEpoch)
		}
		return err
	}); err != nil {
		s.fault("%v", err)
	}
	i.note += fmt.Sprint(", after: ", s.producers())
}

// producers tells the ids' producer ids and epochs.
func (s *scene) producers() (all []string) {
	described, err := s.p.topics.DescribeTransactions(s.Context(), s.transactionalIDs()...)
	if err != nil {
		return []string{err.Error()}
	}
	for _, d := range described.Sorted() {
		all = append(all, fmt.Sprintf("%s %d/%d", d.TxnID, d.ProducerID, d.ProducerEpoch))
	}
	return all
}

// raiseEpoch gives a transactional id that is not in use an epoch. A client could by taking it 32,000 times,
// of ten milliseconds each; here the coordinator's log says so, and another broker becomes the coordinator
// and reads the log.
func (p *parts) raiseEpoch(tb testing.TB, id string, epoch int16) error {
	const topic = "__transaction_state"
	ctx := tb.Context()
	cl, err := kgo.NewClient(kgo.SeedBrokers(p.seeds()...), kgo.ClientID("__admin_client"), // may write to it
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DisableIdempotentWrite(), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		return err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	taken := kmsg.NewPtrInitProducerIDRequest()
	taken.TransactionalID, taken.TransactionTimeoutMillis, taken.ProducerID, taken.ProducerEpoch = &id, 60_000, -1, -1
	var producer int64
	err = await(ctx, "a producer id", time.Minute, func() error {
		resp, err := taken.RequestWith(ctx, cl)
		if err == nil {
			err, producer = kerr.ErrorForCode(resp.ErrorCode), resp.ProducerID
		}
		return err
	})
	if err != nil {
		return err
	}
	md, err := adm.Metadata(ctx, topic)
	if err != nil {
		return err
	}
	partitions := md.Topics[topic].Partitions
	n := javaHash(id) % int32(len(partitions))
	key := kmsg.TxnMetadataKey{TransactionalID: id}
	value := kmsg.TxnMetadataValue{ProducerID: producer, ProducerEpoch: epoch, TimeoutMillis: 60_000, LastUpdateTimestamp: time.Now().UnixMilli(), StartTimestamp: -1}
	if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Partition: n, Key: key.AppendTo(nil), Value: value.AppendTo(nil)}).FirstErr(); err != nil {
		return err
	}
	if err := moveLeader(tb, adm, topic, n); err != nil {
		return err
	}
	return await(ctx, "another coordinator", 10*time.Second, func() error {
		described, err := adm.DescribeTransactions(ctx, id)
		if d := described[id]; err == nil && (d.ProducerEpoch != epoch || d.ProducerID != producer) {
			err = errors.Join(errors.New("it is not at that epoch"), d.Err)
		}
		return err
	})
}

// moveLeader has another one of a partition's replicas lead it.
func moveLeader(tb testing.TB, adm *kadm.Client, topic string, partition int32) error {
	md, err := adm.Metadata(tb.Context(), topic)
	if err != nil {
		return err
	}
	p := md.Topics[topic].Partitions[partition]
	var order []int32
	for _, replica := range p.Replicas {
		if replica != p.Leader {
			order = append(order, replica)
		}
	}
	req := kadm.AlterPartitionAssignmentsReq{}
	req.Assign(topic, partition, append(order, p.Leader))
	altered, err := adm.AlterPartitionAssignments(tb.Context(), req)
	if err == nil {
		err = altered.Error()
	}
	if err != nil {
		return err
	}
	_, err = adm.ElectLeaders(tb.Context(), kadm.ElectPreferredReplica, kadm.TopicsSet{topic: {partition: {}}})
	return err
}

// javaHash is Java's String.hashCode without its sign, from which a coordinator's partition follows.
func javaHash(s string) int32 {
	h := int32(0)
	for _, c := range []byte(s) {
		h = 31*h + int32(c)
	}
	return max(h, -h, 0) // the least number has no positive one, and Kafka takes 0
}
