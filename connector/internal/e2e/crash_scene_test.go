//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/coupastream/coupastream/coupa/coupatest"
)

// scene is one play: its own tenants, topics and group, some
// twenty incidents while rows change, and a judge at the end.
type scene struct {
	*testing.T
	*scenePlan
	p        *parts
	tally    *tally
	dir      string
	group    string
	tenants  []*tenant
	objects  []string
	members  []*actor
	configs  map[string]map[string]string // of a group's connectors, which are made over REST
	watch    *watch
	began    time.Time
	losses   []loss
	disk     disk
	coupa    map[string]*proxy // before each tenant, where there are proxies
	removed  []int64           // invoices of the first tenant
	tokens   *tokens           // with which workers log in; nil: they do by password, or not at all
	accounts string            // the file of those that may ask and ring; "": all may
	excuses  []string          // last words with which workers may end by themselves
}

// loss is a moment at which a tenant lost its worker.
type loss struct {
	at  time.Time
	how string
}

// play runs a scene. What it leaves is kept if something was wrong.
func (p *parts) play(t *testing.T, plan *scenePlan, tally *tally) {
	s := &scene{T: t, scenePlan: plan, p: p, tally: tally, group: fmt.Sprintf("crash-%d-%s", plan.number, p.run), began: time.Now(), configs: map[string]map[string]string{}, coupa: map[string]*proxy{}}
	s.dir = filepath.Join(p.dir, s.group)
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	s.setUp()
	for _, i := range s.incidents {
		s.supervise()
		s.removeRow()
		i.kind.strike(s, i)
	}
	s.finish()
}

// removeRow deletes a row that the topic has, or brings one back, where deletes are looked for.
func (s *scene) removeRow() {
	s.Helper()
	t := s.tenants[0]
	if s.several() {
		return
	}
	if n := len(s.removed); n > 0 && s.random.IntN(3) == 0 {
		t.must(s, http.MethodPost, fmt.Sprintf("/_tenant/objects/invoices/%d/undelete", s.removed[n-1]), nil, nil)
		s.removed = s.removed[:n-1]
		return
	}
	for range 20 {
		id := 1 + s.random.Int64N(150)
		if !slices.Contains(s.removed, id) && s.watch.has(t.name+".invoices", id) && t.control(http.MethodDelete, fmt.Sprintf("/_tenant/objects/invoices/%d", id), nil, nil) == nil {
			s.removed = append(s.removed, id)
			return
		}
	}
}

// setUp starts the tenants and the watch, and writes the
// workers' files. Workers are started by the incidents.
func (s *scene) setUp() {
	tenants, rows, changes, workers := 1, 800, 25.0, 1
	s.objects = []string{"invoices", "suppliers", "users"}
	if s.several() {
		tenants, rows, changes, workers = 4, 150, 6, 3
		s.objects = []string{"invoices", marked}
	}
	if s.class == three {
		s.whole()
	}
	var connectors []string
	history := map[string]map[int64]bool{}
	for n := range tenants {
		cfg := coupatest.Config{Objects: s.objects, Rows: rows, ChangesPerSecond: changes, LateBy: s.lateBy(), MarksStamp: s.number%4 == 2, Seed: s.p.seed + uint64(100*s.number+n)}
		s.strange(&cfg)
		t := s.p.tenantOf(s, s.dir, s.nameOf(n), cfg)
		s.tenants = append(s.tenants, t)
		if s.class == three {
			s.coupa[t.name] = newProxy(s, local(0), strings.TrimPrefix(t.url, "http://"))
		}
		if !s.several() {
			connectors = append(connectors, s.connector(t))
		}
		for _, o := range s.objects {
			history[t.name+"."+o] = t.ids(s, o)
		}
	}
	if s.class == three {
		s.enlarge(history[s.tooSmall()])
	}
	if s.class == three {
		s.admit()
	}
	s.watch = newWatch(s, s.p, history)
	if s.rings() {
		s.accounts = s.p.accounts(s, filepath.Join(s.dir, "accounts.yaml"))
	}
	for range workers {
		s.actor(connectors)
	}
	if slices.ContainsFunc(s.incidents, func(i *incident) bool { return i.kind.name == diskFull.name }) {
		s.disk = newDisk(s, s.members[0].state)
	}
	if s.rings() {
		s.ring()
	}
	if s.several() {
		s.members[0].start("")
		s.members[1].start("")
		s.submit()
	}
}

// several tells whether there are several tenants, and several workers of one group.
func (s *scene) several() bool { return s.class == group || s.class == three && s.number%4 == 2 }

// partitions of the checkpoint topic: one for each tenant of several workers, so that all of them have work.
func (s *scene) partitions() int {
	if s.several() {
		return 4
	}
	return 2
}

