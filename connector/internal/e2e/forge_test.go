//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
)

// faultSchema has one field of each kind that the judge treats in a way of its own.
const faultSchema = `{"type":"record","name":"Row","namespace":"judged","fields":[
	{"name":"id","type":"long","coupa.name":"id"},
	{"name":"updated_at","type":["null",{"type":"long","logicalType":"timestamp-millis"}],"coupa.name":"updated-at"},
	{"name":"total","type":["null",{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}],"coupa.name":"total"},
	{"name":"rate","type":["null",{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}],"coupa.name":"rate"},
	{"name":"due_date","type":["null",{"type":"int","logicalType":"date"}],"coupa.name":"due-date"},
	{"name":"note","type":["null","string"],"coupa.name":"note"},
	{"name":"supplier","type":["null",{"type":"record","name":"Supplier","fields":[
		{"name":"id","type":["null","long"],"coupa.name":"id"},
		{"name":"name","type":["null","string"],"coupa.name":"name"}]}],"coupa.name":"supplier"},
	{"name":"lines","type":["null",{"type":"array","items":{"type":"record","name":"Line","fields":[
		{"name":"id","type":["null","long"],"coupa.name":"id"},
		{"name":"price","type":["null",{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}],"coupa.name":"price"}
	]}}],"coupa.name":"invoice-lines"},
	{"name":"custom_fields","type":["null",{"type":"map","values":"string"}],"coupa.name":"custom-fields","coupa.role":"custom-fields"},
	{"name":"unmapped","type":["null",{"type":"map","values":"string"}],"coupa.role":"unmapped"}]}`

const faultKey = `{"type":"record","name":"Key","namespace":"coupa","fields":[
	{"name":"tenant","type":"string"},{"name":"id","type":"long"}]}`

// sample is a record before it is encoded.
type sample struct {
	topic     string
	id        int64
	value     map[string]any
	partition int32
	headers   map[string]string
	at        time.Time
	trailing  string // bytes behind the Avro value
	gone      bool   // a tombstone, whatever the value
	aborted   bool   // in a transaction that is aborted
}

// forger writes samples as the connector would write records: a transaction, Avro, the registry's framing.
type forger struct {
	parts      *parts
	kafka      *kgo.Client
	key, value *avro.Schema
	ids        [2]int // of key and value in the registry
}

func (p *parts) forger(t *testing.T) *forger {
	kafka, err := kgo.NewClient(kgo.SeedBrokers(p.seeds()...), kgo.TransactionalID("judged-"+p.run),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	f := &forger{parts: p, kafka: kafka, key: avro.MustParse(faultKey), value: avro.MustParse(faultSchema)}
	registry, err := sr.NewClient(sr.URLs(p.registry))
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range []string{faultKey, faultSchema} {
		s, err := registry.CreateSchema(t.Context(), fmt.Sprintf("judged-%s-%d", p.run, i), sr.Schema{Schema: text})
		if err != nil {
			t.Fatal(err)
		}
		f.ids[i] = s.ID
	}
	return f
}

// write makes the topics and writes one transaction that commits and one that aborts.
func (f *forger) write(t *testing.T, topics []string, samples []*sample) {
	t.Helper()
	created, err := f.parts.admin(t).CreateTopics(t.Context(), 3, -1, nil, topics...)
	if err == nil {
		err = created.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort} {
		var records []*kgo.Record
		for _, s := range samples {
			if s.aborted != bool(end) {
				records = append(records, f.record(t, s))
			}
		}
		f.transact(t, records, end)
	}
}

func (f *forger) transact(t *testing.T, records []*kgo.Record, end kgo.TransactionEndTry) {
	t.Helper()
	if err := f.kafka.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := f.kafka.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := f.kafka.EndTransaction(context.WithoutCancel(t.Context()), end); err != nil {
		t.Fatal(err)
	}
}

func (f *forger) record(t *testing.T, s *sample) *kgo.Record {
	t.Helper()
	tenant := "judged"
	if other, ok := s.headers["key"]; ok {
		tenant = other
	}
	key, err := f.key.AppendEncode(frame(f.ids[0]), map[string]any{"tenant": tenant, "id": s.id})
	if err != nil {
		t.Fatal(err)
	}
	value, err := f.value.AppendEncode(frame(f.ids[1]), s.value)
	if err != nil {
		t.Fatal(err)
	}
	r := &kgo.Record{Topic: s.topic, Partition: s.partition, Key: key, Value: append(value, s.trailing...), Timestamp: s.at}
	if s.gone {
		r.Value = nil
	}
	for k, v := range s.headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: k, Value: []byte(v)})
	}
	return r
}

// frame is the registry's framing: magic byte 0 and the schema's id.
func frame(id int) []byte {
	return []byte{0, byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)}
}
