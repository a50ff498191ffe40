package connector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/connector/stream"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/coupa/coupatest"
	"github.com/coupastream/coupastream/schemas"
)

// lineTopic is where lines of the simulated invoices go.
const lineTopic = "coupa.invoices.invoice_lines"

func invoices(seed uint64, rows int) coupatest.Config {
	return coupatest.Config{Seed: seed, Rows: rows, Objects: []string{"invoices"}}
}

// linesJSON is a value of invoice-lines.
func linesJSON(ids ...int) string {
	var all []string
	for _, id := range ids {
		all = append(all, fmt.Sprintf(`{"id":%d,"description":"line %d"}`, id, id))
	}
	return "[" + strings.Join(all, ",") + "]"
}

func TestJustTheLinesThatChangeGoOut(t *testing.T) {
	longRaced(t)
	for _, where := range []string{config.LinesTopics, config.LinesBoth} {
		t.Run(where, func(t *testing.T) {
			simulate(t, invoices(901, 30), func(h *harness) {
				h.keys["lines"] = where
				h.tenant.SetMember("invoices", 5, "invoice-lines", linesJSON(9001, 9002, 9003))
				r := h.start()
				h.settle()
				rows, known := len(h.records("coupa.invoices")), h.known(lineTopic)
				added := func(lines int, what string) []readRecord {
					t.Helper()
					h.pass(10 * time.Second)
					more := h.newer(lineTopic, known)
					if len(more) != lines {
						t.Errorf("%s: %d records of lines, want %d", what, len(more), lines)
					}
					known = h.known(lineTopic)
					return more
				}
				h.tenant.SetMember("invoices", 5, "internal-note", `"x"`)
				added(0, "the row alone changes")
				h.tenant.SetMember("invoices", 5, "invoice-lines", linesJSON(9003, 9001, 9002))
				added(0, "lines change places")
				v := h.tenant.SetMember("invoices", 5, "invoice-lines", `[{"id":9002,"description":"other"},{"description":"line 9001","id":9001},{"id":9004}]`)
				for _, rec := range added(3, "one changes, one comes, one goes") {
					gone := rec.id == 9003
					if rec.updatedAt != v.UpdatedAt.UTC().Format(time.RFC3339) || rec.headers[record.HeaderTenant] != "acme" || rec.headers[record.HeaderObject] != "invoices" ||
						rec.op != map[bool]string{true: record.OpDelete, false: record.OpUpsert}[gone] || (rec.value == nil) != gone {
						t.Errorf("line %d: headers %v, %d bytes", rec.id, rec.headers, len(rec.value))
					}
				}
				h.tenant.SetMember("invoices", 5, "invoice-lines", `[]`)
				added(3, "all go")
				h.tenant.SetMember("invoices", 5, "invoice-lines", linesJSON(9001))
				added(1, "one comes back")
				h.tenant.UpdateLine("invoices", 11)
				added(1, "a line changes, and its row's stamp stays")
				want := map[string]int{config.LinesTopics: rows + 5, config.LinesBoth: rows + 6}[where]
				if got := len(h.records("coupa.invoices")); got != want {
					t.Errorf("%d records of rows, want %d: a change of a line alone is one of the row if that has it in it", got, want)
				}
				if s := r.Connectors()[0].Tasks[0]; s.Published != int64(want) || s.Lines != int64(len(h.records("coupa.invoices.invoice_lines"))+len(h.records("coupa.invoices.tax_lines"))+len(h.records("coupa.invoices.invoice_charges"))) {
					t.Errorf("%d rows and %d lines published", s.Published, s.Lines)
				}
				h.check("invoices")
				if where == config.LinesBoth {
					h.linesFitRows("invoices")
				}
			})
		})
	}
}

