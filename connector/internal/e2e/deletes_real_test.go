//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector/rest"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// sweepings are the settings of a worker that looks for deletes of invoices each two seconds.
func sweepings(more ...string) map[string]string {
	settings := map[string]string{"coupa.objects": "invoices", "object.invoices.deletes": "sweep", "deletes.interval.ms": "2000", "overlap.ms": "2000"}
	for i := 0; i < len(more); i += 2 {
		settings[more[i]] = more[i+1]
	}
	return settings
}

// deletes waits until what the worker tells of deletes of an object is as wanted.
func (w *worker) deletes(t *testing.T, object, what string, wanted func(d rest.DeletesHealth) bool) (d rest.DeletesHealth) {
	t.Helper()
	if err := await(t.Context(), what, 2*time.Minute, func() error {
		w.alive(t)
		body, err := get(t.Context(), w.listener+"/connectors/"+w.tenant.name+"/health")
		var h rest.Health
		if err = errors.Join(err, json.Unmarshal(body, &h)); err != nil {
			return err
		}
		d = rest.DeletesHealth{}
		for _, task := range h.Tasks {
			if task.Object == object && task.Deletes != nil {
				d = *task.Deletes
			}
		}
		if !wanted(d) {
			return fmt.Errorf("the worker tells %+v", d)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return d
}

// swept waits until a sweep has ended from now on, with all that it found: the next is
// seconds away, or under way where that is a stage to be had.
func (w *worker) swept(t *testing.T, object string, or ...string) rest.DeletesHealth {
	t.Helper()
	var before *time.Time
	first := true
	return w.deletes(t, object, "the end of a sweep", func(d rest.DeletesHealth) bool {
		if first && d.Stage != "" {
			first, before = false, d.Ended
		}
		return (d.Stage == "resting" || slices.Contains(or, d.Stage)) && d.Ended != nil && (before == nil || d.Ended.After(*before))
	})
}

// waits waits until a sweep waits with so many rows, and has looked again at what waits.
func (w *worker) waits(t *testing.T, missing int) (d rest.DeletesHealth) {
	t.Helper()
	var looks []time.Time
	return w.deletes(t, "invoices", "a sweep that waits", func(d rest.DeletesHealth) bool {
		if d.Stage != "waiting" || d.Missing != int64(missing) {
			return false
		}
		if len(looks) == 0 || d.Began.After(looks[len(looks)-1]) {
			looks = append(looks, *d.Began)
		}
		return len(looks) == 3 // the second has ended
	})
}

// published reads a topic and gives the records of each id in their order.
func (w *worker) published(t *testing.T, topic string) (of map[int64][]*kgo.Record, records, tombstones int) {
	t.Helper()
	of = map[int64][]*kgo.Record{}
	for _, r := range w.parts.committed(t, topic) {
		of[idOf(r.Key)] = append(of[idOf(r.Key)], r)
		if records++; r.Value == nil {
			tombstones++
			if op := header(r, "coupa.op"); op != "delete" || header(r, "coupa.tenant") != w.tenant.name || header(r, "coupa.updated_at") != "" {
				t.Errorf("%s: the tombstone of %d has the headers %v", topic, idOf(r.Key), r.Headers)
			}
		}
	}
	return of, records, tombstones
}

func header(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

// sandboxRefresh replaces an instance by an older copy of it, whose oldest rows are gone as well: what is
// missing waits, and nothing is deleted, until somebody approves. What has come back by then stays.
func (p *parts) sandboxRefresh(t *testing.T) {
	const rows, rowsOfCopy, oldest = 150, 100, 15
	config := coupatest.Config{Rows: rows, Objects: []string{"invoices"}}
	tenant := p.tenantOf(t, p.dir, "refresh", config)
	w := p.worker(t, tenant, sweepings())
	topic := w.topicNames()[0]
	w.start()
	w.readsHistory(t, rows)
	before := slices.Sorted(maps.Keys(tenant.ids(t, "invoices")))
	for _, id := range before[60:90] { // so that the copy has none that changed as late
		tenant.post(t, fmt.Sprintf("/_tenant/objects/invoices/%d", id))
	}
	w.readsHistory(t, rows+30)
	if d := w.swept(t, "invoices"); d.Known != rows || d.Shown != rows {
		t.Errorf("the sweep compared %+v", d)
	}
	tenant.kill()
	config.Rows, config.Epoch = rowsOfCopy, time.Now().AddDate(0, -2, 0)
	tenant.serve(t, p.dir, servedTenant{Config: config, Gone: before[:oldest]})
	gone := before[rowsOfCopy:]

	d := w.waits(t, len(gone)+oldest)
	for _, why := range []string{"65 of 150 rows are missing", "ids have gone backwards", "instants have gone backwards", "the oldest ids have changed"} {
		if !strings.Contains(d.Why, why) {
			t.Errorf("it waits because %s, which does not say that %s", d.Why, why)
		}
	}
	if !slices.Equal(d.Examples, before[:10]) {
		t.Errorf("the examples are %v", d.Examples)
	}
	for _, id := range before[:oldest] {
		tenant.post(t, fmt.Sprintf("/_tenant/objects/invoices/%d/undelete", id))
	}
	w.waits(t, len(gone))
	_, records, tombstones := w.published(t, topic)
	if tombstones > 0 || records != rows+30 {
		t.Errorf("%d records before the approval, want %d, and %d tombstones", records, rows+30, tombstones)
	}

	said, err := w.approves(t)
	for _, part := range []string{"50 of 150 rows are missing, Coupa showed 85", "why it waits: ", d.Why, fmt.Sprintf("ids: %d, %d, ", gone[0], gone[1]), "deletes of invoices approved"} {
		if err != nil || !strings.Contains(said, part) {
			t.Errorf("the approval: %v, and does not say %q:\n%s", err, part, said)
		}
	}
	w.deletes(t, "invoices", "the deletes", func(d rest.DeletesHealth) bool {
		return d.Stage == "resting" && d.Deleted == int64(len(gone))
	})
	all, records, tombstones := w.published(t, topic)
	if tombstones != len(gone) || records != rows+30+tombstones {
		t.Errorf("%d tombstones of %d rows that are gone; %d records", tombstones, len(gone), records)
	}
	for id, of := range all {
		if deleted := of[len(of)-1].Value == nil; deleted != slices.Contains(gone, id) {
			t.Errorf("the last record of %d is a tombstone: %t", id, deleted)
		}
	}
	if said, err := w.approves(t); err == nil || !strings.Contains(said, "No sweep of invoices waits for approval") {
		t.Errorf("a second approval: %v\n%s", err, said)
	}
	tenant.post(t, "/_tenant/objects/invoices") // the copy gives ids again
	w.readsHistory(t, int64(rows+30+len(gone)+1))
	if err := await(t.Context(), "the row with an id that was deleted", time.Minute, func() error {
		all, _, _ = w.published(t, topic)
		if of := all[gone[0]]; of[len(of)-1].Value == nil {
			return fmt.Errorf("the last of %d records is the tombstone", len(of))
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	w.stop(t)
}

// approves runs `coupastream deletes approve` and gives what it says.
func (w *worker) approves(t *testing.T) (string, error) {
	t.Helper()
	said, err := exec.CommandContext(t.Context(), w.parts.binary, "deletes", "approve", w.tenant.name, "invoices", "--url", w.listener).CombinedOutput()
	return string(said), err
}

// rightsWithdrawn takes rows out of the API client's sight: the sweep waits, and when
// they are back, it goes on by itself, and nothing of it is in the topic.
func (p *parts) rightsWithdrawn(t *testing.T) {
	const rows = 120
	begun := time.Now()
	tenant := p.tenantOf(t, p.dir, "rights", coupatest.Config{Rows: rows, Objects: []string{"invoices", "suppliers"}})
	w := p.worker(t, tenant, sweepings("coupa.objects", "invoices,suppliers"))
	w.start()
	w.readsHistory(t, rows)
	ids := slices.Sorted(maps.Keys(tenant.ids(t, "invoices")))
	scopes := func(granted ...string) {
		tenant.post(t, "/_tenant/scopes?scope="+url.QueryEscape(strings.Join(granted, " ")))
	}
	hide := func(through int64) { tenant.post(t, fmt.Sprint("/_tenant/objects/invoices/hidden?through=", through)) }
	for _, c := range []struct {
		name   string
		hidden int
		scopes []string
		why    string
	}{
		{"of all rows", rows, nil, "found no row at all"},
		{"of more than twenty, which are more than a hundredth", 21, nil, "21 of 120 rows are missing"},
		{"of a scope, and of one row", 1, coupa.Scopes([]string{"invoices"}), "the scopes of the token have changed"},
	} {
		if d := w.swept(t, "invoices"); d.Shown != rows || d.Deleted != 0 {
			t.Errorf("before rights %s: %+v", c.name, d)
		}
		if c.scopes != nil {
			scopes(c.scopes...)
		}
		hide(ids[c.hidden-1])
		if d := w.waits(t, c.hidden); !strings.Contains(d.Why, c.why) {
			t.Errorf("rights %s: it waits because %s, want %s", c.name, d.Why, c.why)
		}
		scopes()
		hide(0)
		w.deletes(t, "invoices", "a sweep that goes on, rights "+c.name, func(d rest.DeletesHealth) bool {
			return d.Stage == "resting" && d.Missing == 0 && d.Why == ""
		})
		if _, records, tombstones := w.published(t, w.topics()["invoices"]); records != rows || tombstones != 0 {
			t.Errorf("rights %s: %d records of %d rows, and %d tombstones", c.name, records, rows, tombstones)
		}
	}
	w.objects = []string{"invoices"} // suppliers were without their scope for a while
	w.mustHold(t, begun)
	w.stop(t)
}

// deletedRows deletes rows with lines in topics of their own, and rows in envelopes, and brings them back:
// once as they were, which a sweep finds, and once changed, which a poll does. Python reads all of it, and
// Debezium's ExtractNewRecordState the envelopes.
func (p *parts) deletedRows(t *testing.T) {
	const rows = 60
	begun := time.Now()
	tenant := p.tenantOf(t, p.dir, "deleted", coupatest.Config{Rows: rows, Objects: []string{"invoices", "requisitions"}})
	w := p.worker(t, tenant, sweepings("coupa.objects", "invoices,requisitions", "object.invoices.lines", "both",
		"object.requisitions.deletes", "sweep", "object.requisitions.envelope", "debezium"))
	w.start()
	w.readsHistory(t, rows)
	ids := slices.Sorted(maps.Keys(tenant.ids(t, "invoices")))
	swept, polled, stays := ids[4], ids[50], ids[10]
	lines := map[int64]bool{} // of the rows that come back
	for _, id := range []int64{swept, polled} {
		for _, line := range tenant.rows(t, "invoices")[id]["invoice-lines"].([]any) {
			lines[int64(line.(map[string]any)["id"].(float64))] = true
		}
	}
	w.swept(t, "invoices")
	for _, id := range []int64{swept, polled, stays} {
		tenant.must(t, http.MethodDelete, fmt.Sprint("/_tenant/objects/invoices/", id), nil, nil)
	}
	tenant.must(t, http.MethodDelete, fmt.Sprint("/_tenant/objects/requisitions/", swept), nil, nil)
	w.deletes(t, "invoices", "three deletes", func(d rest.DeletesHealth) bool { return d.Deleted == 3 && d.Stage == "resting" })
	w.deletes(t, "requisitions", "a delete", func(d rest.DeletesHealth) bool { return d.Deleted == 1 && d.Stage == "resting" })
	for _, row := range []string{fmt.Sprint("invoices/", swept), fmt.Sprint("requisitions/", swept), fmt.Sprint("invoices/", polled)} {
		tenant.post(t, "/_tenant/objects/"+row+"/undelete")
	}
	tenant.post(t, fmt.Sprint("/_tenant/objects/invoices/", polled))
	invoices, requisitions := w.topics()["invoices"], w.topics()["requisitions"]
	if err := await(t.Context(), "the rows that are back", time.Minute, func() error {
		w.alive(t)
		i, _, _ := w.published(t, invoices)
		r, _, _ := w.published(t, requisitions)
		for _, of := range [][]*kgo.Record{i[swept], i[polled], r[swept]} {
			if of[len(of)-1].Value == nil {
				return fmt.Errorf("id %d has %d records", idOf(of[0].Key), len(of))
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	w.objects = []string{"invoices"} // the judge reads no envelopes
	w.mustHold(t, begun)

	of := map[string]map[int64][]string{} // what each id's records are, in their order
	for _, r := range p.records(t, "./consumer.sh", p.bootstrap, p.registry, "avro="+invoices, "avro="+invoices+".invoice_lines", "avro="+requisitions) {
		if of[r.Topic] == nil {
			of[r.Topic] = map[int64][]string{}
		}
		what := r.Headers["coupa.op"]
		switch before, _ := r.Value["before"].(map[string]any); {
		case r.Value == nil:
			what += " tombstone"
		case r.Topic == requisitions:
			what += fmt.Sprint(" ", r.Value["op"])
			if r.Value["op"] == "d" && (before["id"] != float64(r.Key.ID) || r.Value["after"] != nil) {
				t.Errorf("the envelope of a delete of %d is %v", r.Key.ID, r.Value)
			}
		}
		of[r.Topic][r.Key.ID] = append(of[r.Topic][r.Key.ID], what)
	}
	expect := func(topic string, id int64, want ...string) {
		t.Helper()
		if got := of[topic][id]; !slices.Equal(got, want) {
			t.Errorf("%s: the records of %d are %q, want %q", topic, id, got, want)
		}
	}
	expect(invoices, ids[0], "snapshot")
	expect(invoices, stays, "snapshot", "delete tombstone")
	expect(invoices, swept, "snapshot", "delete tombstone", "upsert")
	expect(invoices, polled, "snapshot", "delete tombstone", "upsert")
	expect(requisitions, ids[0], "snapshot r")
	expect(requisitions, swept, "snapshot r", "delete d", "delete tombstone", "upsert u")
	for id := range lines {
		expect(invoices+".invoice_lines", id, "snapshot", "delete tombstone", "upsert")
	}
	var unwrapped []bool // whether there is a row
	for _, r := range p.records(t, "./java.sh", "unwrap", p.bootstrap, p.apicurio(), "avro="+requisitions) {
		if r.Key.ID == swept {
			unwrapped = append(unwrapped, r.Value != nil)
		}
	}
	if !slices.Equal(unwrapped, []bool{true, false, true}) {
		t.Errorf("unwrapped, the records of a row that was deleted and came back are rows: %v", unwrapped)
	}
	w.stop(t)
}

// sweepKills ends the worker with kill -9 while sweeps read, confirm and delete, as rows are deleted,
// come back and change: in the end each row that is gone has its tombstone, and no other row has one.
func (p *parts) sweepKills(t *testing.T) {
	nightly(t) // the crash suite has kills and sweeps, too
	const rows, removed = 400, 55
	begun := time.Now()
	random := rand.New(rand.NewPCG(p.seed, 21))
	tenant := p.tenantOf(t, p.dir, "sweepkill", coupatest.Config{Rows: rows, Objects: []string{"invoices"}, PageCap: 20, Latency: 20 * time.Millisecond, ChangesPerSecond: 5, LateBy: time.Second})
	w := p.worker(t, tenant, sweepings("deletes.max.ratio", "0.5", "deletes.interval.ms", "1000", "worker:group.instance.id", "worker-1"))
	w.start()
	w.readsHistory(t, rows)
	// without the oldest: where most of these are gone, a sweep waits
	there := slices.Sorted(maps.Keys(tenant.ids(t, "invoices")))[20:rows]
	var gone []int64
	change := func() { // rows go, and those that went long ago come back
		for len(gone) > 2*removed {
			tenant.post(t, fmt.Sprintf("/_tenant/objects/invoices/%d/undelete", gone[0]))
			there, gone = append(there, gone[0]), gone[1:]
		}
		for range removed {
			i := random.IntN(len(there))
			tenant.must(t, http.MethodDelete, fmt.Sprintf("/_tenant/objects/invoices/%d", there[i]), nil, nil)
			gone = append(gone, there[i])
			there = slices.Delete(there, i, i+1)
		}
	}
	struck := map[string]int{}
	since := w.swept(t, "invoices", "reading").Deleted
	for i := range 20 {
		change()
		aim := []string{"reading", "confirming", "deleting"}[i%3]
		d := w.deletes(t, "invoices", "a sweep that is "+aim, func(d rest.DeletesHealth) bool {
			return d.Stage == aim || aim == "deleting" && d.Stage == "confirming" && d.Deleted > since
		})
		elapse(t, time.Duration(random.Int64N(int64(map[string]time.Duration{"reading": time.Second, "confirming": 5 * time.Second, "deleting": 300 * time.Millisecond}[aim]))))
		d = w.deletes(t, "invoices", "what it is at", func(d rest.DeletesHealth) bool { return d.Stage != "" })
		w.alive(t)
		w.kill()
		struck[d.Stage]++
		t.Logf("kill -9 number %d, meant for %s: %s, %d of %d missing, %d deleted", i+1, aim, d.Stage, d.Missing, d.Known, d.Deleted)
		since = d.Deleted
		w.start()
	}
	tenant.pause(t)
	for range 2 { // the second has begun after the last change
		w.swept(t, "invoices", "reading")
	}
	w.mustHold(t, begun)
	var deletes map[string]int
	tenant.must(t, http.MethodGet, "/_tenant/deletes?object=invoices", nil, &deletes)
	times := 0
	for _, n := range deletes {
		times += n
	}
	_, _, tombstones := w.published(t, w.topicNames()[0])
	t.Logf("%v kills by what they struck; %d deletes of %d rows, %d tombstones, %d rows gone in the end", struck, times, len(deletes), tombstones, len(gone))
	if tombstones < len(gone) || tombstones > times {
		t.Errorf("%d tombstones, want %d to %d", tombstones, len(gone), times)
	}
	w.stop(t)
}
