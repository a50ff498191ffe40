package preflight

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/schemas/registry"
)

// schemas tries the registry, and each schema that a run would register there.
func (t *trial) schemas(ctx context.Context) {
	const check = "registry"
	if t.Registry == nil {
		t.notTried(check, "schema.registry.url is not given, and no object has schemas")
		return
	}
	mode, level, err := t.Registry.Rules(ctx)
	if err != nil {
		t.registry(check, t.Settings.File, err)
		t.notTried("schemas", "the registry can't be asked")
		return
	}
	if mode == "" {
		t.notTried("mode of the registry", "it does not tell")
	} else if mode != registry.ReadWrite {
		t.wrong(check, "its mode is "+mode, "set it to READWRITE, or register the schemas elsewhere and set auto.register.schemas=false")
	}
	t.ok(check, "it answers, and subjects without a level of their own have "+level)
	shared := record.SharedSubjects(t.Connectors)
	known := map[string]bool{}
	for _, c := range t.Connectors {
		for i, o := range c.Objects {
			if !o.NeedsRegistry() {
				continue
			}
			d := &dry{Client: t.Registry, trial: t, file: c.File, told: known}
			maker := record.NewMaker(record.Config{
				Stream: checkpoint.Stream{Tenant: c.Tenant, Object: o.Path}, Object: &o, Connector: c.Name, Task: i, Shared: shared[record.SubjectOf(o)],
				Registry: d, Topics: record.NewTopics(nil, t.Settings), Report: silent{}, Version: t.Version, Log: slog.New(slog.DiscardHandler),
			})
			err := maker.Prepare(ctx)
			name := "schemas of " + c.Name + " " + o.Path
			switch {
			case err != nil:
				t.registry(name, c.File, err)
			case maker.Refuses():
				t.tell(Finding{Check: name, Verdict: NotOK, File: c.File, Detail: "they can't follow what is registered, so all rows would go to the dead letter topic (schema.conflict)",
					Remedy: "give the object a new topic (topic.template), or schema.conflict = widen"})
			}
		}
	}
}

// registry tells of an error of the registry.
func (t *trial) registry(check, file string, err error) {
	f := Finding{Check: check, Verdict: NotOK, Detail: cause(err), File: file}
	var told interface{ Remedy() string }
	if errors.As(err, &told) {
		f.Remedy = told.Remedy()
		f.Detail = strings.TrimSuffix(f.Detail, "; "+f.Remedy) // the registry's end with it
	}
	if failed, ok := errors.AsType[*registry.Error](err); ok {
		f.Passes = failed.Temporary()
	}
	t.tell(f)
}

// dry is the registry of makers that register nothing.
type dry struct {
	*registry.Client
	trial *trial
	file  string
	told  map[string]bool // subjects and schemas that were told of
}

// Register tells whether the registry would take a schema. The id is the schema's, or one of none.
func (d *dry) Register(ctx context.Context, subject, schema string) (int, error) {
	found, err := d.Try(ctx, subject, schema)
	if err != nil {
		return 0, err
	}
	detail := fmt.Sprintf("registered, id %d", found.ID)
	switch {
	case found.ID != 0:
	case found.New:
		detail = "new: it will be registered, with the level " + found.Level
	default:
		detail = "compatible with the last version (" + found.Level + "): it will be registered"
	}
	d.note(subject, schema, detail)
	return max(found.ID, 1), nil
}

// Lookup tells of a schema that has to be there.
func (d *dry) Lookup(ctx context.Context, subject, schema string) (int, error) {
	id, err := d.Client.Lookup(ctx, subject, schema)
	if err == nil {
		d.note(subject, schema, fmt.Sprintf("registered, id %d", id))
	}
	return id, err
}

func (d *dry) note(subject, schema, detail string) {
	if key := subject + "\x00" + schema; !d.told[key] {
		d.told[key] = true
		d.trial.tell(Finding{Check: "subject " + subject, Verdict: OK, Detail: detail, File: d.file})
	}
}

// silent hears what a maker tells.
type silent struct{}

func (silent) Carries(string, int)    {}
func (silent) Unfit(map[string]int64) {}
func (silent) Renumbered(error)       {}
