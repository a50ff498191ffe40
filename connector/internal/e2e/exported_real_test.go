//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/coupa/coupatest"
	"github.com/coupastream/coupastream/schemas"
)

// flagged is a version of a row, and whether it has the exported flag.
type flagged struct {
	ID        int64     `json:"id"`
	UpdatedAt time.Time `json:"updated_at"`
	Row       struct {
		Exported bool `json:"exported"`
	} `json:"row"`
}

// flags are the versions of an object's rows ("versions"), or the rows as they are ("rows").
func (t *tenant) flags(tb testing.TB, what, object string) (all []flagged) {
	tb.Helper()
	resp, err := http.Get(t.url + "/_tenant/" + what + "?object=" + object + "&fields=" + url.QueryEscape(`["id","exported"]`))
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	for d := json.NewDecoder(resp.Body); d.More(); {
		var one flagged
		if err := d.Decode(&one); err != nil {
			tb.Fatal(err)
		}
		all = append(all, one)
	}
	return all
}

// unmarked counts the rows without the flag.
func (t *tenant) unmarked(tb testing.TB, object string) (n int) {
	tb.Helper()
	for _, row := range t.flags(tb, "rows", object) {
		if !row.Row.Exported {
			n++
		}
	}
	return n
}

// exportedMarks marks orders as exported while the worker is ended with kill -9 at random moments, and while
// users save new versions, which takes the flag back. In the end each row has the flag, each version that was
// marked had been published before, and nothing is there twice. A mark moves updated-at, as it may in Coupa.
func (p *parts) exportedMarks(t *testing.T) {
	nightly(t) // the crash suite has marks and kills, too
	const object, rows = "purchase_orders", 200
	random := rand.New(rand.NewPCG(p.seed, 10))
	tenant := p.tenantOf(t, p.dir, "exported", coupatest.Config{Rows: rows, Objects: []string{object}, MarksStamp: true})
	w := p.worker(t, tenant, map[string]string{
		"coupa.objects": object, "exported.mode": "mark", "coupa.rate.limit": "25", "worker:group.instance.id": "worker-1",
	})
	there := len(tenant.flags(t, "rows", object))
	w.start()
	for kill := range 8 {
		before := tenant.unmarked(t, object)
		if err := await(t.Context(), "further marks", 2*time.Minute, func() error {
			w.alive(t)
			if left := tenant.unmarked(t, object); left > 0 && left > before-5 {
				return fmt.Errorf("%d rows are without the flag, of %d before", left, before)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		elapse(t, time.Duration(random.Int64N(int64(2*time.Second))))
		w.alive(t)
		w.kill()
		t.Logf("kill -9 number %d; %d rows of %d are without the flag", kill+1, tenant.unmarked(t, object), there)
		// Each at a time when no mark of it can be under way: what changes within the second is what is lost.
		changed := 0
		for _, row := range tenant.flags(t, "rows", object) {
			if row.Row.Exported && changed < 4 {
				tenant.post(t, fmt.Sprintf("/_tenant/objects/%s/%d", object, row.ID))
				changed++
			}
		}
		tenant.post(t, "/_tenant/objects/"+object)
		there++
		w.start()
	}
	if err := await(t.Context(), "the last marks", 5*time.Minute, func() error {
		w.alive(t)
		if left := tenant.unmarked(t, object); left > 0 {
			return fmt.Errorf("%d rows are without the flag", left)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	w.stop(t)
	published := w.versions(t, w.topicNames()[0])
	before, marks := map[int64]flagged{}, 0
	for _, v := range tenant.flags(t, "versions", object) {
		was, known := before[v.ID]
		before[v.ID] = v
		if !known || was.Row.Exported || !v.Row.Exported {
			continue
		}
		marks++
		if n := published[versionOf(was.ID, was.UpdatedAt)]; n != 1 {
			t.Errorf("id %d was marked, and is there %d times as of %s", was.ID, n, was.UpdatedAt)
		}
		delete(published, versionOf(was.ID, was.UpdatedAt))
	}
	for version := range published {
		t.Errorf("%s is in the topic, and was not marked", version)
	}
	t.Logf("%d marks of %d rows", marks, there)
}

func versionOf(id int64, at time.Time) string {
	return fmt.Sprint(id, " ", at.UTC().Format(time.RFC3339))
}

// versions counts the records of a topic by id and updated-at.
func (w *worker) versions(t *testing.T, topic string) map[string]int {
	t.Helper()
	ends, err := endOffsets(t.Context(), w.parts.admin(t), []string{topic})
	if err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.parts.bootstrap), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	all := map[string]int{}
	for left := ends[topic]; left > 0; {
		fetches := cl.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if left--; r.Attrs.IsControl() {
				return
			}
			_, id, err := schemas.ParseKey(r.Key)
			if err != nil {
				t.Error(err)
			}
			for _, h := range r.Headers {
				if h.Key == "coupa.updated_at" {
					at, _ := time.Parse(time.RFC3339, string(h.Value))
					all[versionOf(id, at)]++
				}
			}
		})
	}
	return all
}
