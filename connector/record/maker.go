package record

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
)

// Maker makes records of the rows of one stream: it makes sure of topics and schemas, learns custom
// fields, and knows what becomes of a row that can't go. Fetches make records side by side, each with
// an encoder of its own. It reads nothing from Coupa and produces nothing.
type Maker struct {
	Config
	dead *deadLetters

	// current is what rows are encoded with; nil until Prepare has made it.
	// Who has customs.registering may replace it.
	current atomic.Pointer[encoding]
	customs customs
	// fields of which the log has told that values can't be read and stay in unmapped
	unreadable sync.Map
}

// Config is what a maker is made of.
type Config struct {
	Stream    checkpoint.Stream
	Object    config.Object
	Connector string // its name, for dead letters and envelopes
	Task      int    // the object's place in the connector
	Shared    bool   // the values' subject gets rows of other tenants too
	Registry  Registry
	Topics    *Topics
	Report    reporter
	Version   string // of this program, for the source of Debezium's envelopes
	Dir       string // in which files are kept for starts without the registry
	Log       *slog.Logger
}

// reporter hears what a maker has to tell of its stream. Calls may come side by side and must not block.
type reporter interface {
	// Carries is called when records have a schema, also one that they had before.
	Carries(subject string, id int)
	// Unfit is called with how many values of custom fields stay in unmapped, by field.
	// The map is the reporter's.
	Unfit(counts map[string]int64)
}

// NewMaker makes a maker. It asks nobody anything until Prepare.
func NewMaker(c Config) *Maker {
	return &Maker{Config: c, dead: newDeadLetters(c.Connector, c.Object), customs: newCustoms()}
}

// Dir is where makers of a worker keep files.
func Dir(s *config.Worker) string { return filepath.Join(s.StateDir, s.GroupID, "custom-fields") }

// Forget lets Prepare make sure of schemas again, and with topics of topics and their limits too.
func (m *Maker) Forget(topics bool) {
	m.current.Store(nil)
	if topics {
		m.Topics.forget(m.Object.Topic)
		m.Topics.forget(m.dead.topic)
	}
}

// Refuses tells whether the registry refuses the stream's schemas, so that no row can be encoded.
func (m *Maker) Refuses() bool { return !m.current.Load().refused.IsZero() }

// Registry turns a schema's text into the id that goes in front of each record.
type Registry interface {
	// Register adds the schema to the subject if it is not
	// there yet. Lookup only asks: the schema must be there.
	Register(ctx context.Context, subject, schema string) (int, error)
	Lookup(ctx context.Context, subject, schema string) (int, error)
	// Latest is the text of the subject's last version, "" where there is none.
	Latest(ctx context.Context, subject string) (string, error)
}