// nameOf is the beginning of a tenant's name. The connector hashes names
// to partitions; each tenant of several workers has one of its own.
func (s *scene) nameOf(n int) string {
	for try := 0; ; try++ {
		name := fmt.Sprintf("crash-%d-%c%d-", s.number, 'a'+n, try)
		if !s.several() || s.shardOf(name+s.p.run) == n {
			return name
		}
	}
}

// shardOf is the partition of the checkpoint topic that the connector hashes a tenant's name to.
func (s *scene) shardOf(tenant string) int {
	return int(xxhash.Sum64String(tenant) % uint64(s.partitions()))
}

// lateBy is how long after their stamps some rows become visible: within the
// overlap, or, in one scene of ten, behind it, so that look-backs have to find them.
func (s *scene) lateBy() time.Duration {
	if s.number%10 == 9 {
		return 8 * time.Second
	}
	return time.Second
}

// strange gives the tenants of some scenes an oddity: joined lines that count against
// the limit, a gateway that gives up pages of more than 30 rows, or both.
func (s *scene) strange(cfg *coupatest.Config) {
	cfg.CollapseParents = s.number%4 < 2
	if s.givesUp() { // each page of the history takes three attempts
		cfg.MaxRows, cfg.Rows, cfg.ChangesPerSecond = 30, 200, min(cfg.ChangesPerSecond, 8)
	}
}

// givesUp tells whether there is a gateway that gives up pages of more than 30 rows.
func (s *scene) givesUp() bool { return !s.class.alone() && s.number%3 == 1 }

// connector writes the file of a connector.
func (s *scene) connector(t *tenant) string {
	path := filepath.Join(s.dir, t.name+".json")
	write(s, path, map[string]any{"name": t.name, "config": s.settings(t)})
	return path
}

// marked is the object whose rows are marked as exported, in scenes of several
// workers; in every second of these a mark moves updated-at.
const marked = "purchase_orders"

// lookback is how far behind the mark rows are kept in the ledger, at least.
const lookback = 2 * time.Minute

// settings are a connector's. In every second scene it finds the rate, and in every fourth
// it polls by auto; where doorbells ring, they are most of what it polls by.
func (s *scene) settings(t *tenant) map[string]string {
	settings := map[string]string{
		"connector.class":          "CoupaSource",
		"tenant":                   t.name,
		"coupa.url":                s.urlOf(t),
		"coupa.client.id":          t.clientID,
		"coupa.client.secret":      t.secret,
		"coupa.objects":            strings.Join(s.objects, ","),
		"coupa.rate.limit":         "60",
		"coupa.request.timeout.ms": "1500",
		"topic.template":           "${tenant}.${object}",
		"poll.interval.ms":         "300",
		"settle.ms":                "300",
		"overlap.ms":               "5000",
		"lookback.ms":              fmt.Sprint(lookback.Milliseconds()),
		"row.max.bytes":            "4194304",
	}
	if s.several() {
		settings["object."+marked+".exported.mode"] = "mark"
	} else {
		settings["object.invoices.deletes"], settings["deletes.interval.ms"] = "sweep", "3000"
	}
	if s.class == three && s.number%2 == 1 { // polls read so far ahead of the mark
		settings["settle.ms"] = "2000"
	}
	if s.class == three {
		settings["record.oversize"], settings["errors.deadletterqueue.topic.name"] = "deadletter", s.letters()
	}
	if s.number%2 == 0 {
		settings["coupa.rate.limit"], settings["coupa.rate.limit.max"] = "auto", "60"
	}
	switch {
	case s.number%4 == 0:
		settings["poll.interval.ms"] = "auto"
	case s.rings():
		settings["poll.interval.ms"] = "5000"
	}
	return settings
}

// supervise does what a service manager does: a worker that ended by
// itself is started again. Few incidents excuse it.
func (s *scene) supervise() {
	s.Helper()
	for _, m := range s.members {
		if m.process != nil && !m.running() && m.cmd.ProcessState.ExitCode() > 0 {
			if s.excused(m) {
				s.tally.add(func(t *tally) { t.ended++ })
			} else {
				s.fault("%s ended by itself with status %d\n%s", m.name, m.cmd.ProcessState.ExitCode(), tail(m.stderr, 5))
			}
			m.start("")
		}
	}
	for _, t := range s.tenants {
		if !t.running() {
			s.Fatalf("the tenant %s has ended: %s", t.name, tail(t.stderr, 5))
		}
	}
	if s.several() && len(s.up()) < 2 {
		m := s.pick(s.down())
		m.start("")
	}
}

