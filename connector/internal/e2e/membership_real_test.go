//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// fleet is several workers of one group, for several tenants.
type fleet struct {
	parts   *parts
	owner   *testing.T // the processes end with it
	group   string
	tenants []*worker // for their connector files and the judge; they have no process of their own
	members []*fellow
	arrived *arrivals
	binary  string // that its workers run
}

// fellow is one worker of a fleet.
type fellow struct {
	*process
	file, logs, rest string
}

// sharing starts n workers for some tenants whose suppliers
// change all the time. instance gives each a group.instance.id.
func (p *parts) sharing(t *testing.T, name string, n int, instance bool, settings map[string]string) *fleet {
	t.Helper()
	return p.sharingOf(t, p.binary, name, n, instance, settings)
}

// sharingOf is sharing for workers of another program.
func (p *parts) sharingOf(t *testing.T, binary, name string, n int, instance bool, settings map[string]string) *fleet {
	t.Helper()
	f := &fleet{parts: p, owner: t, group: name + p.run, binary: binary}
	for i := range 4 {
		tenant := p.tenant(t, fmt.Sprint(name, i), "--objects", "suppliers", "--rows", "200", "--changes-per-second", "5")
		f.tenants = append(f.tenants, p.worker(t, tenant, map[string]string{"coupa.objects": "suppliers"}))
	}
	for i := range n {
		base := filepath.Join(p.dir, fmt.Sprint(f.group, "-worker", i))
		m := &fellow{file: base + ".json", logs: base, rest: fmt.Sprintf("http://127.0.0.1:%d", freePort(t))}
		keys := map[string]string{
			"bootstrap.servers": p.bootstrap, "schema.registry.url": p.registry, "group.id": f.group, "state.dir": base + "-state", "listeners": m.rest,
			"topic.creation.default.replication.factor": "1",
		}
		if instance {
			keys["group.instance.id"] = fmt.Sprint("worker-", i)
		}
		maps.Copy(keys, settings)
		write(t, m.file, keys)
		f.members = append(f.members, m)
		f.start(m)
	}
	f.arrived = p.arrivals(t, f.tenants)
	f.settled(t)
	return f
}

func (f *fleet) start(m *fellow) {
	args := []string{"run", m.file}
	for _, w := range f.tenants {
		args = append(args, w.connector)
	}
	m.process = launch(f.owner, m.logs, f.binary, args...)
}

// runs gives the tenants that a worker says it runs.
func (m *fellow) runs(f *fleet) ([]string, error) {
	var names []string
	for _, w := range f.tenants {
		state, err := m.state(w.tenant.name)
		if err != nil {
			return nil, err
		}
		if state == "RUNNING" {
			names = append(names, w.tenant.name)
		}
	}
	return names, nil
}

