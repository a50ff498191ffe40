package record

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unique"

	"golang.org/x/sync/semaphore"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/custom"
	"github.com/coupastream/coupastream/schemas/registry"
)

// customs is what a maker knows of its object's custom fields beside what the
// present encoding holds. Fetches that meet new ones change it side by side.
//
// Where custom fields are typed, a row is encoded only by a schema that knows all of its fields: the
// encoder tells which it has no place for, and then a new version is registered before the row goes out.
// The registry's last version is what every worker goes on from, so that workers who see the same rows
// make the same schema. Fields that can't be typed stay JSON text in unmapped: those beyond
// custom.Max, values of another form than their field's unless that is to be widened, and
// whatever the registry refuses.
type customs struct {
	// of one: who has it may register a new version, and holds what
	// follows; fetches that met the same new field wait for the one version
	registering *semaphore.Weighted
	refused     map[string]time.Time // when the registry refused a version, by the hash of its custom fields
	ordinary    map[string]bool      // "record\x00name" of members that are no custom fields
	said        map[string]bool      // names that the log has told to stay in unmapped
	unfit       map[string]int64     // values that stay in unmapped, by field

	mu sync.Mutex // guards what follows
	// names of the global namespace in rows in full, by record, as JSON; and what Coupa is asked for, by
	// these and by the schema askedFor. Streams that have the same share the texts: what is kept of a
	// thousand tenants is kept once
	globals  unique.Handle[string]
	asked    unique.Handle[string]
	askedFor *schemas.Schema // nil: asked is to be made anew
}

func newCustoms() customs {
	return customs{registering: semaphore.NewWeighted(1), refused: map[string]time.Time{}, ordinary: map[string]bool{}, said: map[string]bool{}, unfit: map[string]int64{}}
}

// SubjectOf names what objects must have in common for their values to have one schema.
func SubjectOf(o config.Object) string {
	return registry.Subject(o.ValueSubject, o.Topic, o.Namespace+"."+o.Path, false)
}

// SharedSubjects are the subjects whose values come from more than one of the connectors' streams.
func SharedSubjects(all []*config.Connector) map[string]bool {
	met := map[string]bool{} // true from the second time on
	for _, c := range all {
		for _, o := range c.Objects {
			_, again := met[SubjectOf(o)]
			met[SubjectOf(o)] = again
		}
	}
	return met
}

// refusedFor is how long a version that the registry refused is not offered again.
const refusedFor = time.Hour

// errNotTyped says that a subject holds the other form of custom fields than is configured.
var errNotTyped = errors.New("it has custom_fields as a map")

// startingFields tells how the object's custom fields are to stand in its records. auto goes by what
// the subject holds, or held when this worker saw it last, and for a new one by whether the
// connectors of this worker give it rows of one tenant alone.
func (m *Maker) startingFields(ctx context.Context) (*custom.Fields, error) {
	mode := m.Object.CustomFields
	if mode != "typed" && mode != "auto" || m.Object.ValueFormat != config.FormatAvro {
		return nil, nil
	}
	typed, fields, there, err := m.registeredFields(ctx)
	if err != nil {
		return nil, err
	}
	if kept, ok := m.keptFields(); !there && ok && (kept.Typed || mode == "auto") {
		typed, fields, there = kept.Typed, kept.Fields, true // the registry has lost what it had
	}
	if mode == "auto" && !there {
		typed = !m.Shared
	}
	switch {
	case mode == "auto" && !typed:
		return nil, nil
	case mode == "typed" && there && !typed:
		return nil, fmt.Errorf("custom.fields = typed: the schema of %s is registered already, and %w, which readers can't follow to typed fields; "+
			"give the object a new topic (topic.template) or write custom.fields = map", m.Object.Topic, errNotTyped)
	case fields == nil:
		return new(custom.Fields), nil
	}
	return fields, nil
}

// registeredFields reads how custom fields are typed in the subject's
// last version. Without the registry, what was last seen of it counts.
func (m *Maker) registeredFields(ctx context.Context) (typed bool, fields *custom.Fields, there bool, err error) {
	plain, err := m.schemaWith(nil) // the name is the same whatever the fields
	if err != nil {
		return false, nil, false, err
	}
	subjects := []string{m.valueSubject(plain)}
	if m.HasLines() {
		split, err := plain.Split(false)
		if err != nil {
			return false, nil, false, err
		}
		for _, l := range split.Lists {
			subjects = append(subjects, m.subjectIn(m.Object.LineTopic(l.Name), l.Schema))
		}
	}
	kept, known := m.keptFields()
	for _, subject := range subjects { // each has the custom fields of its records
		text, err := m.latest(ctx, subject, known)
		if err != nil {
			if !known || !isAway(err) || ctx.Err() != nil {
				return false, nil, false, err
			}
			m.Log.Warn("the schema registry can't be asked; custom fields are as they were when it was last there", "error", err)
			return kept.Typed, kept.Fields, true, nil
		}
		if text == "" {
			continue
		}
		some, isTyped, err := custom.FromSchema(text)
		if err != nil {
			return false, nil, false, fmt.Errorf("the last schema of subject %s is none that coupastream has made; give the object another topic (topic.template): %w", subject, err)
		}
		if there = true; isTyped {
			typed = true
		}
		if fields == nil {
			fields = some
		} else {
			fields = fields.Evolve(some)
		}
	}
	return typed, fields, there, nil
}

