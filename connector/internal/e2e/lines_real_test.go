//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// linedLists are the lists of lines of the objects that the scenario streams.
var linedLists = map[string][]string{
	"invoices":        {"invoice_lines", "invoice_charges", "tax_lines"},
	"purchase_orders": {"order_lines"},
}

// linesInTopics streams two objects whose lines have topics of their own, one with its lines in
// its rows too, while lines come, change and go. The worker is killed at random moments, twice
// while it reads the history and thrice while it follows changes, and loses its state once. What
// Python reads of the topics must be what the tenant has in the end, and what rows brought.
func (p *parts) linesInTopics(t *testing.T) {
	begun := time.Now()
	tenant := p.tenant(t, "lines", "--objects", "invoices,purchase_orders", "--rows", "300", "--changes-per-second", "5")
	w := p.worker(t, tenant, map[string]string{
		"coupa.objects": "invoices,purchase_orders", "object.invoices.lines": "both", "object.purchase_orders.lines": "topics",
		"object.invoices.deletes": "sweep", "deletes.interval.ms": "3000", "overlap.ms": "5000",
		"worker:group.instance.id": "worker-1",
	})
	s := &shaker{T: t, tenant: tenant, bereft: map[string]bool{}, random: rand.New(rand.NewPCG(p.seed, 15))}
	w.start()
	for i, most := range []time.Duration{700, 700, 4000, 4000, 4000} {
		w.reads(t)
		if i == 2 {
			w.readsHistory(t, 300)
			s.removed = 0
		}
		moment := time.Duration(s.random.Int64N(int64(most * time.Millisecond)))
		s.shake(moment)
		w.alive(t)
		w.kill()
		t.Logf("kill -9 number %d, %v after the first request", i+1, moment.Round(time.Millisecond))
		if i == 3 {
			if err := os.RemoveAll(w.state); err != nil {
				t.Fatal(err)
			}
		}
		s.shake(300 * time.Millisecond) // changes that nobody reads until the start
		w.start()
	}
	w.reads(t)
	s.shake(5 * time.Second)
	if s.removed < 5 {
		t.Errorf("%d lines were removed, which is too few to tell", s.removed)
	}
	for id := 1; id <= 40; id += 13 { // with their lines
		s.change(http.MethodDelete, fmt.Sprintf("/_tenant/objects/invoices/%d", id))
	}
	for row := range s.bereft { // nothing but a change of the row tells of its line that went
		s.change(http.MethodPost, row)
	}
	w.objects = []string{"invoices"} // the judge knows rows with all that Coupa has
	w.mustHold(t, begun)
	w.linesHold(t)
	w.verifiesLines(t)
	w.stop(t)
}

// verifiesLines has `coupastream verify` compare rows and lines, which are all there; then loses
// a line to a tombstone that nobody asked for, which is to be found, and with --repair mended.
func (w *worker) verifiesLines(t *testing.T) {
	t.Helper()
	if found := w.verify(t); len(found) > 0 {
		t.Errorf("verify finds %v, and the topics hold what the tenant has", found)
	}
	topic := w.tenant.name + ".purchase_orders.order_lines"
	w.loseLine(t, topic)
	if found := w.verify(t); len(found) != 1 || found[topic+" missing"] != 1 {
		t.Errorf("verify finds %v, want the line that was lost", found)
	}
	if found := w.verify(t, "--repair", "--url", w.listener); len(found) != 1 {
		t.Errorf("verify finds %v before its repair", found)
	}
	for what, n := range w.verify(t) {
		if !strings.HasSuffix(what, " duplicate") { // what is read again goes out once more
			t.Errorf("%s: %d after the repair", what, n)
		}
	}
}

// verify runs `coupastream verify` and counts its findings by topic and kind.
func (w *worker) verify(t *testing.T, args ...string) map[string]int {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), w.parts.binary, append([]string{"verify", w.connector, "--worker", w.worker, "-o", "json"}, args...)...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var reports []struct {
		Topic    string
		Findings []struct{ Difference string }
	}
	if failed := json.Unmarshal(out, &reports); failed != nil || len(reports) < 4 {
		t.Fatalf("verify: %v, %v\n%s", err, failed, stderr.String())
	}
	found := map[string]int{}
	for _, r := range reports {
		for _, f := range r.Findings {
			found[r.Topic+" "+f.Difference]++
		}
	}
	if repairs := slices.Contains(args, "--repair"); (err != nil) != (len(found) > 0 && !repairs) {
		t.Errorf("verify found %v and ended with %v\n%s", found, err, stderr.String())
	}
	return found
}

// loseLine writes a tombstone for the last line of a topic that is there.
func (w *worker) loseLine(t *testing.T, topic string) {
	t.Helper()
	last := map[string]*kgo.Record{}
	for _, r := range w.parts.committed(t, topic) {
		last[string(r.Key)] = r
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.parts.bootstrap))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for _, r := range last {
		if r.Value != nil {
			if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: r.Key, Headers: r.Headers}).FirstErr(); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("%s has no line", topic)
}