// A line that went while no local state was there gets its tombstone from what the checkpoint topic knows.
func TestLinesAreKnownAfterTheLocalStateIsLost(t *testing.T) {
	longRaced(t)
	simulate(t, invoices(902, 30), func(h *harness) {
		h.keys["lines"] = config.LinesTopics
		h.tenant.SetMember("invoices", 5, "invoice-lines", linesJSON(9001, 9002))
		h.start()
		h.settle()
		h.stop()
		h.state = t.TempDir()
		h.tenant.SetMember("invoices", 5, "invoice-lines", linesJSON(9002))
		known := h.known(lineTopic)
		h.start()
		h.pass(2 * time.Minute)
		if more := h.newer(lineTopic, known); len(more) != 1 || more[0].id != 9001 || more[0].op != record.OpDelete {
			t.Errorf("%d records more, want a tombstone", len(more))
		}
		h.check("invoices")
	})
}

// A line that moves to another row is that row's, whichever of the
// two is read first, and whatever becomes of the one that it left.
func TestALineThatMovesIsTheOtherRows(t *testing.T) {
	longRaced(t)
	simulate(t, invoices(903, 30), func(h *harness) {
		h.keys["lines"] = config.LinesTopics
		h.tenant.SetMember("invoices", 5, "invoice-lines", linesJSON(9001, 9002))
		h.tenant.SetMember("invoices", 9, "invoice-lines", linesJSON(9003))
		h.start()
		h.settle()
		h.tenant.SetMember("invoices", 9, "invoice-lines", linesJSON(9003, 9001))
		h.pass(10 * time.Second)
		h.tenant.SetMember("invoices", 5, "invoice-lines", linesJSON(9002))
		h.pass(10 * time.Second)
		h.check("invoices")
		h.tenant.SetMember("invoices", 9, "invoice-lines", linesJSON(9001))
		h.tenant.SetMember("invoices", 5, "invoice-lines", linesJSON(9002, 9003))
		h.pass(10 * time.Second)
		h.tenant.SetMember("invoices", 9, "invoice-lines", linesJSON())
		h.tenant.SetMember("invoices", 5, "invoice-lines", linesJSON(9002, 9003, 9001))
		h.pass(10 * time.Second)
		h.check("invoices")
	})
}

// Lines get topics of their own while the stream has long been running, lose them and get them
// again: the topics have the lines of what was published before, and no row goes out again for that.
func TestLinesGetTopicsWhileTheStreamRuns(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 904, Rows: 90, Objects: []string{"invoices"}, PageCap: 10}, func(h *harness) {
		h.start()
		h.settle()
		h.stop()
		change := func(id int64) {
			h.tenant.Update("invoices", id)
			h.tenant.UpdateLine("invoices", id+1)
		}
		again := func(lines string, state string) {
			t.Helper()
			h.keys["lines"], h.state = lines, state
			change(7)
			h.start()
			for id := range int64(5) {
				change(20 + id)
				h.pass(1500 * time.Millisecond)
			}
			h.pass(5 * time.Minute)
			h.stop()
		}
		kept := h.state
		again(config.LinesBoth, kept)
		h.check("invoices")
		h.linesFitRows("invoices")
		before := len(h.records(lineTopic))
		again(config.LinesEmbedded, kept)
		if got := len(h.records(lineTopic)); got != before {
			t.Errorf("%d records of lines while they have no topics", got-before)
		}
		again(config.LinesBoth, t.TempDir())
		h.check("invoices")
		h.linesFitRows("invoices")
		rows := map[string]int{}
		for _, r := range h.records("coupa.invoices") {
			rows[fmt.Sprint(r.id, r.updatedAt, string(r.value))]++
		}
		for row, n := range rows {
			if n > 1 {
				t.Errorf("a record is there %d times: %.40q", n, row)
			}
		}
	})
}

