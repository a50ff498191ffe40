package verify_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/verify"
	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/avroname"
)

const lineTopic = "coupa.invoices.invoice_lines"

// lineRecord is a line's, in Avro; of row 0 a tombstone.
func lineRecord(id, row int64, at time.Time, rest string) *kgo.Record {
	r := recordOf("acme", id, at, "")
	r.Topic, r.Headers[1].Value = lineTopic, []byte("invoices")
	if row > 0 {
		r.Value = append(binary.AppendVarint(schemas.AppendHeader(nil, 1), row), rest...)
	}
	return r
}

func ofLines(t *testing.T, f func(*scene)) {
	lists, err := schemas.Lists("invoices")
	if err != nil {
		t.Fatal(err)
	}
	var topics []string
	for _, name := range avroname.Fields(lists) {
		topics = append(topics, "coupa.invoices."+name)
	}
	compareIn(t, "invoices", topics, func(s *scene) {
		s.object.Topic, s.object.Lines = "coupa.invoices", config.LinesTopics
		for i, row := range s.tenant.Rows("invoices") {
			for _, list := range lists {
				s.tenant.SetMember("invoices", row.ID, list, "[]")
			}
			s.tenant.SetMember("invoices", row.ID, "invoice-lines", fmt.Sprintf(`[{"id":%d},{"id":%d}]`, 10*i+1, 10*i+2))
		}
		<-time.After(time.Hour)
		f(s)
	})
}

func (s *scene) lines() (verify.Report, []string) {
	s.t.Helper()
	reports, err := verify.Lines(s.t.Context(), s.config())
	if err != nil {
		s.t.Fatal(err)
	}
	i := slices.IndexFunc(reports, func(r verify.Report) bool { return r.List == "invoice_lines" && r.Topic == lineTopic })
	if i < 0 {
		s.t.Fatalf("%+v, want one report of invoice_lines", reports)
	}
	var found []string
	for _, f := range reports[i].Findings {
		found = append(found, fmt.Sprint(f.Difference, " ", f.ID, " of ", f.Row, " ", f.RowGone))
	}
	return reports[i], found
}

func TestLinesThatAreAsCoupaHasThemDoNotDiffer(t *testing.T) {
	ofLines(t, func(s *scene) {
		for i, row := range s.tenant.Rows("invoices") {
			s.publish(kgo.TryCommit, lineRecord(int64(10*i+1), row.ID, row.UpdatedAt, "a"), lineRecord(int64(10*i+2), row.ID, row.UpdatedAt, "b"), lineRecord(int64(10*i+3), row.ID, row.UpdatedAt, "c"))
			s.publish(kgo.TryCommit, lineRecord(int64(10*i+3), 0, row.UpdatedAt.Add(time.Second), ""))
		}
		if r, found := s.lines(); found != nil || r.Rows != 10 || r.Records != 20 {
			t.Errorf("%+v", r)
		}
	})
}

func TestEachDifferenceOfLinesIsFound(t *testing.T) {
	ofLines(t, func(s *scene) {
		rows := s.tenant.Rows("invoices")
		at := func(i int) time.Time { return rows[i].UpdatedAt }
		gone := s.tenant.Create("invoices")
		s.tenant.Delete("invoices", gone.ID)
		published := []*kgo.Record{
			lineRecord(1, rows[0].ID, at(0), "a"), // 2 is missing
			lineRecord(11, rows[1].ID, at(1), "a"), lineRecord(12, rows[1].ID, at(1), "b"), lineRecord(13, rows[1].ID, at(1), "gone"),
			lineRecord(21, rows[0].ID, at(0), "of another row"), lineRecord(22, rows[2].ID, at(2), "b"),
			lineRecord(31, rows[3].ID, at(3), "twice"), lineRecord(31, rows[3].ID, at(3), "twice"), lineRecord(32, rows[3].ID, at(3), "b"),
			lineRecord(41, rows[4].ID, at(4), "a"), lineRecord(42, rows[4].ID, at(4), "b"), lineRecord(42, 0, at(4), ""),
			lineRecord(99, gone.ID, gone.UpdatedAt, "a"),
		}
		s.publish(kgo.TryCommit, published...)
		_, found := s.lines()
		want := []string{
			fmt.Sprint("missing 2 of ", rows[0].ID, " false"), fmt.Sprint("missing 42 of ", rows[4].ID, " false"), fmt.Sprint("stale 21 of ", rows[2].ID, " false"),
			fmt.Sprint("duplicate 31 of ", rows[3].ID, " false"), fmt.Sprint("extra 13 of ", rows[1].ID, " false"), fmt.Sprint("extra 99 of ", gone.ID, " true"),
		}
		if !slices.Equal(found, want) {
			t.Errorf("found %q, want %q", found, want)
		}
	})
}

