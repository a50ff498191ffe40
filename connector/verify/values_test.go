package verify_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/verify"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/schemas"
)

// published is how an object's values are written.
type published struct {
	*scene
	schema   *schemas.Schema
	plan     *schemas.Plan
	envelope *schemas.Envelope
}

func (s *scene) published() *published {
	s.t.Helper()
	schema, err := schemas.For(s.object.Path, s.object.SchemaOptions())
	if err != nil {
		s.t.Fatal(err)
	}
	p := &published{scene: s, schema: schema}
	if p.plan, err = schema.Plan(); err != nil {
		s.t.Fatal(err)
	}
	s.schemas[7] = schema.JSON()
	origin := schemas.Origin{Version: "1", Name: "acme", Tenant: "acme", Object: s.object.Path}
	switch {
	case s.object.Envelope != config.EnvelopeDebezium:
	case s.object.ValueFormat == config.FormatAvro:
		p.envelope = schemas.NewEnvelope(origin)
	default:
		p.envelope = schemas.NewJSONEnvelope(origin)
	}
	return p
}

// value is a row's, as the product writes it.
func (p *published) value(row coupa.Row) (out []byte) {
	p.t.Helper()
	if p.object.ValueFormat != config.FormatJSON {
		out = schemas.AppendHeader(nil, 7)
	}
	if p.envelope != nil {
		out = p.envelope.Open(out)
	}
	avro, err := p.plan.Encoder().Append(nil, row.JSON)
	if p.object.ValueFormat == config.FormatAvro {
		out = append(out, avro...)
	} else if err == nil {
		out, err = p.plan.AppendJSON(out, avro)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	if p.envelope != nil {
		out = p.envelope.Close(out, row.UpdatedAt, time.Now(), false)
	}
	return out
}

// records are those of all rows but some, as they are now.
func (p *published) records(but ...int64) (records []*kgo.Record) {
	p.t.Helper()
	_, err := p.config().Source.Fetch(p.t.Context(), coupa.Query{Path: p.object.Path, Fields: p.schema.Fields()}, func(row coupa.Row) error {
		if slices.Contains(but, row.ID) {
			return nil
		}
		r := recordOf("acme", row.ID, row.UpdatedAt, string(p.value(row)))
		r.Headers[1].Value = []byte(p.object.Path)
		if row.UpdatedAt.IsZero() {
			r.Headers = r.Headers[:2]
		}
		records = append(records, r)
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return records
}

// inFormats compares an object in every form that values have.
func inFormats(t *testing.T, path string, f func(*published)) {
	t.Helper()
	for _, format := range []string{config.FormatAvro, config.FormatJSON, config.FormatJSONSchema} {
		for _, envelope := range []string{"", config.EnvelopeDebezium} {
			compareIn(t, path, []string{"coupa.suppliers"}, func(s *scene) {
				s.object.Lines, s.object.ValueFormat, s.object.Envelope = config.LinesEmbedded, format, envelope
				f(s.published())
			})
		}
	}
}

func (p *published) check(what string, want ...string) verify.Report {
	p.t.Helper()
	r, found := p.report()
	if !slices.Equal(found, want) {
		p.t.Errorf("%s (%s %s): found %q, want %q", what, p.object.ValueFormat, p.object.Envelope, found, want)
	}
	return r
}

func TestLinesThatStayInTheirRowsAreCompared(t *testing.T) {
	inFormats(t, "invoices", func(p *published) {
		rows := p.tenant.Rows("invoices")
		p.publish(kgo.TryCommit, p.records()...)
		p.check("as Coupa has it")

		changed, removed := p.tenant.UpdateLine("invoices", rows[0].ID), p.tenant.RemoveLine("invoices", rows[1].ID)
		if changed.UpdatedAt != rows[0].UpdatedAt || removed.UpdatedAt != rows[1].UpdatedAt {
			p.t.Fatal("the headers have changed too")
		}
		time.Sleep(time.Hour)
		p.tenant.UpdateLine("invoices", rows[2].ID) // may be on its way
		p.check("lines were lost", fmt.Sprint("stale_lines ", rows[0].ID), fmt.Sprint("stale_lines ", rows[1].ID))

		time.Sleep(time.Hour)
		p.publish(kgo.TryCommit, p.records()...)
		if r, err := verify.Object(p.t.Context(), p.config()); err != nil || r.Count(verify.StaleLines) != 0 {
			p.t.Errorf("published again: %+v, %v", r, err)
		}
	})
}

// What is published while the comparison runs is no difference: it is looked at twice.
func TestLinesOfRowsThatAreOnTheirWayAreNoDifference(t *testing.T) {
	inFormats(t, "invoices", func(p *published) {
		id := p.tenant.Rows("invoices")[0].ID
		p.publish(kgo.TryCommit, p.records()...)
		p.tenant.UpdateLine("invoices", id)
		time.Sleep(time.Hour)
		changed := p.records()[:1]
		p.object.PollInterval = time.Minute // much longer than the first look takes
		time.AfterFunc(p.object.PollInterval, func() { p.publish(kgo.TryCommit, changed...) })
		p.check("a line on its way")
	})
}

func TestLinesWithoutUpdatedAtAreComparedByContent(t *testing.T) {
	inFormats(t, "invoices", func(p *published) {
		id := p.tenant.Rows("invoices")[0].ID
		line := func(text string) {
			p.tenant.SetSilent("invoices", id, "invoice-lines", `[{"id":1,"description":"`+text+`"},{"id":2}]`)
		}
		line("before")
		p.publish(kgo.TryCommit, p.records()...)
		p.check("as Coupa has it")
		line("after")
		p.check("a line has changed", fmt.Sprint("stale_lines ", id))
	})
}

func TestRowsThatHaveNoUpdatedAtAreComparedByContent(t *testing.T) {
	inFormats(t, "users", func(p *published) {
		rows := p.tenant.Rows("users")
		for _, row := range rows[:4] {
			p.tenant.Undate("users", row.ID)
		}
		p.publish(kgo.TryCommit, p.records(rows[0].ID, rows[3].ID)...)
		p.tenant.SetSilent("users", rows[1].ID, "login", `"another"`)
		late := p.records(rows[0].ID, rows[1].ID, rows[2].ID)[:1]
		p.object.PollInterval = time.Minute // much longer than the first look takes
		time.AfterFunc(p.object.PollInterval, func() { p.publish(kgo.TryCommit, late...) })
		r := p.check("rows without updated-at", fmt.Sprint("missing ", rows[0].ID), fmt.Sprint("stale ", rows[1].ID))
		if r.Undated != 4 || r.Rows != 5 {
			p.t.Errorf("%d of %d rows are without updated-at, want 4 of 5", r.Undated, r.Rows)
		}
		p.object.InitialFrom = config.InitialFrom{At: time.Now().Add(-time.Hour)}
		p.check("of a stream that began later", fmt.Sprint("stale ", rows[1].ID))
	})
}

// A row whose updated-at is no instant is a dead letter: it is in Coupa, and not in the topic.
func TestARowWhoseUpdatedAtIsNoInstantIsMissing(t *testing.T) {
	inFormats(t, "users", func(p *published) {
		id := p.tenant.Rows("users")[2].ID
		p.publish(kgo.TryCommit, p.records(id)...)
		p.tenant.SetSilent("users", id, "updated-at", `"yesterday"`)
		p.check("no instant", fmt.Sprint("missing ", id))
	})
}

func TestValuesThatCannotBeReadEndTheComparison(t *testing.T) {
	inFormats(t, "invoices", func(p *published) {
		records := p.records()
		records[3].Value = []byte("\x01text")
		p.publish(kgo.TryCommit, records...)
		if _, err := verify.Object(p.t.Context(), p.config()); err == nil {
			p.t.Error("no error")
		}
	})
}
