package connector

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/coupa/coupatest"
	"github.com/coupastream/coupastream/schemas"
)

// linesOf says where the harness's connectors send lines of an object.
func (h *harness) linesOf(object string) string {
	return cmp.Or(h.keys["object."+object+".lines"], h.keys["lines"], config.LinesEmbedded)
}

// split takes the schema of an object apart as a worker does.
func (h *harness) split(object string, options schemas.Options) *schemas.Split {
	h.t.Helper()
	s, err := schemas.For(object, options)
	if err != nil {
		h.t.Fatal(err)
	}
	split, err := s.Split(h.linesOf(object) == config.LinesBoth)
	if err != nil {
		h.t.Fatal(err)
	}
	return split
}

// rowEncoder gives the value of a row's own record, without framing. A row that can't be encoded gives nil.
func (h *harness) rowEncoder(object string, options schemas.Options) func(row []byte) []byte {
	encode := h.encoder(object, options)
	if h.linesOf(object) != config.LinesTopics {
		return encode
	}
	sp, err := h.split(object, options).Splitter()
	if err != nil {
		h.t.Fatal(err)
	}
	return func(row []byte) []byte {
		value := encode(row)
		if value == nil || sp.Split(1, value) != nil {
			return nil
		}
		return bytes.Clone(sp.Row())
	}
}

// tenantLine is a line of a row of a tenant.
type tenantLine struct {
	list   string // of the topic
	parent int64
	id     int64
	text   string // what it holds, the parent's id included, as JSON with its members in order
}

func canonical(text []byte) string {
	var v any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		panic(err)
	}
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// liner gives the lines of rows as records of a schema with these options hold them.
func (h *harness) liner(object string, options schemas.Options) func(id int64, row []byte) []tenantLine {
	encode, split := h.encoder(object, options), h.split(object, options)
	sp, err := split.Splitter()
	if err != nil {
		h.t.Fatal(err)
	}
	return func(id int64, row []byte) []tenantLine {
		value := encode(row)
		if value == nil || sp.Split(id, value) != nil {
			return nil
		}
		var all []tenantLine
		for _, l := range sp.Lines() {
			of := split.Lists[l.List]
			all = append(all, tenantLine{of.Name, id, l.ID, h.lineText(of.Schema, l.Value)})
		}
		return all
	}
}

func (h *harness) lineText(s *schemas.Schema, value []byte) string {
	h.t.Helper()
	key := lineContent{s, string(value)}
	if text, made := h.texts[key]; made {
		return text
	}
	plan, err := s.Plan()
	if err != nil {
		h.t.Fatal(err)
	}
	text, err := plan.AppendJSON(nil, value)
	if err != nil {
		h.t.Fatal(err)
	}
	h.texts[key] = canonical(text)
	return h.texts[key]
}

// lineContent is a value of a line's record.
type lineContent struct {
	schema *schemas.Schema
	value  string
}

// lineRecords reads the topic of a list's lines, with what each record holds; "": a tombstone.
func (h *harness) lineRecords(name, object, list string) (records []readRecord, texts []string) {
	h.t.Helper()
	_, prefix := h.named(name)
	kinds := map[int]*schemas.Schema{}
	h.each(prefix+object+"."+list, func(r *kgo.Record) {
		rec := parseRecord(h.t, name, r)
		records = append(records, rec)
		if rec.value == nil {
			texts = append(texts, "")
			return
		}
		id := schemaID(rec.value)
		if kinds[id] == nil {
			lists := h.split(object, h.registry.options(h.t, id)).Lists
			kinds[id] = lists[slices.IndexFunc(lists, func(l schemas.List) bool { return l.Name == list })].Schema
		}
		texts = append(texts, h.lineText(kinds[id], rec.value[5:]))
	})
	return records, texts
}

func schemaID(value []byte) int {
	return int(value[1])<<24 | int(value[2])<<16 | int(value[3])<<8 | int(value[4])
}

// checkLines compares the topics of an object's lines with the tenant's history: no
// line is lost or left behind, none is published twice or without having changed,
// none holds what it never held, and tombstones are of lines that were there.
func (h *harness) checkLines(name, object string) {
	h.t.Helper()
	tenant, _ := h.named(name)
	versions, rows := tenant.Versions(object), tenant.Rows(object)
	// by what records have: as in the last schema
	as := map[*schemas.Schema]func(tenantLine) (tenantLine, bool){}
	for _, list := range h.split(object, schemas.Options{}).Lists {
		last := h.liner(object, h.lastOptions(name, object, list.Name))
		got := h.compacted(name, object, list.Name, func(schema int, l tenantLine) tenantLine {
			options := h.registry.options(h.t, schema)
			s, err := schemas.For(object, options)
			if err != nil {
				h.t.Fatal(err)
			}
			if as[s] == nil {
				as[s] = formerLines(versions, h.liner(object, options), last)
			}
			now, ever := as[s](l)
			if !ever {
				h.t.Errorf("line %d of %s: its record equals nothing that the tenant had: %s", l.id, list.Name, l.text)
			}
			return now
		})
		clear(as)
		want := map[tenantLine]bool{}
		for _, row := range rows {
			for _, l := range last(row.ID, row.JSON) {
				want[l] = true
			}
		}
		for l := range want {
			if l.list == list.Name && got[l.id] != l {
				h.t.Errorf("line %d of %s: the topic has %v, the tenant %v", l.id, list.Name, got[l.id], l)
			}
		}
		for _, l := range got {
			if !want[l] {
				h.t.Errorf("line %d of %s is in the topic, and gone from row %d of the tenant: %s", l.id, list.Name, l.parent, l.text)
			}
		}
	}
}