// A worker that is stopped in the middle of reading again goes on there.
func TestReadingAgainForLinesGoesOnWhereItWas(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 905, Rows: 300, Objects: []string{"invoices"}, PageCap: 10, Latency: time.Second}, func(h *harness) {
		h.start()
		h.pass(5 * time.Minute)
		h.stop()
		h.keys["lines"] = config.LinesBoth
		for range 4 {
			h.start()
			h.tenant.Update("invoices", 250)
			h.pass(9 * time.Second)
			h.stop()
		}
		part := len(h.records(lineTopic))
		r := h.start()
		h.pass(10 * time.Minute)
		if s := r.Connectors()[0].Tasks[0]; s.Rows >= 300 || part == 0 {
			t.Errorf("%d rows were read after the last start, and %d lines published before it: it did not go on", s.Rows, part)
		}
		h.check("invoices")
		h.linesFitRows("invoices")
	})
}

// What was read for the backfill and is overtaken by a poll gives neither lines nor tombstones.
func TestABackfillBesidePollsGivesNoOldLines(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 906, Rows: 400, Objects: []string{"purchase_orders"}, PageCap: 10, Latency: 300 * time.Millisecond}, func(h *harness) {
		h.keys["lines"], h.worker["transaction.commit.interval.ms"] = config.LinesBoth, "900"
		h.start()
		for i := range int64(60) {
			h.tenant.Update("purchase_orders", 1+i*7%400)
			h.tenant.RemoveLine("purchase_orders", 1+i*11%400)
			h.tenant.Update("purchase_orders", 1+i*11%400)
			h.pass(400 * time.Millisecond)
		}
		h.pass(10 * time.Minute)
		h.check("purchase_orders")
		h.linesFitRows("purchase_orders")
	})
}

// A row whose lines can't be told apart can't go; its lines stay as they were until it can.
func TestARowWithALineWithoutAnIdIsADeadLetter(t *testing.T) {
	longRaced(t)
	simulate(t, invoices(907, 30), func(h *harness) {
		h.keys["lines"] = config.LinesTopics
		h.keys["errors.tolerance"], h.keys["errors.deadletterqueue.topic.name"] = "all", "coupa.dead"
		h.tenant.SetMember("invoices", 5, "invoice-lines", linesJSON(9001, 9002))
		r := h.start()
		h.settle()
		before := len(h.records(lineTopic))
		h.tenant.SetMember("invoices", 5, "invoice-lines", `[{"id":9001},{"description":"no id"}]`)
		h.settle()
		s := r.Connectors()[0].Tasks[0]
		if s.DeadLetters != 1 || !strings.Contains(s.DeadLetter, "field invoice-lines[1]: a line needs an id") {
			t.Errorf("%d dead letters: %s", s.DeadLetters, s.DeadLetter)
		}
		if got := len(h.records(lineTopic)); got != before {
			t.Errorf("%d records of lines", got-before)
		}
		h.tenant.SetMember("invoices", 5, "invoice-lines", linesJSON(9001))
		h.settle()
		if got := len(h.records(lineTopic)); got != before+1 {
			t.Errorf("%d records of lines, want a tombstone", got-before)
		}
		h.check("invoices")
	})
}