// Where a list is something else, or one of its lines has no id, the topic keeps what it had.
// Of a row that is exported the topic has the lines of before, or none.
func TestLinesOfRowsThatAreNotStreamedAreNoDifference(t *testing.T) {
	ofLines(t, func(s *scene) {
		s.object.ExportedMode = config.ExportedMark
		at := time.Now().Add(-time.Hour)
		rows := s.tenant.Rows("invoices")
		s.publish(kgo.TryCommit, lineRecord(1, rows[0].ID, at, "a"), lineRecord(99, rows[0].ID, at, "gone since"), lineRecord(11, rows[1].ID, at, "a"), lineRecord(12, rows[1].ID, at, "a"))
		for _, i := range []int{0, 2, 3, 4} {
			s.tenant.MarkExported("invoices", rows[i].ID)
		}
		if _, found := s.lines(); found != nil {
			t.Errorf("found %q", found)
		}
		s.object.ExportedMode = config.ExportedOff
		if _, found := s.lines(); len(found) != 8 {
			t.Errorf("found %q of rows that are streamed whatever their flag", found)
		}
	})
}

func TestLinesThatCannotBeReadAreNoDifference(t *testing.T) {
	ofLines(t, func(s *scene) {
		for i, row := range s.tenant.Rows("invoices") {
			s.publish(kgo.TryCommit, lineRecord(int64(10*i+1), row.ID, row.UpdatedAt, "a"), lineRecord(int64(10*i+2), row.ID, row.UpdatedAt, "b"))
		}
		for i, value := range []string{`"text"`, `[{"id":11},{}]`, `[{"id":21},7]`} {
			s.tenant.SetSilent("invoices", s.tenant.Rows("invoices")[i].ID, "invoice-lines", value)
		}
		if r, found := s.lines(); found != nil {
			t.Errorf("%+v", r)
		}
	})
}

// What comes, goes and moves while it is compared is no difference: it is looked at twice.
func TestLinesThatAreOnTheirWayAreNoDifference(t *testing.T) {
	ofLines(t, func(s *scene) {
		rows := s.tenant.Rows("invoices")
		for i, row := range rows {
			s.publish(kgo.TryCommit, lineRecord(int64(10*i+1), row.ID, row.UpdatedAt, "a"), lineRecord(int64(10*i+2), row.ID, row.UpdatedAt, "b"))
		}
		s.tenant.SetSilent("invoices", rows[0].ID, "invoice-lines", `[{"id":1},{"id":3}]`)
		time.AfterFunc(s.object.PollInterval, func() {
			at := rows[0].UpdatedAt
			s.publish(kgo.TryCommit, lineRecord(2, 0, at, ""), lineRecord(3, rows[0].ID, at, "new"))
		})
		if r, found := s.lines(); found != nil {
			t.Errorf("%+v", r)
		}
	})
}

func TestObjectsWithoutTopicsOfLinesHaveNoReportOfThem(t *testing.T) {
	compareIn(t, "invoices", []string{lineTopic}, func(s *scene) {
		for _, where := range []string{"", config.LinesEmbedded} {
			s.object.Lines = where
			if reports, err := verify.Lines(s.t.Context(), s.config()); err != nil || reports != nil {
				t.Errorf("%q: %+v, %v", where, reports, err)
			}
		}
	})
}

func TestALineTellsItsRowInEveryFormat(t *testing.T) {
	for value, want := range map[string]int64{
		"\x00\x00\x00\x00\x01\x0e": 7, "\x00\x00\x00\x00\x01\x00\x02\x0erest": 7,
		`{"parent_id":7,"id":1}`: 7, `{"before":null,"after":{"parent_id":7},"op":"u"}`: 7, "\x00\x00\x00\x00\x01" + `{"parent_id":7}`: 7,
		"": 0, "\x00\x00\x00\x00\x01": 0, "\x00\x00\x00\x00\x01\x01": 0, `{"id":7}`: 0, "{": 0, "text": 0,
	} {
		if got, err := schemas.ParseParent([]byte(value)); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d, %v, want %d", value, got, err, want)
		}
	}
}