// static tells whether the workers are static members. A lone worker is: the group gives
// it its shards back at once when it comes back from a kill -9. Of several, half of the
// scenes are: a dynamic member leaves at a SIGTERM, and a static one is waited for.
func (s *scene) static() bool { return !s.several() || s.number%4 == 0 }

// fault notes that something is wrong; the scene goes on.
func (s *scene) fault(format string, args ...any) {
	s.Helper()
	s.Errorf("%v: %s", time.Since(s.began).Round(time.Millisecond), fmt.Sprintf(format, args...))
}

func (s *scene) up() []*actor {
	return slices.DeleteFunc(slices.Clone(s.members), func(m *actor) bool { return !m.up() })
}

func (s *scene) down() []*actor {
	return slices.DeleteFunc(slices.Clone(s.members), func(m *actor) bool { return m.up() })
}

// pick draws one of several members.
func (s *scene) pick(ms []*actor) *actor { return ms[s.random.IntN(len(ms))] }

// worker gives a member that runs and, where it is the only one, owns its shards.
func (s *scene) worker() *actor {
	s.Helper()
	if up := s.up(); s.several() && len(up) > 0 {
		return s.pick(up)
	}
	m := s.members[0]
	if !m.up() {
		m.start("")
	}
	m.awaitRestored()
	return m
}

// vacant gives a member that does not run, stopping one if need be.
func (s *scene) vacant() *actor {
	s.Helper()
	if down := s.down(); len(down) > 0 {
		return s.pick(down)
	}
	m := s.pick(s.members)
	m.terminate()
	s.tally.add(func(t *tally) { t.restarts++ })
	return m
}

// lost notes that a worker is gone from now on.
func (s *scene) lost(how string) { s.losses = append(s.losses, loss{time.Now(), how}) }

// struck notes what an incident met; loses says how, if the worker is gone from now on.
func (s *scene) struck(i *incident, m *actor, loses string) {
	i.at, i.found = time.Now(), streaming
	switch {
	case !m.restored() && !s.several():
		i.found = starting
	case i.aim == starting:
		i.found = starting
	case s.watch.missing() > 0:
		i.found = snapshot
	}
	if loses != "" {
		s.lost(loses)
	}
	s.tally.add(func(t *tally) { t.count(i) })
}

// while lets the other processes work for a random time, between least and most.
func (s *scene) while(least, most time.Duration) {
	elapse(s.T, least+time.Duration(s.random.Int64N(int64(most-least)+1)))
}

// moment is the time from when a worker is at work until it is
// struck: short while the history is read, as that is soon over.
func (s *scene) moment(i *incident) {
	if i.aim == snapshot {
		s.while(0, 250*time.Millisecond)
		return
	}
	s.while(0, time.Second)
}

// finish heals everything, stops the changes, waits until all is published, and has it judged.
func (s *scene) finish() {
	for _, t := range s.tenants {
		t.must(s, http.MethodDelete, "/_tenant/faults", nil, nil)
		t.pause(s)
	}
	s.supervise()
	if len(s.up()) == 0 {
		s.members[0].start("")
	}
	paused := time.Now()
	s.awaitCanaries()
	if s.class == three {
		s.sendLetters()
	}
	s.awaitMarks()
	first := true
	verdicts, err := hold(s.Context(), s.dockets(), func() error {
		s.supervise()
		if s.givesUp() { // changes of lines alone have no last row that shows them read, and take their time
			return atRest(s.Context(), s.p.topics, slices.Collect(maps.Keys(s.watch.ids)), 10*time.Second, 2*time.Minute)
		}
		if first {
			first = false
			elapse(s.T, time.Second)
			return nil
		}
		elapse(s.T, 3*time.Second)
		return nil
	})
	if err != nil {
		s.fault("%v", err)
	}
	for _, v := range verdicts {
		if s.Failed() {
			s.Log(v)
		}
	}
	judged := time.Since(paused)
	for _, m := range s.up() {
		m.terminate()
	}
	delivered := int64(0)
	for _, t := range s.tenants {
		var rows map[string]int64
		t.must(s, http.MethodGet, "/_tenant/delivered", nil, &rows)
		for _, n := range rows {
			delivered += n
		}
	}
	s.tally.add(func(t *tally) { t.scene(s, verdicts, delivered) })
	s.Logf("scene %d, %s: %d incidents, %d records, %v, of which %v after the last change", s.number, s.class, len(s.incidents), s.watch.records(),
		time.Since(s.began).Round(time.Second), judged.Round(time.Second))
}

