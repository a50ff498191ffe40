package configtopic

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/status"
)

func TestRecordsAreReadAsConnectWritesThem(t *testing.T) {
	for _, c := range []struct {
		key, value string // value "-": none
		want       entry
		fails      string
	}{
		{"connector-a", `{"properties":{"b":"","c":null}}`, entry{kind: connector, name: "a", properties: map[string]string{"b": ""}}, ""},
		{"connector-a/b-0", `{"properties":{},"more":1}`, entry{kind: connector, name: "a/b-0", properties: map[string]string{}}, ""},
		{"connector-a", "-", entry{kind: connector, name: "a", gone: true}, ""},
		{"connector-a", `{"Properties":{}}`, entry{}, "properties is no"},
		{"connector-a", `{"properties":{"secret":1}}`, entry{}, `property "secret"`},
		{"connector-a", `null`, entry{}, "no JSON object"},
		{"connector-a", ``, entry{}, "no JSON object"},
		{"connector-", `{"properties":{}}`, entry{}, "names nothing"},
		{"target-state-a", `{"state":"PAUSED"}`, entry{kind: targetState, name: "a", target: Target{State: Paused}}, ""},
		{"target-state-a", `{"state":"PAUSED","state.v2":"STOPPED"}`, entry{kind: targetState, name: "a", target: Target{State: Stopped, Untold: status.Untold{Tasks: true}}}, ""},
		{"target-state-a", `{"state":"PAUSED","no_tasks":true,"no_topics":true}`,
			entry{kind: targetState, name: "a", target: Target{State: Paused, Untold: status.Untold{Tasks: true, Topics: true}}}, ""},
		{"target-state-a", `{"state":"STARTED","state.v2":null}`, entry{kind: targetState, name: "a", target: Target{State: Started}}, ""},
		{"target-state-a", `{"state":"STARTED","state.v2":7}`, entry{kind: targetState, name: "a", target: Target{State: Started}}, ""},
		{"target-state-a", `{"state":"STARTED","state.v2":"OF_THE_FUTURE"}`, entry{}, "none of"},
		{"target-state-a", `{}`, entry{}, "state is no text"},
		{"target-state-a", "-", entry{kind: targetState, name: "a", gone: true}, ""},
		{"logger-cluster-org.x", `{"level":"INFO"}`, entry{kind: logger, name: "org.x", level: "INFO"}, ""},
		{"logger-cluster-org.x", `{"level":3}`, entry{}, "level is no text"},
		{"shard-12", `{"worker_id":"h:1","url":"http://h:1","generation":3}`, entry{kind: shard, shard: 12, owner: Owner{"h:1", "http://h:1", 3}}, ""},
		{"shard-12", "-", entry{kind: shard, shard: 12, gone: true}, ""},
		{"shard-12", `{"worker_id":"h:1","url":"http://h:1"}`, entry{}, "generation"},
		{"shard-12", `{"worker_id":"h:1","url":"http://h:1","generation":3000000000}`, entry{}, "generation"},
		{"shard-012", "-", entry{}, "no shard"},
		{"shard--1", "-", entry{}, "no shard"},
		{"shard-2147483648", "-", entry{}, "no shard"},
		{"checkpoint-3", `{"cluster":"c","topic_id":"LF8CqyMsQ0yZ8kUGf2bUTg","partitions":8,"begin":5,"generation":2,"file":"f","worker_id":"h:1"}`,
			entry{kind: claim, shard: 3, claim: Claim{"c", [16]byte{0x2c, 0x5f, 2, 0xab, 0x23, 0x2c, 0x43, 0x4c, 0x99, 0xf2, 0x45, 6, 0x7f, 0x66, 0xd4, 0x4e}, 8, 5, 2, "f", "h:1"}}, ""},
		{"checkpoint-3", "-", entry{kind: claim, shard: 3, gone: true}, ""},
		{"checkpoint-x", "-", entry{}, "no shard: checkpoint-0"},
		{"checkpoint-3", `{"cluster":"c","topic_id":"LF8C","partitions":8,"begin":5,"generation":2,"file":"f","worker_id":"h:1"}`, entry{}, "no id of a topic"},
		{"checkpoint-3", `{"cluster":"c","topic_id":"LF8CqyMsQ0yZ8kUGf2bUTg","partitions":8,"generation":2,"file":"f","worker_id":"h:1"}`, entry{}, "begin is not"},
		{"verified-a", `{"objects":{"users":{"at":"2026-01-02T03:04:05.6+01:00","since":"","until":"2026-01-02T00:00:00Z","rows":7,"found":{}},"c/d":{"until":"2026-01-02T00:00:00Z","found":{"stale":2},"proven_until":"2025-01-02T00:00:00Z"}}}`,
			entry{kind: verified, name: "a", verified: map[string]Verified{
				"users": {At: time.Date(2026, 1, 2, 2, 4, 5, 0, time.UTC), Until: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), Rows: 7},
				"c/d":   {Until: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), Found: map[string]int64{"stale": 2}, ProvenUntil: time.Date(2025, 1, 2, 0, 0, 0, 0, time.UTC)},
			}}, ""},
		{"verified-a", `{"objects":{}}`, entry{kind: verified, name: "a", verified: map[string]Verified{}}, ""},
		{"verified-a", `{"objects":null}`, entry{}, "objects is not"},
		{"verified-a", `{"objects":{"users":{"until":"yesterday"}}}`, entry{}, "an instant of"},
		{"verified-a", `{"objects":{"users":{"until":"0001-01-01T00:00:00+01:00"}}}`, entry{}, "an instant of"},
		{"verified-a", "-", entry{kind: verified, name: "a", gone: true}, ""},
		{"task-a-0", `{"properties":{}}`, entry{}, ""},
		{"commit-a", `x`, entry{}, ""},
		{"", "-", entry{}, ""},
	} {
		value := []byte(c.value)
		if c.value == "-" {
			value = nil
		}
		got, err := decode(c.key, value)
		switch {
		case c.fails == "" && err != nil, c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)):
			t.Errorf("%s %s: %v, want %q", c.key, c.value, err, c.fails)
		case !reflect.DeepEqual(got, c.want):
			t.Errorf("%s %s: %+v, want %+v", c.key, c.value, got, c.want)
		}
	}
}