// readsHistory waits until every topic of rows has as many records.
func (w *worker) readsHistory(t *testing.T, rows int64) {
	t.Helper()
	adm := w.parts.admin(t)
	if err := await(t.Context(), "the history", 2*time.Minute, func() error {
		w.alive(t)
		ends, err := endOffsets(t.Context(), adm, w.topicNames())
		for topic, end := range ends {
			if end < rows {
				err = fmt.Errorf("%s has %d of %d", topic, end, rows)
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// shaker has lines come, change and go.
type shaker struct {
	*testing.T
	tenant  *tenant
	random  *rand.Rand
	removed int
	bereft  map[string]bool // rows of which a line was removed
}

// shake makes changes for the time d, to few rows, so that these go through many.
func (s *shaker) shake(d time.Duration) {
	s.Helper()
	for begun := time.Now(); time.Since(begun) < d; elapse(s.T, 20*time.Millisecond) {
		object := []string{"invoices", "purchase_orders"}[s.random.IntN(2)]
		row := fmt.Sprintf("/_tenant/objects/%s/%d", object, 1+s.random.IntN(300)%30*10)
		switch s.random.IntN(4) {
		case 0: // the tenant adds a line with each eighth
			for range 8 {
				s.change(http.MethodPost, row)
			}
		case 1:
			s.change(http.MethodPost, row)
		case 2:
			s.change(http.MethodPost, row+"?line=1")
		default:
			if s.change(http.MethodDelete, row+"/lines") {
				s.removed++
				s.bereft[row] = true
			}
		}
	}
}

// change makes one and tells whether there was anything to change.
func (s *shaker) change(method, path string) bool {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), method, s.tenant.url+path, nil)
	if err != nil {
		s.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNotFound {
		s.Fatalf("%s %s: %s (%v)", method, path, resp.Status, err)
	}
	return resp.StatusCode == http.StatusOK
}

// linesHold fails the test unless the topics of lines are what the tenant's rows
// are, and shows first that faults are found. What is missing is given a minute.
func (w *worker) linesHold(t *testing.T) {
	t.Helper()
	var topics []string
	for object, lists := range linedLists {
		topics = append(topics, w.tenant.name+"."+object)
		for _, list := range lists {
			topics = append(topics, w.tenant.name+"."+object+"."+list)
		}
	}
	slices.Sort(topics)
	adm := w.parts.admin(t)
	var cases []lineCase
	if err := await(t.Context(), "the tenant's lines in their topics", time.Minute, func() error {
		w.alive(t)
		if err := atRest(t.Context(), adm, topics, 3*time.Second, time.Minute); err != nil {
			return err
		}
		args := []string{w.parts.bootstrap, w.parts.registry}
		for _, topic := range topics {
			args = append(args, "avro="+topic)
		}
		cases = w.lineCases(t, w.parts.records(t, "./consumer.sh", args...))
		for _, c := range cases {
			found := c.faults()
			if missing, stale, left := len(found[lineMissing]), len(found[lineStale]), len(found[lineLeft]); missing+stale+left > 0 {
				return fmt.Errorf("%s: %d lines are missing, %d stale, %d gone from the tenant", c.topic, missing, stale, left)
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	for _, c := range cases {
		for fault, examples := range c.faults() {
			t.Errorf("%s: %d × %s, such as %s", c.topic, len(examples), fault, examples[0])
		}
		tombstones := 0
		for _, r := range c.lines {
			if r.Value == nil {
				tombstones++
			}
		}
		t.Logf("%-40s %d lines, %d records, %d of them tombstones", c.topic, len(c.want), len(c.lines), tombstones)
		if strings.HasSuffix(c.topic, "_lines") && !strings.HasSuffix(c.topic, "tax_lines") {
			if tombstones == 0 {
				t.Errorf("%s has no tombstone, and lines went", c.topic)
			}
			c.findsFaults(t)
		}
	}
}

// lineCases are what was read, by topic of lines, beside what the tenant has.
func (w *worker) lineCases(t *testing.T, read []consumed) []lineCase {
	t.Helper()
	by := map[string][]consumed{}
	for _, r := range read {
		if r.Key.Tenant != w.tenant.name {
			t.Errorf("%s: key %+v is another tenant's", r.Topic, r.Key)
		}
		by[r.Topic] = append(by[r.Topic], r)
	}
	var cases []lineCase
	for _, object := range slices.Sorted(maps.Keys(linedLists)) {
		rows := w.tenant.rows(t, object)
		topic := w.tenant.name + "." + object
		for _, list := range linedLists[object] {
			c := lineCase{topic: topic + "." + list, list: list, want: map[int64]tenantLine{}, rows: by[topic], lines: by[topic+"."+list]}
			for id, row := range rows {
				lines, _ := row[strings.ReplaceAll(list, "_", "-")].([]any)
				for _, l := range lines {
					line := l.(map[string]any)
					c.want[int64(line["id"].(float64))] = tenantLine{id, line}
				}
			}
			cases = append(cases, c)
		}
	}
	return cases
}