// catchUp goes on from the registry's last version where that knows more than this worker does.
func (m *Maker) catchUp(ctx context.Context) error {
	if err := m.customs.registering.Acquire(ctx, 1); err != nil {
		return err
	}
	defer m.customs.registering.Release(1)
	now := m.current.Load()
	if now.custom == nil {
		return nil
	}
	typed, fields, there, err := m.registeredFields(ctx)
	if err != nil || !there || !typed {
		return ctx.Err() // what is known goes on
	}
	if all := m.behind(fields, now.custom); all.Hash() != now.custom.Hash() {
		return m.retype(ctx, all)
	}
	return nil
}

// behind gives what the registry has with what is known besides, as custom.fields.conflict says.
func (m *Maker) behind(registered, known *custom.Fields) *custom.Fields {
	if m.Object.WidensCustomFields() {
		return registered.Evolve(known)
	}
	return registered.Extend(known)
}

// retype makes the encoding with other typed fields the present one. The caller has customs.registering.
func (m *Maker) retype(ctx context.Context, fields *custom.Fields) error {
	made, err := m.encodingWith(ctx, fields, m.values)
	if err != nil {
		return err
	}
	m.current.Store(made)
	m.keepFields(fields)
	return nil
}

// fit gives the encoding that a row is to be encoded with, if that is another
// than stale, which has encoded it and told what had no place; nil: the record
// is as good as it can be. An error: a new version could not be registered.
func (m *Maker) fit(ctx context.Context, stale *encoding, row []byte, unfit []schemas.Unfit) (*encoding, error) {
	if err := m.customs.registering.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer m.customs.registering.Release(1)
	if now := m.current.Load(); now != stale {
		return now, nil
	}
	unfit = slices.DeleteFunc(unfit, func(u schemas.Unfit) bool { return m.customs.ordinary[u.Record+"\x00"+u.Name] })
	if len(unfit) == 0 {
		return nil, nil
	}
	d, err := schemas.NewDiscovery(m.Stream.Object)
	if err == nil {
		err = d.Observe(row)
	}
	if err != nil {
		return nil, err
	}
	unfit = m.customs.without(unfit, d.Globals())
	if len(unfit) == 0 {
		return nil, nil
	}
	changed, err := m.learn(ctx, d.Fields())
	if err != nil {
		return nil, err
	}
	if changed {
		return m.current.Load(), nil
	}
	m.noteUnfit(unfit)
	return nil, nil
}

// without leaves out what is no custom field, and remembers it.
func (c *customs) without(unfit []schemas.Unfit, globals map[string][]string) []schemas.Unfit {
	return slices.DeleteFunc(unfit, func(u schemas.Unfit) bool {
		ordinary := u.Global && !u.Known && !slices.Contains(globals[u.Record], u.Name)
		if ordinary && len(c.ordinary) < 10*custom.Max {
			c.ordinary[u.Record+"\x00"+u.Name] = true
		}
		return ordinary
	})
}

// learn registers a new version if learned says anything new. Where no field is to have a
// further type, or the registry refuses that, it is offered the fields alone that are new
// altogether. The caller has customs.registering.
func (m *Maker) learn(ctx context.Context, learned *custom.Fields) (changed bool, err error) {
	if !m.Object.AutoRegister {
		return false, nil
	}
	now := m.current.Load().custom
	offers := []*custom.Fields{now.Evolve(learned), now.Extend(learned)}
	if !m.Object.WidensCustomFields() {
		offers = []*custom.Fields{now.Extend(learned.Single())}
	}
	for _, next := range offers {
		if changed, err := m.offer(ctx, now, next); changed || err != nil {
			return changed, err
		}
	}
	return false, nil
}