// A line larger than its topic takes has its longest texts cut, the
// header is on that line alone, and what is cut is no change of it.
func TestALineThatItsTopicDoesNotTakeIsCut(t *testing.T) {
	simulate(t, invoices(908, 30), func(h *harness) {
		h.keys["lines"], h.keys["record.oversize"] = config.LinesTopics, "trim"
		h.limit(lineTopic, topicTakes)
		large := func(note int) string {
			return fmt.Sprintf(`[{"id":9001,"description":"%s"},{"id":9002,"description":"short"},{"id":9003,"description":"%s"}]`, strings.Repeat("x", largeNote), strings.Repeat("y", note))
		}
		h.tenant.SetMember("invoices", 5, "invoice-lines", large(200))
		r := h.start()
		h.settle()
		if s := r.Connectors()[0].Tasks[0]; s.State != status.Running || s.Trimmed == 0 {
			t.Fatalf("%s %q, %d cut", s.State, s.Trace, s.Trimmed)
		}
		cut := map[int64]string{}
		for _, rec := range h.records(lineTopic) {
			if rec.headers[record.HeaderTrimmed] != "" {
				cut[rec.id] = rec.headers[record.HeaderTrimmed]
			}
		}
		if len(cut) == 0 || !strings.Contains(cut[9001], `"path":"invoice-lines[0].description"`) || strings.Contains(cut[9001], "invoice-lines[2]") || cut[9002] != "" {
			t.Errorf("cut: %v", cut)
		}
		for _, rec := range h.records("coupa.invoices") {
			if rec.headers[record.HeaderTrimmed] != "" {
				t.Errorf("row %d has the header, and no text in it was cut: %s", rec.id, rec.headers[record.HeaderTrimmed])
			}
		}
		before := len(h.records(lineTopic))
		h.tenant.SetMember("invoices", 5, "invoice-lines", large(largeNote))
		h.settle()
		if got := len(h.records(lineTopic)); got != before+1 {
			t.Errorf("%d records of lines more, want that of the line that changed", got-before)
		}
	})
}

// A subject of lines that contradicts their schema is handled as the rows' is.
func TestARefusedSchemaOfLinesIsWidened(t *testing.T) {
	simulate(t, invoices(909, 30), func(h *harness) {
		h.keys["lines"], h.keys["schema.conflict"], h.keys["custom.fields"] = config.LinesTopics, "widen", "map"
		other := h.split("invoices", schemas.Options{Decimals: schemas.DecimalString}).Lists[0].Schema.JSON()
		h.registry.id(lineTopic+"-value", other)
		h.registry.set(func(r *memoryRegistry) {
			r.refuse = func(schema string) bool {
				return strings.Contains(schema, `"name":"InvoiceHeader_invoice_lines"`) && !strings.Contains(schema, `"coupa.branch":2`)
			}
		})
		r := h.start()
		h.settle()
		if s := r.Connectors()[0].Tasks[0]; s.State != status.Running || s.Published != 30 || s.Lines == 0 {
			t.Fatalf("%s %q, %d and %d published", s.State, s.Trace, s.Published, s.Lines)
		}
		for _, rec := range h.records(lineTopic) {
			if !strings.Contains(h.schemaOf(rec), `"coupa.branch":2`) {
				t.Fatal("the schema of a line's record is not the widened one")
			}
		}
	})
}

// A custom field of lines is typed in the lines' own schema
// before the first record with it, and known again from there.
func TestCustomFieldsOfLinesAreTypedInTheirTopics(t *testing.T) {
	longRaced(t)
	simulate(t, invoices(910, 30), func(h *harness) {
		h.keys["lines"], h.keys["custom.fields"] = config.LinesTopics, "typed"
		custom := func(members string) {
			h.tenant.SetMember("invoices", 5, "invoice-lines", `[{"id":9001,"custom-fields":{`+members+`}},{"id":9002,"description":"line 9002"}]`)
		}
		h.start()
		h.settle()
		custom(`"site":"A","depth":1`)
		h.settle()
		h.stop()
		h.state = t.TempDir()
		before := len(h.registry.all)
		h.start()
		h.settle()
		if n := len(h.registry.all); n != before {
			t.Errorf("%d schemas more after a restart without local state", n-before)
		}
		known := h.known(lineTopic)
		custom(`"site":"A","depth":1,"new":true`)
		h.settle()
		if more := h.newer(lineTopic, known); len(more) != 1 || more[0].id != 9001 {
			t.Errorf("%d records of lines more, want that of the line with the new field", len(more))
		}
		_, texts := h.lineRecords("acme", "invoices", "invoice_lines")
		if !slices.ContainsFunc(texts, func(text string) bool {
			return strings.Contains(text, `"custom_fields":{"depth":1,"new":true,"site":"A"}`)
		}) {
			t.Error("no record has the new field typed")
		}
		h.check("invoices")
	})
}

