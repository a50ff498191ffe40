package embedded

import (
	"context"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
)

func TestTheRegistryEnforcesBackwardCompatibility(t *testing.T) {
	url, stop, err := Registry(0)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	cl, err := sr.NewClient(sr.URLs(url))
	if err != nil {
		t.Fatal(err)
	}
	record := func(fields string) sr.Schema {
		return sr.Schema{Schema: `{"type":"record","name":"R","fields":[` + fields + `]}`}
	}
	for _, c := range []struct {
		name   string
		schema sr.Schema
		says   string // part of the refusal; "" for none
	}{
		{"the first version", record(`{"name":"id","type":"long"}`), ""},
		{"a nullable addition", record(`{"name":"id","type":"long"},{"name":"a","type":["null","string"],"default":null}`), ""},
		{"an addition without a default", record(`{"name":"id","type":"long"},{"name":"b","type":"string"}`), "incompatible"},
		{"another type", record(`{"name":"id","type":"string"}`), "incompatible"},
		{"a decimal", record(`{"name":"id","type":"long"},{"name":"d","type":["null",{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}],"default":null}`), ""},
		{"another scale, which real registries let through", record(`{"name":"id","type":"long"},{"name":"d","type":["null",{"type":"bytes","logicalType":"decimal","precision":9,"scale":4}],"default":null}`), ""},
		{"a string for a decimal", record(`{"name":"id","type":"long"},{"name":"d","type":["null","string"],"default":null}`), ""},
		{"a double for it", record(`{"name":"id","type":"long"},{"name":"d","type":["null","double"],"default":null}`), "incompatible"},
		{"no Avro at all", sr.Schema{Schema: `{"type":"nonsense"}`}, "Invalid Avro schema"},
	} {
		_, err := cl.CreateSchema(context.Background(), "s-value", c.schema)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
	}
	compatible, err := cl.CheckCompatibility(context.Background(), "s-value", -1, record(`{"name":"id","type":"string"}`))
	if err != nil || compatible.Is {
		t.Errorf("asked about another type: compatible %v, %v", compatible.Is, err)
	}
}

func TestAPortThatIsTakenGivesAnotherOne(t *testing.T) {
	first, stop, err := Kafka(0)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	var port int
	for _, c := range first[strings.LastIndex(first, ":")+1:] {
		port = 10*port + int(c-'0')
	}
	second, stop, err := Kafka(port)
	if err != nil || first == second {
		t.Fatalf("%s twice, or %v", first, err)
	}
	defer stop()
	cl, err := kgo.NewClient(kgo.SeedBrokers(second))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.Ping(context.Background()); err != nil {
		t.Errorf("the second broker: %v", err)
	}
}
