//go:build e2e

package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// said is what a checkpoint topic says of an object in one commit: a position, and the rows that are new
// in the ledger, by their places among the samples. More are rows that are nowhere.
type said struct {
	seq  int
	rows []int
	more int
}

// judgeFindsAnomalies writes data and checkpoint topics that do not belong together, each pair in one
// way. The format of checkpoints is written here as checkpoint/doc.go says, without that package.
func (p *parts) judgeFindsAnomalies(t *testing.T) {
	all := []int{0, 1, 2, 3, 4}
	whole := []said{{seq: 1, rows: all[:3]}, {seq: 2, rows: all[3:]}}
	cases := []struct {
		name  string
		alter func([]*sample) []*sample
		said  []said
		want  string
	}{
		{"nothing is wrong", nil, whole, ""},
		{"an aborted record is not there", func(s []*sample) []*sample { c := *s[2]; c.aborted = true; return append(s, &c) }, whole, ""},
		{"a position says what is said already, as an owner does that finds no anchor", nil, append(slices.Clone(whole), said{seq: 2}), ""},
		{"a position came without its rows", nil, append(slices.Clone(whole), said{seq: 3, more: 2}), "positions_without_rows 1"},
		{"a position came with some of its rows", nil, []said{{seq: 1, rows: all, more: 1}}, "torn 1"},
		{"a record is of no position", nil, []said{{seq: 1, rows: all[1:]}}, "rows_without_positions 1"},
		{"a second version of one updated-at is of no position", nil, []said{{seq: 1, rows: all[:4]}}, "rows_without_positions 1"},
		{"nothing is said of positions", nil, nil, "rows_without_positions 4"},
		{"a position is missing", nil, []said{{seq: 1, rows: all[:3]}, {seq: 3, rows: all[3:]}}, "forked 1"},
		{"two owners have gone on from one position", nil, append(slices.Clone(whole), said{seq: 2, rows: all[:0], more: 0}, said{seq: 1}), "forked 1"},
		{"a version is missing", func(s []*sample) []*sample { return slices.Delete(s, 3, 4) }, whole, "positions_without_rows 1"},
	}
	tenant := tells("{}", func(string) []logged { return faultLog() })
	defer tenant.Close()
	f := p.forger(t)
	d := docket{
		bootstrap: p.bootstrap, registry: p.registry, control: tenant.URL, tenant: "judged", poll: time.Second, since: time.Now(),
		topics: map[string]string{}, checkpoints: "judged-" + p.run + ".checkpoints", kept: 24 * 365 * time.Hour,
	}
	topic := func(object string) string { return "judged-" + p.run + "." + object }
	var written []*sample
	var positions []*kgo.Record
	for i, c := range cases {
		object := fmt.Sprintf("transactions_%02d", i)
		d.topics[object] = topic(object)
		s := samples(object)
		positions = append(positions, forgeCheckpoints(d.checkpoints, object, s, c.said)...)
		if c.alter != nil {
			s = c.alter(s)
		}
		for _, s := range s {
			s.topic = d.topics[object]
			written = append(written, s)
		}
	}
	f.write(t, append(slices.Sorted(maps.Values(d.topics)), d.checkpoints), written)
	f.transact(t, positions, kgo.TryCommit)
	got := judged(t, d)
	for i, c := range cases {
		if v := got[fmt.Sprintf("transactions_%02d", i)]; v.findings() != c.want {
			t.Errorf("%s: judge says %q, want %q\n%v", c.name, v.findings(), c.want, v)
		}
	}

	// the consumer is given what was aborted
	d.topics, d.uncommitted = map[string]string{"transactions_01": d.topics["transactions_01"]}, true
	if v := judged(t, d)["transactions_01"]; v.Aborted != 1 {
		t.Errorf("a record that was aborted is read: judge says %v", v)
	}

	// the version that is missing was a dead letter, and overtaken there
	object := fmt.Sprintf("transactions_%02d", len(cases)-1)
	d.topics, d.uncommitted, d.letters = map[string]string{object: topic(object)}, false, topic("dead")
	letter := samples(object)[3]
	letter.topic = d.letters
	f.write(t, []string{d.letters}, nil)
	r := f.record(t, letter)
	r.Value = []byte(fmt.Sprintf(`{"id":3,"updated-at":%q}`, letter.value["updated_at"].(time.Time).Format(time.RFC3339)))
	f.transact(t, []*kgo.Record{r}, kgo.TryCommit)
	if v := judged(t, d)[object]; v.findings() != "" {
		t.Errorf("a dead letter was overtaken: judge says %v", v)
	}

	// the markers of one transaction are not the same
	object = "transactions_torn"
	d.topics, d.letters = map[string]string{object: topic(object)}, ""
	var records []*kgo.Record
	for _, s := range samples(object) {
		s.topic = d.topics[object]
		records = append(records, f.record(t, s))
	}
	created, err := p.admin(t).CreateTopics(t.Context(), 3, -1, nil, d.topics[object])
	if err == nil {
		err = created.Error()
	}
	if err == nil {
		err = p.tear(t, append(records, forgeCheckpoints(d.checkpoints, object, samples(object), whole)...), d.checkpoints)
	}
	if err != nil {
		t.Fatal(err)
	}
	if v := judged(t, d)[object]; v.findings() != "torn 1, rows_without_positions 4" {
		t.Errorf("a transaction is committed in one topic and aborted in the other: judge says %v", v)
	}
}

