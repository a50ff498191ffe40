package verify_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupastream/coupastream/connector/verify"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// ofUsers has a tenant of so many users, ids from 1 on, of which none is in the topic.
func ofUsers(t *testing.T, rows int, f func(*scene)) {
	t.Helper()
	compareRows(t, "users", rows, []string{"coupa.suppliers"}, f)
}

// missing are the ids that a comparison misses, which is all that it finds.
func (s *scene) missing() (verify.Report, []int64) {
	s.t.Helper()
	r, err := verify.Object(s.t.Context(), s.config())
	if err != nil {
		s.t.Fatal(err)
	}
	var ids []int64
	for _, f := range r.Findings {
		if f.Difference != verify.Missing {
			s.t.Errorf("%+v", f)
		}
		ids = append(ids, f.ID)
	}
	return r, ids
}

// hide leaves the rows with ids from first to last out of all answers, and gives the ids of the others.
func (s *scene) hide(first, last int64) (others []int64) {
	for _, row := range s.tenant.Rows("users") {
		if row.ID < first || row.ID > last {
			others = append(others, row.ID)
			continue
		}
		s.tenant.LeaveOut("users", row.ID, -1)
	}
	return others
}

func TestAShortPageEndsNoWalk(t *testing.T) {
	for _, times := range []int{1, -1} {
		ofUsers(t, 130, func(s *scene) {
			var want []int64
			for _, row := range s.tenant.Rows("users") {
				if row.ID != 60 {
					want = append(want, row.ID)
				}
			}
			s.tenant.LeaveOut("users", 60, times)
			if r, ids := s.missing(); !slices.Equal(ids, want) || r.Rows != 129 || r.Skipped != nil {
				t.Errorf("left out %d times: %d rows, missing %v, stepped over %v", times, r.Rows, ids, r.Skipped)
			}
		})
	}
}

func TestHiddenRowsInARowEndNoWalk(t *testing.T) {
	// 50 rows in a row, 120, the first and the last ones, and all
	for _, hidden := range [][2]int64{{51, 107}, {33, 170}, {1, 137}, {200, 9999}, {1, 9999}} {
		ofUsers(t, 300, func(s *scene) {
			want := s.hide(hidden[0], hidden[1])
			if r, ids := s.missing(); !slices.Equal(ids, want) || r.Skipped != nil {
				t.Errorf("%v are hidden: missing %v, stepped over %v", hidden, ids, r.Skipped)
			}
		})
	}
}

// The highest rows are hidden when a walk begins, or from its first page on.
func TestTheHighestIDIsAskedForAtTheBeginningAndAtTheEnd(t *testing.T) {
	for _, fromTheFirstPageOn := range []bool{false, true} {
		ofUsers(t, 300, func(s *scene) {
			s.hide(51, 170)
			hide := func(times int) {
				rows := s.tenant.Rows("users")
				for _, row := range rows[len(rows)-50:] {
					s.tenant.LeaveOut("users", row.ID, times)
				}
			}
			hide(1) // asked for one row, and then for 50, it has none
			s.tenant.LeaveOut("users", s.tenant.Rows("users")[299].ID, 2)
			if fromTheFirstPageOn {
				hide(0)
				s.tenant.OnRequest(func(r coupatest.Request) {
					if r.Object == "users" && r.Query.Get("dir") == "asc" {
						hide(-1)
					}
				})
			}
			want := int64(171)
			if _, ids := s.missing(); !slices.Contains(ids, want) {
				t.Errorf("from the first page on %v: missing %v, want %d among them", fromTheFirstPageOn, ids, want)
			}
		})
	}
}

func TestWhatIsSteppedOverIsSaid(t *testing.T) {
	ofUsers(t, 2600, func(s *scene) {
		want := slices.DeleteFunc(s.hide(51, 2300), func(id int64) bool { return id > 50 && id <= 2350 })
		r, ids := s.missing()
		if !slices.Equal(ids, want) {
			t.Errorf("%d are missing, want %d", len(ids), len(want))
		}
		if want := []verify.Range{{First: 2101, Last: 2150}, {First: 2201, Last: 2350}}; !slices.Equal(r.Skipped, want) {
			t.Errorf("stepped over %v, want %v", r.Skipped, want)
		}
	})
}

// What the topic has and the walk did not show is asked for by ids until nothing comes: row 1 is left
// out of the walk and of the first answer to its list, and row 2 of the walk alone; row 3 has changed
// too late to be compared.
func TestARowIsGoneWhenAnAnswerWithoutAnyRowShowsIt(t *testing.T) {
	ofUsers(t, 60, func(s *scene) {
		var records []*kgo.Record
		for _, row := range s.tenant.Rows("users") {
			at := row.UpdatedAt
			if row.ID == 2 {
				at = at.Add(-time.Hour)
			}
			r := recordOf("acme", row.ID, at, "x")
			r.Headers[1].Value = []byte("users")
			records = append(records, r)
		}
		s.publish(kgo.TryCommit, records...)
		s.tenant.LeaveOut("users", 1, 2)
		s.tenant.LeaveOut("users", 2, 1)
		s.tenant.Update("users", 3)
		if r, found := s.report(); !slices.Equal(found, []string{"stale 2"}) || r.Rows != 59 {
			t.Errorf("%d rows, %q", r.Rows, found)
		}
	})
}

// tight is an instance whose requests have room for few ids.
type tight struct {
	verify.Source
	room    int
	longest int // list that was asked for
}

func (s *tight) Fits(q coupa.Query) int { return min(s.room, len(q.IDs)) }