// awaitCanaries changes one last row of each object, when every change before is visible,
// and waits until it is published: then every stream has been read up to that moment.
func (s *scene) awaitCanaries() {
	canaries := map[string]int64{} // by topic
	for _, t := range s.tenants {
		var changes struct {
			SettledAt time.Time `json:"settled_at"`
		}
		t.must(s, http.MethodGet, "/_tenant/changes", nil, &changes)
		elapse(s.T, max(0, time.Until(changes.SettledAt)))
	}
	for _, t := range s.tenants {
		for _, o := range s.objects {
			var made struct{ ID int64 }
			t.must(s, http.MethodPost, "/_tenant/objects/"+o, nil, &made)
			canaries[t.name+"."+o] = made.ID
		}
	}
	err := await(s.Context(), "the last rows", 2*time.Minute, func() error {
		if n := s.watch.missing(); n > 0 {
			return fmt.Errorf("%d rows of the history have not come", n)
		}
		for topic, id := range canaries {
			if !s.watch.has(topic, id) {
				return fmt.Errorf("id %d has not come to %s", id, topic)
			}
		}
		return nil
	})
	if err != nil {
		s.fault("%v", err)
	}
}

// awaitMarks waits until all rows have the flag that are to be marked. A marker that rests looks again after
// ten seconds.
func (s *scene) awaitMarks() {
	if !s.several() {
		return
	}
	err := await(s.Context(), "the last marks", 4*time.Minute, func() error {
		s.supervise()
		for _, t := range s.tenants {
			if n := t.unmarked(s, marked); n > 0 {
				return fmt.Errorf("%d rows of %s are without the flag", n, t.name)
			}
		}
		return nil
	})
	if err != nil {
		s.fault("%v", err)
	}
}

func (s *scene) dockets() []docket {
	var ds []docket
	for _, t := range s.tenants {
		d := docket{bootstrap: s.p.bootstrap, registry: s.p.registry, control: t.url, tenant: t.name, poll: 300 * time.Millisecond, since: s.began,
			topics: map[string]string{}, fields: map[string]string{}, checkpoints: s.group + "-checkpoints", kept: lookback / 2}
		if s.several() {
			d.marked = []string{marked}
		}
		if s.class == three && t == s.tenants[0] {
			d.letters = s.letters()
		}
		for _, o := range s.objects {
			d.topics[o], d.fields[o] = t.name+"."+o, selection(s, o)
		}
		ds = append(ds, d)
	}
	return ds
}

// topicsOf are a tenant's topics.
func (s *scene) topicsOf(t *tenant) []string {
	var topics []string
	for _, o := range s.objects {
		topics = append(topics, t.name+"."+o)
	}
	return topics
}

// close removes what the scene left, or tells what happened in it.
func (s *scene) close() {
	if !s.Failed() {
		var topics []string
		for _, t := range s.tenants {
			topics = append(topics, s.topicsOf(t)...)
		}
		if _, err := s.p.topics.DeleteTopics(s.p.always, append(topics, s.group+"-checkpoints", s.group+"-configs", s.letters())...); err != nil {
			s.Logf("deleting the scene's topics: %v", err)
		}
		_ = os.RemoveAll(s.dir)
		return
	}
	s.Logf("seed %d, scene %d (%s) is kept in %s. Its incidents:", s.p.seed, s.number, s.class, s.dir)
	for n, i := range s.incidents {
		if i.at.IsZero() {
			s.Logf("%3d  not reached: %v", n+1, i)
			continue
		}
		note := i.note
		if i.atRandom {
			note = "the point was not reached: at random " + note
		}
		s.Logf("%3d  %s  +%-8v %v, %s %s", n+1, i.at.UTC().Format("15:04:05.000"), i.at.Sub(s.began).Round(time.Millisecond), i, i.found, note)
	}
}

// ids are the rows that an object has now.
func (t *tenant) ids(tb testing.TB, object string) map[int64]bool {
	tb.Helper()
	resp, err := http.Get(t.url + "/_tenant/rows?object=" + object + "&fields=" + url.QueryEscape(`["id"]`))
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	ids := map[int64]bool{}
	for d := json.NewDecoder(resp.Body); d.More(); {
		var row struct{ ID int64 }
		if err := d.Decode(&row); err != nil {
			tb.Fatal(err)
		}
		ids[row.ID] = true
	}
	return ids
}

// must sends a request to the tenant's control paths, with a
// body and for an answer as JSON if they are not nil.
func (t *tenant) must(tb testing.TB, method, path string, body, answer any) {
	tb.Helper()
	if err := t.control(method, path, body, answer); err != nil {
		tb.Fatal(err)
	}
}

func (t *tenant) control(method, path string, body, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(method, t.url+path, strings.NewReader(string(text)))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s answered %s", method, path, resp.Status)
	}
	if answer == nil {
		return nil
	}
	return errors.Join(json.NewDecoder(resp.Body).Decode(answer))
}