// offer registers next, behind what other workers have registered meanwhile.
// changed is false where that says nothing new, or the registry refuses it.
func (m *Maker) offer(ctx context.Context, now, next *custom.Fields) (changed bool, err error) {
	hash := next.Hash()
	at, refused := m.customs.refused[hash]
	if hash == now.Hash() || refused && time.Since(at) < refusedFor {
		return false, nil
	}
	if typed, fields, there, err := m.registeredFields(ctx); err == nil && there && typed {
		next = m.behind(fields, next)
	}
	err = m.retype(ctx, next)
	switch {
	case isIncompatible(err):
		if len(m.customs.refused) >= custom.Max {
			clear(m.customs.refused)
		}
		m.customs.refused[hash] = time.Now()
		m.Log.Warn("the schema registry refuses custom fields; their values "+m.untyped()+", and it is asked again in an hour",
			"fields", few(changes(now, next)), "error", err)
		return false, nil
	case err != nil:
		return false, err
	}
	m.Log.Info("records have custom fields that are new", "fields", few(changes(now, next)))
	return true, nil
}

// changes names what next has and last has not, with the types.
func changes(last, next *custom.Fields) []string {
	var names []string
	for _, record := range next.Records() {
		known := map[string]string{}
		for _, f := range last.Of(record) {
			known[customName(record, f.Name, f.Global)] = fmt.Sprint(f.Types, f.List)
		}
		for _, f := range next.Of(record) {
			if name := customName(record, f.Name, f.Global); known[name] != fmt.Sprint(f.Types, f.List) {
				names = append(names, fmt.Sprintf("%s %v", name, f.Types))
			}
		}
	}
	return names
}

// mostNamed is how many characters of names a line of the log has; the schema has all of them.
const mostNamed = 200

// few are the names in a line of the log.
func few(names []string) string {
	all := strings.Join(names, ", ")
	if len(all) <= mostNamed {
		return all
	}
	for n := len(names) - 1; n > 0; n-- {
		text := fmt.Sprintf("%s and %d more", strings.Join(names[:n], ", "), len(names)-n)
		if len(text) <= mostNamed {
			return text
		}
	}
	return fmt.Sprintf("%d, the first of which has a long name", len(names))
}

// customName is how log and status name a custom field.
func customName(record, name string, global bool) string {
	if global {
		return record + "." + name
	}
	return record + ".custom-fields." + name
}

// noteUnfit counts values that stay in unmapped, and tells of each field once.
// The caller has customs.registering.
func (m *Maker) noteUnfit(unfit []schemas.Unfit) {
	counts := m.customs.unfit
	for _, u := range unfit {
		if name := customName(u.Record, u.Name, u.Global); counts[name] > 0 || len(counts) < custom.Max {
			counts[name]++
		}
	}
	if m.Object.Unmapped != schemas.UnmappedOff { // these are counted with all that is left out
		m.Report.Unfit(maps.Clone(counts))
	}
	for _, u := range unfit {
		name := customName(u.Record, u.Name, u.Global)
		if m.customs.said[name] || len(m.customs.said) >= custom.Max {
			continue
		}
		m.customs.said[name] = true
		m.Log.Warn("values of a custom field do not fit its type and "+m.untyped()+"; the status counts them", "field", name)
	}
}

// untyped says what becomes of values that no typed field holds.
func (m *Maker) untyped() string {
	if m.Object.Unmapped == schemas.UnmappedOff {
		return "are left out"
	}
	return "stay JSON text in unmapped"
}

// isAway tells that nobody who knows the schemas has answered.
func isAway(err error) bool {
	failed, ok := errors.AsType[*registry.Error](err)
	return status.IsTemporary(err) || ok && failed.Away()
}

// Fields is what Coupa is asked for.
func (m *Maker) Fields() string {
	if m.Object.Fields == "all" {
		return ""
	}
	m.customs.mu.Lock()
	defer m.customs.mu.Unlock()
	c, schema := &m.customs, m.current.Load().schema
	if c.askedFor != schema {
		c.asked, c.askedFor = unique.Make(schema.FieldsWith(c.named())), schema
	}
	return c.asked.Value()
}

// named are the names of the global namespace by record. The lock is held.
func (c *customs) named() map[string][]string {
	all := map[string][]string{}
	if c.globals != (unique.Handle[string]{}) {
		_ = json.Unmarshal([]byte(c.globals.Value()), &all) // takeIn made it
	}
	return all
}

// takeIn adds names that a sample of rows in full has.
func (c *customs) takeIn(globals map[string][]string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.named()
	for record, names := range globals {
		all[record] = slices.Compact(slices.Sorted(slices.Values(append(all[record], names...))))
	}
	text, err := json.Marshal(all)
	c.globals, c.askedFor = unique.Make(string(text)), nil
	return err
}

// Study takes in what a sample tells.
func (m *Maker) Study(ctx context.Context, d *custom.Discovery) error {
	if err := m.customs.registering.Acquire(ctx, 1); err != nil {
		return err
	}
	defer m.customs.registering.Release(1)
	if err := m.customs.takeIn(d.Globals()); err != nil {
		return err
	}
	if m.current.Load().custom == nil {
		return nil
	}
	_, err := m.learn(ctx, d.Fields())
	return err
}
