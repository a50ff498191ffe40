package configtopic

import (
	"maps"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector/status"
)

// TargetState is what a connector is to do.
type TargetState string

// The target states, by Connect's names.
const (
	Started TargetState = "STARTED"
	Paused  TargetState = "PAUSED"
	Stopped TargetState = "STOPPED"
)

// Target is what a connector is to do, and what is not told of it until it is STARTED.
type Target struct {
	State  TargetState
	Untold status.Untold
}

// View is the topic as it was at one offset. It does not change: its
// maps, and those inside, are shared and must not be written to.
type View struct {
	// Connectors by name.
	Connectors map[string]Connector
	// States are target states by connector, also of connectors that are not in Connectors: those of files
	// have theirs here too. A connector without one was never told otherwise than by its configuration.
	States map[string]Target
	// Loggers are levels by logger.
	Loggers map[string]Level
	// Owners of shards.
	Owners map[int32]Owner
	// Claims are the last owners' on the shards' positions.
	Claims map[int32]Claim
	// Verified is what the last comparisons with Coupa found, by connector and object.
	Verified map[string]map[string]Verified
	// Unreadable says, by key, why the last record of the key can't be used.
	Unreadable map[string]string
	// Next is the offset that the topic goes on from: all records before it are in the view.
	Next int64

	read bool // false: of a topic that was not read to its end yet
}

// Connector is a connector's configuration.
type Connector struct {
	Properties map[string]string
	// Version is the offset of the record. Another version may be
	// another configuration, the same version is the same one.
	Version int64
	// Writer is the version of the program that wrote the record; "": it does not say.
	Writer string
}

// Level is what a logger was set to.
type Level struct {
	Name    string
	Version int64 // the offset of the record
}

// Owner is the worker that runs a shard.
type Owner struct {
	WorkerID   string // host:port
	URL        string // of its REST API
	Generation int32  // of the group, when it got the shard
}

// topic is what was read so far. It belongs to the goroutine that reads.
type topic struct {
	View
	changed bool // since the last snapshot
}

func newTopic() *topic {
	return &topic{changed: true, View: View{
		Connectors: map[string]Connector{}, States: map[string]Target{}, Loggers: map[string]Level{}, Owners: map[int32]Owner{}, Claims: map[int32]Claim{},
		Verified: map[string]map[string]Verified{}, Unreadable: map[string]string{},
	}}
}

// apply takes in one record. An error: the record can't be read, and what its key stood for stays.
func (t *topic) apply(rec *kgo.Record) error {
	key, offset := string(rec.Key), rec.Offset
	e, err := decode(key, rec.Value)
	if err != nil {
		t.changed, t.Unreadable[key] = true, err.Error()
		return err
	}
	if e.kind == unknown {
		return nil
	}
	t.changed = true
	delete(t.Unreadable, key)
	switch e.kind {
	case connector:
		put(t.Connectors, e.name, Connector{Properties: e.properties, Version: offset, Writer: writerOf(rec)}, e.gone)
	case targetState:
		put(t.States, e.name, e.target, e.gone)
	case logger:
		put(t.Loggers, e.name, Level{e.level, offset}, e.gone)
	case shard:
		put(t.Owners, e.shard, e.owner, e.gone)
	case claim:
		put(t.Claims, e.shard, e.claim, e.gone)
	case verified:
		put(t.Verified, e.name, e.verified, e.gone)
	}
	return nil
}

// writerOf is the version of the program that wrote a record; "": it does not say.
func writerOf(rec *kgo.Record) string {
	for _, h := range rec.Headers {
		if h.Key == versionHeader {
			return string(h.Value)
		}
	}
	return ""
}

func put[K comparable, V any](m map[K]V, k K, v V, gone bool) {
	if gone {
		delete(m, k)
		return
	}
	m[k] = v
}

// snapshot is the view of what was read before the offset; former is the snapshot before it.
func (t *topic) snapshot(former View, next int64) View {
	v := former
	if t.changed {
		v = View{
			Connectors: maps.Clone(t.Connectors), States: maps.Clone(t.States), Loggers: maps.Clone(t.Loggers), Owners: maps.Clone(t.Owners), Claims: maps.Clone(t.Claims),
			Verified: maps.Clone(t.Verified), Unreadable: maps.Clone(t.Unreadable),
		}
	}
	t.changed = false
	v.Next, v.read = next, true
	return v
}