// forgeCheckpoints are the records of some commits.
func forgeCheckpoints(topic, object string, samples []*sample, commits []said) []*kgo.Record {
	var all []*kgo.Record
	add := func(key, value string) {
		all = append(all, &kgo.Record{Topic: topic, Partition: 1, Key: []byte(key), Value: []byte(value)})
	}
	for _, c := range commits {
		type entry struct {
			at, id int64
			digest uint64
		}
		var entries []entry
		for _, n := range c.rows {
			entries = append(entries, entry{samples[n].value["updated_at"].(time.Time).Unix(), samples[n].id, uint64(n)})
		}
		for n := range c.more {
			entries = append(entries, entry{time.Now().Unix(), int64(100 + n), 0})
		}
		if len(entries) > 0 {
			chunk := binary.AppendUvarint([]byte{1}, uint64(len(entries)))
			var at, id int64
			for _, e := range entries {
				chunk = binary.AppendVarint(binary.AppendVarint(chunk, e.at-at), e.id-id)
				chunk = binary.BigEndian.AppendUint64(binary.AppendVarint(chunk, 0), e.digest)
				at, id = e.at, e.id
			}
			add(fmt.Sprintf(`{"v":1,"type":"ledger","tenant":"judged","object":%q,"until":"2026-11-24T00:00:00Z","seq":%d}`, object, c.seq), string(chunk))
		}
		add(fmt.Sprintf(`{"v":1,"type":"position","tenant":"judged","object":%q}`, object), fmt.Sprintf(`{"seq":%d}`, c.seq))
	}
	return all
}

// tear ends a transaction as no coordinator does: aborted in the
// partitions of one topic, committed in all others.
func (p *parts) tear(t *testing.T, records []*kgo.Record, aborted string) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(p.seeds()...), kgo.TransactionalID("judged-torn-"+p.run), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := cl.BeginTransaction(); err != nil {
		return err
	}
	if err := cl.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		return err
	}
	id, epoch, err := cl.ProducerID(t.Context())
	if err != nil {
		return err
	}
	partitions := map[string][]int32{}
	for _, r := range records {
		if !slices.Contains(partitions[r.Topic], r.Partition) {
			partitions[r.Topic] = append(partitions[r.Topic], r.Partition)
		}
	}
	req := kmsg.NewPtrWriteTxnMarkersRequest()
	for _, commits := range []bool{true, false} {
		marker := kmsg.NewWriteTxnMarkersRequestMarker()
		marker.ProducerID, marker.ProducerEpoch, marker.Committed = id, epoch+1, commits
		for name, all := range partitions {
			if (name == aborted) != commits {
				topic := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
				topic.Topic, topic.Partitions = name, all
				marker.Topics = append(marker.Topics, topic)
			}
		}
		req.Markers = append(req.Markers, marker)
	}
	resp, err := req.RequestWith(t.Context(), cl)
	if err != nil {
		return err
	}
	for _, m := range resp.Markers {
		for _, topic := range m.Topics {
			for _, partition := range topic.Partitions {
				err = errors.Join(err, kerr.ErrorForCode(partition.ErrorCode))
			}
		}
	}
	return err
}
