package record

import (
	"context"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/registry"
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
	ids        carried
}

// Config is what a maker is made of.
type Config struct {
	Stream    checkpoint.Stream
	Object    *config.Object
	Connector string // its name, for dead letters and envelopes
	Task      int    // the object's place in the connector
	Shared    bool   // the values' subject gets rows of other tenants too
	Registry  Registry
	Topics    *Topics
	Report    reporter
	Version   string // of this program, for the source of Debezium's envelopes
	Dir       string // in which files are kept for starts without the registry; "": none are
	Log       *slog.Logger
}

// reporter hears what a maker has to tell of its stream. Calls may come side by side and must not block.
type reporter interface {
	// Carries is called when records have a schema, also one that they had before.
	Carries(subject string, id int)
	// Unfit is called with how many values of custom fields stay in unmapped, by field.
	// The map is the reporter's.
	Unfit(counts map[string]int64)
	// Renumbered is called with a [RenumberedError] when the registry
	// gives a schema of the records another id than before.
	Renumbered(error)
}

// NewMaker makes a maker. It asks nobody anything until Prepare.
func NewMaker(c Config) *Maker {
	return &Maker{Config: c, dead: newDeadLetters(c.Connector, c.Object), customs: newCustoms(), ids: newCarried()}
}

// Dir is where makers of a worker keep files.
func Dir(s *config.Worker) string { return filepath.Join(s.StateDir, s.GroupID, "custom-fields") }

// Forget lets Prepare ask the registry for the ids of schemas again.
func (m *Maker) Forget() {
	m.current.Store(nil)
	for _, subject := range m.ids.subjects() {
		m.Registry.Forget(subject)
	}
}

// ForgetTopics lets Prepare make sure of topics and their limits again.
func (m *Maker) ForgetTopics() {
	m.current.Store(nil)
	m.Topics.forget(m.Object.Topic)
	m.Topics.forget(m.dead.topic)
}

// Refuses tells whether the registry refuses the stream's schemas, so that no row can be encoded.
func (m *Maker) Refuses() bool { return !m.current.Load().refused.IsZero() }

// Schema is what rows are encoded by now, their lines included; nil before Prepare.
func (m *Maker) Schema() *schemas.Schema {
	if now := m.current.Load(); now != nil {
		return now.schema
	}
	return nil
}

// Registry turns a schema's text into the id that goes in front of each record.
type Registry interface {
	// Register adds the schema to the subject if it is not
	// there yet. Lookup only asks: the schema must be there.
	Register(ctx context.Context, subject, schema string) (int, error)
	Lookup(ctx context.Context, subject, schema string) (int, error)
	// Latest is the text of the subject's last version, "" where there is none.
	Latest(ctx context.Context, subject string) (string, error)
	// Watch finds out, until ctx ends, whether ids are those of their schemas still.
	Watch(ctx context.Context)
	// Generation is another number as soon as ids that were given may be wrong.
	Generation() uint64
	// Forget lets the ids of a subject be asked for anew.
	Forget(subject string)
	// Replaced tells of the last schema under a subject that got another id; false where there is none.
	Replaced(subject string) (registry.Replacement, bool)
}

// carried is what a maker knows of the subjects whose ids its records carry.
type carried struct {
	since time.Time // the maker was made

	mu   sync.Mutex
	told map[string]time.Time // by subject: of which replacement the reporter knows; zero: of none
}

func newCarried() carried { return carried{since: time.Now(), told: map[string]time.Time{}} }

func (c *carried) subjects() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Keys(c.told))
}

// note takes in a subject, and tells whether what was replaced there at that time is news.
func (c *carried) note(subject string, replaced time.Time) (news bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := c.told[subject]
	news = !replaced.Before(c.since) && replaced.After(last)
	if news {
		last = replaced
	}
	c.told[subject] = last
	return news
}