func (s *tight) Fetch(ctx context.Context, q coupa.Query, yield func(coupa.Row) error) (coupa.Page, error) {
	s.longest = max(s.longest, len(q.IDs))
	return s.Source.Fetch(ctx, q, yield)
}

func TestListsOfIDsHaveTheLengthThatARequestHasRoomFor(t *testing.T) {
	ofUsers(t, 1, func(s *scene) {
		var records []*kgo.Record
		for id := int64(101); id <= 110; id++ {
			r := recordOf("acme", id, time.Now(), "x")
			r.Headers[1].Value = []byte("users")
			records = append(records, r)
		}
		s.publish(kgo.TryCommit, records...)
		cfg := s.config()
		source := &tight{Source: cfg.Source, room: 3}
		cfg.Source = source
		r, err := verify.Object(s.t.Context(), cfg)
		if err != nil || r.Count(verify.Extra) != 10 || source.longest != 3 {
			t.Errorf("%v, %d are gone, lists of up to %d ids", err, r.Count(verify.Extra), source.longest)
		}
	})
}

// gateway fails to answer with more than so many rows, as one does that has no patience.
type gateway struct {
	verify.Source
	most int
	rows []int64
}

func (g gateway) Fetch(ctx context.Context, q coupa.Query, yield func(coupa.Row) error) (coupa.Page, error) {
	of := g.rows
	if q.IDs != nil {
		of = q.IDs
	}
	of = slices.DeleteFunc(slices.Clone(of), func(id int64) bool { return id <= q.After })
	if min(cmp.Or(q.Limit, 50), len(of)) > g.most {
		err := &coupa.Error{Op: "reading users", Kind: coupa.Retry, Status: 504, Err: errors.New("it took too long")}
		return coupa.Page{LastID: q.After}, err
	}
	return g.Source.Fetch(ctx, q, yield)
}

func TestPagesThatCoupaFailsToSendShrink(t *testing.T) {
	ofUsers(t, 130, func(s *scene) {
		ids := s.hide(9999, 9999)
		cfg := s.config()
		cfg.Source = gateway{cfg.Source, 10, ids}
		r, err := verify.Object(s.t.Context(), cfg)
		if err != nil || r.Rows != 130 || r.Count(verify.Missing) != 130 {
			t.Errorf("%d rows of 130, %v", r.Rows, err)
		}
		var records []*kgo.Record
		for _, id := range ids {
			r := recordOf("acme", id, time.Now(), "x")
			r.Headers[1].Value = []byte("users")
			records = append(records, r)
		}
		s.publish(kgo.TryCommit, records...)
		s.hide(1, 9999) // so that lists of ids are asked for, of which more than 10 fail
		cfg.Source = gateway{s.config().Source, 10, nil}
		if r, err = verify.Object(s.t.Context(), cfg); err != nil || r.Count(verify.Extra) != 130 || len(r.Findings) != 130 {
			t.Errorf("%d are gone, %v", r.Count(verify.Extra), err)
		}
	})
}

// Where Coupa gives the id of a row and fails to send more of it, the others are compared. If it
// does not give the id either, nothing tells what is there, and the comparison ends.
func TestARowThatCoupaFailsToSendIsNotCovered(t *testing.T) {
	ofUsers(t, 130, func(s *scene) {
		var all []int64
		for _, row := range s.tenant.Rows("users") {
			all = append(all, row.ID)
		}
		of := recordOf("acme", 61, time.Now(), "x")
		of.Headers[1].Value = []byte("users")
		s.publish(kgo.TryCommit, of)
		s.tenant.Fail("users", 57, false)
		s.tenant.Fail("users", 61, false)
		r, err := verify.Object(s.t.Context(), s.config())
		var uncovered []int64
		for _, f := range r.Findings {
			if f.Difference == verify.NotCovered {
				uncovered = append(uncovered, f.ID)
			}
		}
		if err != nil || r.Count(verify.Missing) != 128 || !slices.Equal(uncovered, []int64{57, 61}) || len(r.Findings) != 130 {
			t.Errorf("%d of %d missing, %v not covered, %v", r.Count(verify.Missing), len(all), uncovered, err)
		}
		s.tenant.Fail("users", 57, true)
		if _, err := verify.Object(s.t.Context(), s.config()); coupa.KindOf(err) != coupa.Retry {
			t.Errorf("%v", err)
		}
	})
}

// A broker that goes away for a while ends no comparison; one that stays away does, with its error.
func TestABrokerThatGoesAwayIsWaitedFor(t *testing.T) {
	for key, name := range map[int16]string{int16(kmsg.ListOffsets): "ListOffsets", int16(kmsg.Metadata): "Metadata"} {
		for _, times := range []int{5, 1000} {
			ofUsers(t, 3, func(s *scene) {
				s.kafka = append(s.kafka, kgo.RequestRetries(0), kgo.RetryTimeout(time.Second))
				failed := 0
				s.cluster.ControlKey(key, func(kmsg.Request) (kmsg.Response, error, bool) {
					s.cluster.KeepControl()
					if failed++; failed > times {
						return nil, nil, false
					}
					return nil, errors.New("it goes away"), true
				})
				r, err := verify.Object(s.t.Context(), s.config())
				if times == 5 && (err != nil || r.Count(verify.Missing) != 3) || times == 1000 && (err == nil || !strings.Contains(err.Error(), "coupa.suppliers")) {
					t.Errorf("%s fails %d times: %v, %v", name, times, fmt.Sprint(r.Findings), err)
				}
			})
		}
	}
}