// Lines have the format and the envelope of their rows; the tombstone of a line is null.
func TestLinesHaveTheFormatOfTheirRows(t *testing.T) {
	longRaced(t)
	for _, format := range []string{config.FormatJSON, config.FormatJSONSchema} {
		for _, envelope := range []string{"none", config.EnvelopeDebezium} {
			t.Run(format+"/"+envelope, func(t *testing.T) {
				simulate(t, invoices(911, 20), func(h *harness) {
					h.keys["lines"], h.keys["value.format"], h.keys["envelope"] = config.LinesTopics, format, envelope
					h.tenant.SetMember("invoices", 5, "invoice-lines", linesJSON(9001, 9002))
					h.start()
					h.settle()
					h.tenant.SetMember("invoices", 5, "invoice-lines", linesJSON(9002))
					h.settle()
					last := map[int64]string{}
					for _, r := range h.consume(lineTopic) {
						_, id, err := schemas.ParseKey(r.Key)
						if err != nil {
							t.Fatal(err)
						}
						value := r.Value
						if value != nil && format == config.FormatJSONSchema {
							value = value[5:]
						}
						last[id] = string(value)
						if r.Value == nil {
							continue
						}
						var v struct {
							After  json.RawMessage
							Source struct{ Table string }
						}
						if err := json.Unmarshal(value, &v); err != nil {
							t.Fatal(err)
						}
						if envelope == config.EnvelopeDebezium {
							if last[id] = string(v.After); v.Source.Table != "invoices.invoice_lines" {
								t.Errorf("source.table %q", v.Source.Table)
							}
						}
					}
					if last[9001] != "" || last[9002] != `{"parent_id":5,"id":9002,"description":"line 9002"}` {
						t.Errorf("%q and %q", last[9001], last[9002])
					}
				})
			})
		}
	}
}

// A stream that begins anew, or goes back, publishes lines again
// as it does rows, and knows all the same which of them are gone.
func TestLinesGoOutAgainWhereAPositionIsMoved(t *testing.T) {
	bare(t, invoices(912, 30), func(h *harness, r *running) {
		h.create(r, map[string]string{"coupa.objects": "invoices", "lines": config.LinesTopics})
		h.tenant.SetMember("invoices", 5, "invoice-lines", linesJSON(9001, 9002))
		h.settle()
		rows, lines := len(h.records("coupa.invoices")), len(h.records(lineTopic))
		h.tenant.SetMember("invoices", 5, "invoice-lines", linesJSON(9001))
		h.move(r, status.Offset{Reset: true})
		h.settle()
		// the change may have gone out before
		if n := len(h.records("coupa.invoices")); n != rows+30 && n != rows+31 {
			t.Errorf("%d records of rows, want 30 more than %d", n, rows)
		}
		all := h.records(lineTopic)
		gone := 0
		for _, rec := range all {
			if rec.op == record.OpDelete {
				gone++
			}
		}
		if gone != 1 || len(all) < 2*lines {
			t.Errorf("%d records of lines and %d tombstones, want twice %d and one", len(all), gone, lines)
		}
	})
}

// A position that is moved while what is published is read again for its lines leaves no row without them.
func TestReadingAgainForLinesSurvivesAMove(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 912, Rows: 60, Objects: []string{"invoices"}, PageCap: 10, Latency: 400 * time.Millisecond}, func(h *harness) {
		h.keys["coupa.rate.limit"] = "2"
		h.start()
		h.pass(2 * time.Minute)
		h.stop()
		h.keys["lines"] = config.LinesBoth
		r := h.start()
		for range 200 {
			if s := r.Connectors()[0].Tasks[0]; s.Committed.Backfill != nil && s.Lines > 0 {
				break
			}
			h.pass(100 * time.Millisecond)
		}
		if s := r.Connectors()[0].Tasks[0]; s.Committed.Backfill == nil {
			t.Fatal("nothing is read again for lines")
		}
		h.move(r, status.Offset{UpdatedAt: time.Now()})
		h.pass(3 * time.Minute)
		h.linesFitRows("invoices")
		if n := len(h.records("coupa.invoices")); n != 60 {
			t.Errorf("%d records of rows, want 60", n)
		}
	})
}