// formerLines gives lines of the versions, as former gives them, in the form that
// last gives them: what a schema has no type for yet stands elsewhere in a record.
func formerLines(versions []coupatest.Version, former, last func(id int64, row []byte) []tenantLine) func(tenantLine) (tenantLine, bool) {
	forms := map[tenantLine]tenantLine{}
	for _, row := range versions {
		now := last(row.ID, row.JSON)
		for i, l := range former(row.ID, row.JSON) {
			forms[l] = now[i]
		}
	}
	return func(l tenantLine) (tenantLine, bool) {
		now, ever := forms[l]
		return now, ever
	}
}

// compacted is what stays of a topic of lines when it is compacted, each line
// as form gives what a record of the schema with this id holds; nil: as it is.
func (h *harness) compacted(name, object, list string, form func(schema int, l tenantLine) tenantLine) map[int64]tenantLine {
	h.t.Helper()
	records, texts := h.lineRecords(name, object, list)
	got, formed, stamps := map[int64]tenantLine{}, map[int64]tenantLine{}, map[int64]string{}
	for i, r := range records {
		last, there := got[r.id]
		if (r.op == record.OpDelete) != (texts[i] == "") {
			h.t.Errorf("line %d of %s: a record with the operation %s, and the value %q", r.id, list, r.op, texts[i])
		}
		if texts[i] == "" {
			if !there {
				h.t.Errorf("line %d of %s: a tombstone of a line that is not there", r.id, list)
			}
			delete(got, r.id)
			delete(formed, r.id)
			continue
		}
		var parent struct {
			ID int64 `json:"parent_id"`
		}
		if err := json.Unmarshal([]byte(texts[i]), &parent); err != nil {
			h.t.Fatal(err)
		}
		l := tenantLine{list, parent.ID, r.id, texts[i]}
		if there && last == l {
			h.t.Errorf("line %d of %s of row %d was published again, and had not changed", r.id, list, parent.ID)
		}
		if there && last.parent == l.parent && stamps[r.id] > r.updatedAt {
			h.t.Errorf("line %d of %s of row %d: the version of %s came after that of %s", r.id, list, parent.ID, r.updatedAt, stamps[r.id])
		}
		got[r.id], stamps[r.id] = l, r.updatedAt
		if formed[r.id] = l; form != nil {
			formed[r.id] = form(schemaID(r.value), l)
		}
	}
	return formed
}

// lastOptions are those of the last schema that the records of a list's lines have.
func (h *harness) lastOptions(name, object, list string) schemas.Options {
	h.t.Helper()
	_, prefix := h.named(name)
	last := 0
	h.each(prefix+object+"."+list, func(r *kgo.Record) {
		if r.Value != nil {
			last = max(last, schemaID(r.Value))
		}
	})
	if last == 0 {
		return schemas.Options{}
	}
	return h.registry.options(h.t, last)
}

// linesFitRows compares, of an object whose lines are in the rows too, what
// the topics hold at any moment: lines and rows come in one transaction.
func (h *harness) linesFitRows(object string) {
	h.t.Helper()
	rows := map[int64]readRecord{}
	for _, r := range h.records("coupa." + object) {
		rows[r.id] = r
	}
	want := map[string]int{} // by what a line holds
	type taken struct {
		*schemas.Split
		*schemas.Splitter
	}
	apart := map[int]taken{} // by schema id: few schemas, many rows
	for _, r := range rows {
		id := schemaID(r.value)
		if _, made := apart[id]; !made {
			split := h.split(object, h.registry.options(h.t, id))
			sp, err := split.Splitter()
			if err != nil {
				h.t.Fatal(err)
			}
			apart[id] = taken{split, sp}
		}
		by := apart[id]
		if err := by.Splitter.Split(r.id, r.value[5:]); err != nil {
			h.t.Fatal(err)
		}
		for _, l := range by.Splitter.Lines() {
			of := by.Lists[l.List]
			want[fmt.Sprint(of.Name, l.ID, h.lineText(of.Schema, l.Value))]++
		}
	}
	got := map[string]int{}
	for _, list := range h.split(object, schemas.Options{}).Lists {
		for _, l := range h.compacted("acme", object, list.Name, nil) {
			got[fmt.Sprint(l.list, l.id, l.text)]++
		}
	}
	if !maps.Equal(got, want) {
		h.t.Errorf("the topics of lines do not hold what the rows hold: %d lines, %d in the rows\nlines: %.2000s\nrows: %.2000s", len(got), len(want), strings.Join(slices.Sorted(maps.Keys(got)), "\n"), strings.Join(slices.Sorted(maps.Keys(want)), "\n"))
	}
}

// known are the records of a topic, by partition and offset.
func (h *harness) known(topic string) map[[2]int64]bool {
	h.t.Helper()
	all := map[[2]int64]bool{}
	for _, r := range h.records(topic) {
		all[[2]int64{int64(r.partition), r.offset}] = true
	}
	return all
}

// newer are the records of a topic that have come since known.
func (h *harness) newer(topic string, known map[[2]int64]bool) []readRecord {
	h.t.Helper()
	return slices.DeleteFunc(h.records(topic), func(r readRecord) bool { return known[[2]int64{int64(r.partition), r.offset}] })
}