// state is that of a connector's only task.
func (m *fellow) state(connector string) (string, error) {
	client := http.Client{Timeout: 2 * time.Second}
	// as this worker knows it
	resp, err := client.Get(m.rest + "/connectors/" + connector + "/status?forward=false")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var status struct {
		Tasks []struct {
			State string `json:"state"`
		} `json:"tasks"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&status); err != nil || len(status.Tasks) != 1 {
		return "", fmt.Errorf("%s: %s: %w", connector, resp.Status, errors.Join(err, errors.New("no single task")))
	}
	return status.Tasks[0].State, nil
}

// settled waits until the workers that run are the group, and each
// tenant runs on exactly one of them, and that for a few seconds.
func (f *fleet) settled(t *testing.T) map[*fellow][]string {
	t.Helper()
	var last map[string]*fellow
	var since time.Time
	var owned map[*fellow][]string
	adm := f.parts.admin(t)
	err := await(t.Context(), "each tenant to run on one worker", time.Minute, func() error {
		owned = map[*fellow][]string{}
		owner := map[string]*fellow{}
		workers := 0
		for _, m := range f.members {
			if !m.running() {
				continue
			}
			workers++
			names, err := m.runs(f)
			if err != nil {
				return err
			}
			owned[m] = names
			for _, name := range names {
				if owner[name] != nil {
					last = nil
					return fmt.Errorf("%s runs twice", name)
				}
				owner[name] = m
			}
		}
		groups, err := adm.DescribeGroups(t.Context(), f.group)
		if err != nil {
			return err
		}
		group := groups[f.group]
		if len(owner) != len(f.tenants) || !maps.Equal(owner, last) || group.State != "Stable" || len(group.Members) != workers {
			last, since = owner, time.Now()
		}
		if time.Since(since) < 4*time.Second {
			return fmt.Errorf("%d of %d tenants run; the group is %s with %d of %d workers", len(owner), len(f.tenants), group.State, len(group.Members), workers)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return owned
}

// busiest is the worker that runs most, and what it runs.
func (f *fleet) busiest(t *testing.T) (most *fellow, tenants []string) {
	t.Helper()
	for m, names := range f.settled(t) {
		if len(names) > len(tenants) {
			most, tenants = m, names
		}
	}
	return most, tenants
}

// arrivals notes when committed records of each tenant reach a consumer.
type arrivals struct {
	mu sync.Mutex
	at map[string][]time.Time // by topic
}

func (p *parts) arrivals(t *testing.T, tenants []*worker) *arrivals {
	t.Helper()
	a := &arrivals{at: map[string][]time.Time{}}
	var topics []string
	for _, w := range tenants {
		topics = append(topics, w.topicNames()...)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(p.bootstrap), kgo.ConsumeTopics(topics...), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMinAge(100*time.Millisecond), kgo.MetadataMaxAge(time.Second), kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			fetches := cl.PollFetches(ctx)
			now := time.Now()
			fetches.EachRecord(func(r *kgo.Record) {
				a.mu.Lock()
				defer a.mu.Unlock()
				a.at[r.Topic] = append(a.at[r.Topic], now)
			})
		}
	}()
	t.Cleanup(func() { cancel(); <-done; cl.Close() })
	return a
}

// after waits for the first record of a tenant that arrives after a moment.
func (a *arrivals) after(t *testing.T, tenant string, moment time.Time) time.Time {
	t.Helper()
	var first time.Time
	err := await(t.Context(), "a record of "+tenant, time.Minute, func() error {
		a.mu.Lock()
		defer a.mu.Unlock()
		at := a.at[tenant+".suppliers"]
		i, _ := slices.BinarySearchFunc(at, moment, time.Time.Compare)
		if i == len(at) {
			return errors.New("none yet")
		}
		first = at[i]
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return first
}

// mustHold judges every tenant.
func (f *fleet) mustHold(t *testing.T, begun time.Time) {
	t.Helper()
	f.settled(t)
	for _, w := range f.tenants {
		w.process = f.members[0].process
		w.mustHold(t, begun)
	}
}

// takeOver ends a worker and tells how long the tenants that it ran were without records.
func (f *fleet) takeOver(t *testing.T, how string, end func(*fellow)) {
	t.Helper()
	m, tenants := f.busiest(t)
	signal := time.Now()
	end(m)
	gone := time.Now()
	for _, name := range tenants {
		t.Logf("%s: ended after %v; first record of %s after %v", how, gone.Sub(signal).Round(time.Millisecond), name,
			f.arrived.after(t, name, gone).Sub(signal).Round(time.Millisecond))
	}
	f.settled(t)
	f.start(m)
	f.settled(t)
}

// severalWorkers stops, kills and freezes workers that share the
// tenants. Whatever happens, the topics hold each change once.
func (p *parts) severalWorkers(t *testing.T) {
	t.Run("two dynamic members", func(t *testing.T) {
		begun := time.Now()
		f := p.sharing(t, "pair", 2, false, map[string]string{"session.timeout.ms": "6000"})
		times := usually(2, 1)
		for range times {
			f.takeOver(t, "SIGTERM", func(m *fellow) {
				m.signal(syscall.SIGTERM)
				if status, err := m.wait(30 * time.Second); err != nil || status != 0 {
					t.Errorf("SIGTERM: status %d, %v", status, err)
				}
			})
		}
		for range times {
			f.takeOver(t, "kill -9", func(m *fellow) { m.kill() })
		}
		f.mustHold(t, begun)
	})
	t.Run("a worker is frozen, replaced and goes on", func(t *testing.T) {
		begun := time.Now()
		f := p.sharing(t, "zombie", 2, false, map[string]string{"session.timeout.ms": "6000"})
		for _, frozen := range usually([]time.Duration{12 * time.Second, 75 * time.Second}, []time.Duration{12 * time.Second}) {
			m, _ := f.busiest(t)
			m.signal(syscall.SIGSTOP)
			elapse(t, frozen)
			m.signal(syscall.SIGCONT)
			elapse(t, 5*time.Second)
			owned := f.settled(t)
			t.Logf("frozen for %v; then the workers run %d and %d tenants", frozen, len(owned[f.members[0]]), len(owned[f.members[1]]))
		}
		f.mustHold(t, begun)
	})
	t.Run("a rolling restart of three static members moves nothing", func(t *testing.T) {
		begun := time.Now()
		f := p.sharing(t, "static", 3, true, nil)
		owned, before := f.settled(t), f.restores(t)
		for _, m := range f.members {
			stopped := time.Now()
			m.signal(syscall.SIGTERM)
			if status, err := m.wait(30 * time.Second); err != nil || status != 0 {
				t.Errorf("SIGTERM: status %d, %v", status, err)
			}
			gone := time.Now()
			f.start(m)
			for _, name := range owned[m] {
				t.Logf("restart: first record of %s after %v", name, f.arrived.after(t, name, gone).Sub(stopped).Round(time.Millisecond))
			}
			f.settled(t)
		}
		for shard, n := range f.restores(t) {
			if n -= before[shard]; n != 1 {
				t.Errorf("shard %s was restored %d times, want once, by its own worker", shard, n)
			}
		}
		after := f.settled(t)
		for i, m := range f.members {
			if !slices.Equal(after[m], owned[m]) {
				t.Errorf("worker %d runs %v, and ran %v before", i, after[m], owned[m])
			}
		}
		f.mustHold(t, begun)
	})
}

// restores counts, by shard, what the workers' logs say of restored ones.
func (f *fleet) restores(t *testing.T) map[string]int {
	t.Helper()
	restored := regexp.MustCompile(`msg="shard restored" shard=(\d+)`)
	all := map[string]int{}
	for _, m := range f.members {
		log, err := os.ReadFile(m.stderr)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range restored.FindAllSubmatch(log, -1) {
			all[string(found[1])]++
		}
	}
	return all
}