// Where another template gives other topics, a row that changes has all its lines there.
func TestARowThatGoesToAnotherTopicTakesItsLinesAlong(t *testing.T) {
	longRaced(t)
	simulate(t, invoices(913, 20), func(h *harness) {
		h.keys["lines"] = config.LinesTopics
		h.tenant.SetMember("invoices", 5, "invoice-lines", linesJSON(9001, 9002))
		h.start()
		h.settle()
		h.stop()
		h.keys["topic.template"] = "other.${object}"
		h.start()
		h.settle()
		h.tenant.SetMember("invoices", 5, "invoice-lines", linesJSON(9001, 9002, 9003))
		h.settle()
		if n, lines := len(h.records("other.invoices")), len(h.records("other.invoices.invoice_lines")); n != 1 || lines != 3 {
			t.Errorf("%d records of rows and %d of lines, want one row with its 3 lines", n, lines)
		}
	})
}

// heldBack delivers what a snapshot read only once it is let go: rows as they were.
type heldBack struct {
	stream.Source
	read chan struct{} // one signal: a page is there
	let  chan struct{}
}

func (s heldBack) Fetch(ctx context.Context, q coupa.Query, yield func(coupa.Row) error) (coupa.Page, error) {
	if q.Priority != coupa.PrioritySnapshot {
		return s.Source.Fetch(ctx, q, yield)
	}
	var rows []coupa.Row
	page, err := s.Source.Fetch(ctx, q, func(row coupa.Row) error {
		row.JSON = slices.Clone(row.JSON)
		rows = append(rows, row)
		return nil
	})
	select {
	case s.read <- struct{}{}:
	default:
	}
	<-s.let
	for _, row := range rows {
		err = errors.Join(err, yield(row))
	}
	return page, err
}

// A line moves while a page that still has it in the old row is on its way. The old
// row comes last, and neither its line's new row nor, in the end, the line is lost.
func TestALineThatMovesBehindAPageOnItsWayIsNotLost(t *testing.T) {
	bare(t, invoices(912, 30), func(h *harness, r *running) {
		held := heldBack{read: make(chan struct{}, 1), let: make(chan struct{})}
		h.source = func(s stream.Source) stream.Source { held.Source = s; return held }
		h.tenant.SetMember("invoices", 5, "invoice-lines", linesJSON(9001, 9002))
		h.tenant.SetMember("invoices", 9, "invoice-lines", linesJSON(9003))
		h.create(r, map[string]string{"lines": config.LinesTopics, "coupa.objects": "invoices"})
		h.pass(3 * time.Minute)
		h.snapshot(r, status.SnapshotRequest{})
		<-held.read
		h.tenant.SetSilent("invoices", 5, "invoice-lines", linesJSON(9002))
		v := h.tenant.SetMember("invoices", 9, "invoice-lines", linesJSON(9003, 9001))
		h.pass(10 * time.Second)
		close(held.let)
		h.pass(10 * time.Second)
		h.tenant.Update("invoices", 5) // which shows that the line is not there
		h.pass(10 * time.Second)
		var last readRecord
		for _, rec := range h.records(lineTopic) {
			if rec.id == 9001 {
				last = rec
			}
		}
		if last.value == nil || last.updatedAt != v.UpdatedAt.UTC().Format(time.RFC3339) {
			t.Errorf("the line ends as %s of %s (%d bytes), want it as row 9 of %v has it", last.op, last.updatedAt, len(last.value), v.UpdatedAt)
		}
		if moved := r.Connectors()[0].Tasks[0].Committed.Moved; len(moved) > 0 {
			t.Errorf("rows %v are still to be read again", moved)
		}
	})
}