// FuzzDecode: whatever is read can be written, and reads the
// same again; and nothing of a value is in an error.
func FuzzDecode(f *testing.F) {
	f.Add("connector-a", []byte(`{"properties":{"a":"\u003c"}}`))
	f.Add("target-state-a", []byte(`{"state":"PAUSED","state.v2":"STOPPED"}`))
	f.Add("logger-cluster-root", []byte(`{"level":"INFO"}`))
	f.Add("shard-7", []byte(`{"worker_id":"h:1","url":"http://h:1","generation":3}`))
	f.Add("checkpoint-7", []byte(`{"cluster":"c","topic_id":"LF8CqyMsQ0yZ8kUGf2bUTg","partitions":8,"begin":5,"generation":2,"file":"f","worker_id":"h:1"}`))
	f.Add("verified-a", []byte(`{"objects":{"users":{"at":"2026-01-02T03:04:05Z","until":"2026-01-02T00:00:00Z","rows":7,"found":{"stale":1}}}}`))
	f.Add("shard-7", []byte(nil))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		e, err := decode(key, value)
		if err != nil || e.kind == unknown {
			if !reflect.DeepEqual(e, entry{}) {
				t.Fatalf("%+v beside %v", e, err)
			}
			return
		}
		key2, value2 := e.encode()
		again, err := decode(key2, value2)
		if err != nil || key2 != key || !reflect.DeepEqual(again, e) {
			t.Fatalf("%q %q reads as %+v and is written as %q %q: %+v %v", key, value, e, key2, value2, again, err)
		}
	})
}
