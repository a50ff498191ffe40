package verify_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/verify"
)

// with gives a record another header.
func with(r *kgo.Record, key, value string) *kgo.Record {
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: key, Value: []byte(value)})
	return r
}

// What one row's records show: r is a record of its version, R one that somebody asked for, D a delete, d
// the record with a value that an envelope has before a delete.
func TestRepeatsAndDeletes(t *testing.T) {
	for _, c := range []struct {
		what, records string
		gone          bool // the row, from Coupa
		strict, late  bool // the row is stamped before initial.from
		want          string
		requested     int64
	}{
		{what: "it was asked for once more", records: "rR", requested: 1},
		{what: "it was asked for twice", records: "rRR", requested: 2},
		{what: "it was asked for, and that counts", records: "rR", strict: true, want: "duplicate", requested: 1},
		{what: "only a request has published it", records: "R"},
		{what: "it is repeated after a request", records: "Rr", want: "duplicate"},
		{what: "it is repeated", records: "rr", want: "duplicate"},
		{what: "it is gone", records: "r", gone: true, want: "extra"},
		{what: "it is gone and deleted", records: "rD", gone: true},
		{what: "it is gone and deleted, in an envelope", records: "rdD", gone: true},
		{what: "it is there and deleted", records: "rD", want: "missing"},
		{what: "it is there and half deleted", records: "rd", want: "missing"},
		{what: "it was published after it was deleted", records: "rDr"},
		{what: "it was repeated after it was deleted", records: "rDrr", want: "duplicate"},
		{what: "it was repeated before it was deleted", records: "rrDr", want: "duplicate"},
		{what: "it is old", late: true},
		{what: "it is old, there and deleted", records: "rD", late: true, want: "missing"},
	} {
		compareRows(t, "suppliers", 1, []string{"coupa.suppliers"}, func(s *scene) {
			row := s.tenant.Rows("suppliers")[0]
			if c.late {
				s.object.InitialFrom = config.InitialFrom{At: time.Now()}
			}
			for _, kind := range c.records {
				r := recordOf("acme", row.ID, row.UpdatedAt, "row")
				switch kind {
				case 'R':
					with(r, record.HeaderReason, record.ReasonRequested)
				case 'D':
					r.Value = nil
					with(r, record.HeaderOp, record.OpDelete)
				case 'd':
					with(r, record.HeaderOp, record.OpDelete)
				}
				s.publish(kgo.TryCommit, r)
			}
			if c.gone {
				s.tenant.Delete("suppliers", row.ID)
			}
			cfg := s.config()
			cfg.Strict = c.strict
			r, err := verify.Object(s.t.Context(), cfg)
			var found []string
			for _, f := range r.Findings {
				found = append(found, string(f.Difference))
				if wants := f.Difference == verify.Missing; f.Deleted != wants {
					t.Errorf("%s: %+v", c.what, f)
				}
			}
			if err != nil || !slices.Equal(found, slices.DeleteFunc([]string{c.want}, func(s string) bool { return s == "" })) || r.Requested != c.requested {
				t.Errorf("%s (%s): found %q, %d asked for, %v; want %q and %d", c.what, c.records, found, r.Requested, err, c.want, c.requested)
			}
		})
	}
}

// A row that is deleted, with its tombstone, while it is compared is no difference.
func TestARowThatGoesMeanwhileIsNoDifference(t *testing.T) {
	compareRows(t, "suppliers", 1, []string{"coupa.suppliers"}, func(s *scene) {
		row := s.tenant.Rows("suppliers")[0]
		s.publish(kgo.TryCommit, recordOf("acme", row.ID, row.UpdatedAt, "row"), with(recordOf("acme", row.ID, row.UpdatedAt, ""), record.HeaderOp, record.OpDelete))
		time.AfterFunc(s.object.PollInterval, func() { s.tenant.Delete("suppliers", row.ID) })
		if r, found := s.report(); found != nil {
			t.Errorf("%+v", r)
		}
	})
}

// at gives a record the timestamp of another time than that at which it is produced.
func at(r *kgo.Record, when time.Time) *kgo.Record {
	r.Timestamp = when
	return r
}

