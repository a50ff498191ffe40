package connector

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync/atomic"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
)

// maker makes records of the rows of one stream: it makes sure of topics and schemas, learns custom
// fields, and knows what becomes of a row that can't go. Fetches make records side by side, each with
// an encoder of its own. It reads nothing from Coupa and produces nothing.
type maker struct {
	makerConfig
	dead *deadLetters

	// current is what rows are encoded with; nil until prepare
	// has made it. Fetches replace it, who have customs.registering.
	current atomic.Pointer[encoding]
	customs customs
}

// makerConfig is what a maker is made of.
type makerConfig struct {
	stream    checkpoint.Stream
	object    config.Object
	connector string // its name, for dead letters and envelopes
	task      int    // the object's place in the connector
	shared    bool   // the values' subject gets rows of other tenants too
	registry  Registry
	topics    *topics
	report    reporter
	version   string // of this program, for the source of Debezium's envelopes
	dir       string // in which files are kept for starts without the registry
	log       *slog.Logger
}

// reporter hears what a maker has to tell of its stream. Calls may come side by side and must not block.
type reporter interface {
	// carries is called when records have a schema, also one that they had before.
	carries(subject string, id int)
	// unfit is called with how many values of custom fields stay in unmapped, by field. The map is the reporter's.
	unfit(counts map[string]int64)
}

func newMaker(c makerConfig) *maker {
	return &maker{makerConfig: c, dead: newDeadLetters(c.connector, c.object), customs: newCustoms()}
}

// makersDir is where makers of a worker keep files.
func makersDir(s *config.Worker) string { return filepath.Join(s.StateDir, s.GroupID, "custom-fields") }

// forget lets prepare make sure of schemas again, and with topics of topics and their limits too.
func (m *maker) forget(topics bool) {
	m.current.Store(nil)
	if topics {
		m.topics.forget(m.object.Topic)
		m.topics.forget(m.dead.topic)
	}
}

// refuses tells whether the registry refuses the stream's schemas, so that no row can be encoded.
func (m *maker) refuses() bool { return !m.current.Load().refused.IsZero() }

// Registry turns a schema's text into the id that goes in front of each record.
type Registry interface {
	// Register adds the schema to the subject if it is not
	// there yet. Lookup only asks: the schema must be there.
	Register(ctx context.Context, subject, schema string) (int, error)
	Lookup(ctx context.Context, subject, schema string) (int, error)
	// Latest is the text of the subject's last version, "" where there is none.
	Latest(ctx context.Context, subject string) (string, error)
}