func TestOnlyWhatIsStampedSinceIsCompared(t *testing.T) {
	compareRows(t, "suppliers", 8, []string{"coupa.suppliers"}, func(s *scene) {
		rows := s.tenant.Rows("suppliers")
		old := func(i int) *kgo.Record { return recordOf("acme", rows[i].ID, rows[i].UpdatedAt, "old") }
		// 6 and 7 are missing from before, and 3 is extra
		s.publish(kgo.TryCommit, old(0), old(1), old(2), old(3), old(4), old(5))
		s.tenant.Delete("suppliers", rows[3].ID)
		<-time.After(3 * time.Hour)
		since := time.Now()
		<-time.After(time.Minute)
		now := func(i int) *kgo.Record {
			v := s.tenant.Update("suppliers", rows[i].ID)
			return recordOf("acme", v.ID, v.UpdatedAt, "new")
		}
		lost, gone := s.tenant.Create("suppliers"), s.tenant.Create("suppliers")
		twice := now(2)
		again := *twice
		s.publish(kgo.TryCommit, at(now(0), since.Add(-2*time.Hour))) // by a clock that is behind
		s.publish(kgo.TryCommit, twice, &again, with(old(5), record.HeaderReason, record.ReasonRequested), recordOf("acme", gone.ID, gone.UpdatedAt, "gone"))
		now(1) // not published
		s.publish(kgo.TryCommit, with(recordOf("acme", rows[4].ID, rows[4].UpdatedAt, ""), record.HeaderOp, record.OpDelete),
			with(recordOf("acme", rows[3].ID, rows[3].UpdatedAt, ""), record.HeaderOp, record.OpDelete))
		s.tenant.Delete("suppliers", gone.ID)
		<-time.After(time.Minute)
		cfg := s.config()
		cfg.Since = since
		r, err := verify.Object(s.t.Context(), cfg)
		var found []string
		for _, f := range r.Findings {
			found = append(found, fmt.Sprint(f.Difference, " ", f.ID, " ", f.Deleted))
		}
		want := []string{
			fmt.Sprint("missing ", rows[4].ID, " true"), fmt.Sprint("missing ", lost.ID, " false"), fmt.Sprint("stale ", rows[1].ID, " false"),
			fmt.Sprint("duplicate ", rows[2].ID, " false"), fmt.Sprint("extra ", gone.ID, " false"),
		}
		if err != nil || !slices.Equal(found, want) || !r.Since.Equal(since.Truncate(time.Second)) || r.Truncated {
			t.Errorf("found %q, %v, want %q\n%+v", found, err, want, r)
		}
		if r.Rows != 5 || r.Records >= 13 {
			t.Errorf("%d rows and %d records were compared, want the 4 stamped since and the one whose delete is, and none from before that", r.Rows, r.Records)
		}
		cfg.Since = time.Time{}
		if r, err := verify.Object(s.t.Context(), cfg); err != nil || r.Count(verify.Missing) != 4 {
			t.Errorf("without a bound: %v, %+v", err, r)
		}
	})
}

// Of rows that are stamped since, only lines that have changed since then went out since.
func TestOnlyLinesThatHaveChangedSinceAreMissed(t *testing.T) {
	ofLines(t, func(s *scene) {
		rows := s.tenant.Rows("invoices")
		<-time.After(3 * time.Hour)
		since := time.Now()
		<-time.After(time.Minute)
		line := func(id int, changed bool) string {
			stamp := since.Add(-time.Hour)
			if changed {
				stamp = time.Now()
			}
			return fmt.Sprintf(`{"id":%d,"updated-at":%q}`, id, stamp.UTC().Format(time.RFC3339))
		}
		set := func(i int, lines string) time.Time {
			return s.tenant.SetMember("invoices", rows[i].ID, "invoice-lines", "["+lines+"]").UpdatedAt
		}
		set(0, line(1, false)+","+line(2, true)) // 2 is missing
		v := set(1, line(11, true)+","+line(12, false))
		w := set(2, line(21, true))
		s.publish(kgo.TryCommit, lineRecord(11, rows[1].ID, v, "a"), lineRecord(13, rows[1].ID, v, "gone"), lineRecord(12, 0, v, ""),
			lineRecord(21, rows[0].ID, w, "of another row"), lineRecord(99, rows[3].ID, w, "of a row from before"))
		<-time.After(time.Minute)
		cfg := s.config()
		cfg.Since = since
		reports, err := verify.Lines(s.t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, r := range reports {
			for _, f := range r.Findings {
				found = append(found, fmt.Sprint(f.Difference, " ", f.ID, " of ", f.Row))
			}
		}
		want := []string{
			fmt.Sprint("missing 2 of ", rows[0].ID), fmt.Sprint("missing 12 of ", rows[1].ID), fmt.Sprint("stale 21 of ", rows[2].ID), fmt.Sprint("extra 13 of ", rows[1].ID),
		}
		if !slices.Equal(found, want) {
			t.Errorf("found %q, want %q", found, want)
		}
	})
}

// The share that is done grows to the whole, of Coupa and then of the topic.
func TestTheShareThatIsDoneIsTold(t *testing.T) {
	ofUsers(t, 130, func(s *scene) {
		var records []*kgo.Record
		for _, row := range s.tenant.Rows("users") {
			r := recordOf("acme", row.ID, row.UpdatedAt, "x")
			r.Headers[1].Value = []byte("users")
			records = append(records, r)
		}
		s.publish(kgo.TryCommit, records...)
		cfg := s.config()
		var told []verify.Progress
		cfg.Progress = func(p verify.Progress) { told = append(told, p) }
		if r, err := verify.Object(s.t.Context(), cfg); err != nil || len(r.Findings) > 0 {
			t.Fatalf("%+v, %v", r, err)
		}
		ended := map[string]verify.Progress{}
		for _, p := range told {
			if before := ended[p.Reading]; p.Done < before.Done || p.Done > p.Total {
				t.Errorf("%+v after %+v", p, before)
			}
			ended[p.Reading] = p
		}
		if c, k := ended["Coupa"], ended["coupa.suppliers"]; len(ended) != 2 || c.Done != c.Total || c.Rows != 130 || k.Done != k.Total || k.Done < 130 || k.Records != 130 {
			t.Errorf("%+v", ended)
		}
	})
}
