//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector/configtopic"
)

// The test's binary is also the program of a worker that changes the config
// topic, in a process of its own: one that can be stopped and killed.
const (
	writerEnv = "E2E_CONFIG_WRITER" // what the process does: count or stop
	writerArg = "E2E_CONFIG_ARG"    // bootstrap, group and the writer's name
)

func TestMain(m *testing.M) {
	if what := os.Getenv(writerEnv); what != "" {
		if err := configWriter(what, strings.Fields(os.Getenv(writerArg))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if config := os.Getenv(tenantEnv); config != "" {
		fmt.Fprintln(os.Stderr, serveTenant([]byte(config)))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// configWriter is the process. It prints a line for each change that Update says is made.
func configWriter(what string, arg []string) error {
	bootstrap, group, name := arg[0], arg[1], arg[2]
	s := newConfigStore(bootstrap, group, slog.New(slog.NewTextHandler(os.Stderr, nil)), nil)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	if what == "stop" {
		views := 0
		_, err := s.Update(ctx, func(v configtopic.View) ([]configtopic.Change, error) {
			views++
			if _, ok := v.Connectors["acme"]; ok {
				return nil, fmt.Errorf("exists in view %d", views)
			}
			if views == 2 { // the first one is before the fence
				if err := syscall.Kill(os.Getpid(), syscall.SIGSTOP); err != nil {
					return nil, err
				}
			}
			return []configtopic.Change{configtopic.PutConnector("acme", map[string]string{"by": name})}, nil
		})
		fmt.Println(err)
		return nil
	}
	for i := 0; ; i++ {
		op := fmt.Sprint(name, "-", i)
		if _, err := s.Update(ctx, countUp(op)); err != nil && !errors.Is(err, configtopic.ErrNotSeen) {
			return err
		}
		fmt.Println(op)
		select {
		case err := <-ended:
			return err
		default:
		}
	}
}

// countUp is a change that depends on what is there, and can be told from any other.
func countUp(op string) func(configtopic.View) ([]configtopic.Change, error) {
	return func(v configtopic.View) ([]configtopic.Change, error) {
		n := 0
		if c, ok := v.Connectors["counter"]; ok {
			if _, err := fmt.Sscan(c.Properties["n"], &n); err != nil {
				return nil, err
			}
		}
		return []configtopic.Change{configtopic.PutConnector("counter", map[string]string{"n": fmt.Sprint(n + 1), "op": op})}, nil
	}
}

// newConfigStore makes a store as a worker does. more are configs of the topic, if it makes it.
func newConfigStore(bootstrap, group string, log *slog.Logger, more map[string]string) *configtopic.Store {
	kafka := []kgo.Opt{kgo.SeedBrokers(bootstrap)}
	return configtopic.New(configtopic.Config{
		Kafka: kafka, Topic: group + "-configs", GroupID: group, Log: log,
		Create: func(ctx context.Context, topic string, partitions int, configs map[string]*string) error {
			cl, err := kgo.NewClient(kafka...)
			if err != nil {
				return err
			}
			defer cl.Close()
			for key, value := range more {
				configs[key] = &value
			}
			if _, err = kadm.NewClient(cl).CreateTopic(ctx, int32(partitions), 1, configs, topic); errors.Is(err, kerr.TopicAlreadyExists) {
				return nil
			}
			return err
		},
	})
}

// configs is one group's config topic.
type configs struct {
	*parts
	group string
}

// store gives a store of this process that has read the topic.
func (c configs) store(t *testing.T, more map[string]string) *configtopic.Store {
	t.Helper()
	s := newConfigStore(c.bootstrap, c.group, slog.New(slog.NewTextHandler(t.Output(), nil)), more)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the config topic is not followed any more: %v", err)
		}
	})
	if err := s.WaitFor(t.Context(), -1); err != nil {
		t.Fatal(err)
	}
	return s
}

// writer starts a process that changes the topic.
func (c configs) writer(t *testing.T, what, name string) *process {
	t.Helper()
	return launchWith(t, []string{writerEnv + "=" + what, writerArg + "=" + fmt.Sprintf("%s %s %s", c.bootstrap, c.group, name)},
		fmt.Sprintf("%s/%s-%s", c.dir, c.group, name), os.Args[0])
}

// records are the topic's, as a read_committed consumer finds them.
func (c configs) records(t *testing.T) []*kgo.Record {
	t.Helper()
	return c.committed(t, c.group+"-configs")
}

// configTopic has several writers change one config topic, on a broker whose transactions are real.
func (p *parts) configTopic(t *testing.T) {
	t.Run("of clashing creations exactly one wins", p.configClashes)
	t.Run("a writer that is stopped after its decision changes nothing", p.configZombie)
	t.Run("writers are stopped and killed at any moment, and so is the broker", p.configCount)
	t.Run("workers write their shards at once", p.configOwners)
	t.Run("a compacted topic reads the same", p.configCompacted)
}

func (p *parts) configClashes(t *testing.T) {
	const workers, names = 4, 25
	c := configs{p, "clash" + p.run}
	errExists := errors.New("exists")
	var wg sync.WaitGroup
	winners := make([][]int, names)
	var mu sync.Mutex
	began := time.Now()
	var stores []*configtopic.Store
	for w := range workers {
		stores = append(stores, c.store(t, nil))
		wg.Go(func() {
			for i := range names {
				n := (i + w) % names
				name := fmt.Sprint("c", n)
				_, err := stores[w].Update(t.Context(), func(v configtopic.View) ([]configtopic.Change, error) {
					if _, ok := v.Connectors[name]; ok {
						return nil, errExists
					}
					return []configtopic.Change{configtopic.PutState(name, configtopic.Target{State: configtopic.Paused}), configtopic.PutConnector(name, map[string]string{"by": fmt.Sprint(w)})}, nil
				})
				switch {
				case err == nil:
					mu.Lock()
					winners[n] = append(winners[n], w)
					mu.Unlock()
				case !errors.Is(err, errExists):
					t.Errorf("worker %d, %s: %v", w, name, err)
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	t.Logf("%d workers were answered %d times in %v, each %v in the mean", workers, workers*names, took.Round(time.Millisecond), (took / names).Round(time.Millisecond))
	if n := len(c.records(t)); n != 2*names {
		t.Errorf("%d records, want %d", n, 2*names)
	}
	for n, by := range winners {
		if len(by) != 1 {
			t.Errorf("c%d was created by workers %v", n, by)
			continue
		}
		if got := stores[by[0]].View().Connectors[fmt.Sprint("c", n)].Properties["by"]; got != fmt.Sprint(by[0]) {
			t.Errorf("c%d is worker %d's, which sees worker %s's", n, by[0], got)
		}
	}
}

// configZombie stops a writer that has decided to create a connector, creates it meanwhile, and
// lets the writer go on: at once, and after the broker has given its transactional id up for dead.
func (p *parts) configZombie(t *testing.T) {
	for i, frozen := range []time.Duration{0, 15 * time.Second} {
		c := configs{p, fmt.Sprint("stopped", i, p.run)}
		s := c.store(t, nil)
		zombie := c.writer(t, "stop", "zombie")
		err := await(t.Context(), "the writer to stop itself", time.Minute, func() error {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", zombie.cmd.Process.Pid))
			if err == nil && !strings.Contains(string(stat), ") T ") {
				err = errors.New("it runs")
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Update(t.Context(), func(v configtopic.View) ([]configtopic.Change, error) {
			return []configtopic.Change{configtopic.PutConnector("acme", map[string]string{"by": "living"})}, nil
		}); err != nil {
			t.Fatal(err)
		}
		elapse(t, frozen)
		zombie.signal(syscall.SIGCONT)
		if status, err := zombie.wait(time.Minute); err != nil || status != 0 {
			t.Fatalf("status %d, %v", status, err)
		}
		said, err := os.ReadFile(zombie.stdout)
		if err != nil {
			t.Fatal(err)
		}
		if string(said) != "exists in view 3\n" {
			t.Errorf("the writer says %q, want that its third view shows the other's", said)
		}
		if n := len(c.records(t)); n != 1 {
			t.Errorf("%d records", n)
		}
	}
}

// configCount has four writers count in one connector, three of them in
// processes that are stopped and killed at random, as the broker is killed. Each
// count is one more than the one before, and none that was told of is lost.
func (p *parts) configCount(t *testing.T) {
	nightly(t)
	random := rand.New(rand.NewPCG(p.seed, 16))
	c := configs{p, "count" + p.run}
	s := c.store(t, nil)
	var started []*process
	start := func() *process {
		w := c.writer(t, "count", fmt.Sprint("w", len(started)))
		started = append(started, w)
		return w
	}
	writers := []*process{start(), start(), start()}
	var own []string
	for i := range 12 {
		w := random.IntN(len(writers))
		elapse(t, time.Duration(random.Int64N(int64(2*time.Second))))
		switch {
		case i%6 == 4 && p.rigDir != "":
			if err := p.rig("kill-broker"); err != nil {
				t.Fatal(err)
			}
			if err := p.rig("start-broker"); err != nil {
				t.Fatal(err)
			}
			continue
		case i%3 == 2:
			writers[w].kill()
			writers[w] = start()
			continue
		}
		writers[w].signal(syscall.SIGSTOP)
		op := fmt.Sprint("own-", i)
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		_, err := s.Update(ctx, countUp(op))
		cancel()
		t.Logf("%s took %v beside a writer that is stopped", op, time.Since(began).Round(time.Millisecond))
		if err != nil {
			t.Errorf("beside a writer that is stopped: %v", err)
		}
		own = append(own, op)
		writers[w].signal(syscall.SIGCONT)
	}
	for _, w := range writers {
		w.kill()
	}
	told := own
	for _, w := range started {
		out, err := os.Open(w.stdout)
		if err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(out); lines.Scan(); {
			told = append(told, lines.Text())
		}
		_ = out.Close()
	}
	// What a writer that was killed left open is ended by the next change at the latest.
	if _, err := s.Update(t.Context(), countUp("last")); err != nil {
		t.Fatal(err)
	}
	var ops []string
	for i, r := range c.records(t) {
		var v struct{ Properties map[string]string }
		if err := json.Unmarshal(r.Value, &v); err != nil {
			t.Fatal(err)
		}
		if n := v.Properties["n"]; n != fmt.Sprint(i+1) {
			t.Fatalf("count %d is %s, of %s: a change was decided on an old view", i+1, n, v.Properties["op"])
		}
		ops = append(ops, v.Properties["op"])
	}
	t.Logf("%d counts, of which %d were told of by %d processes", len(ops), len(told), len(started)+1)
	slices.Sort(ops)
	if n := len(slices.Compact(slices.Clone(ops))); n != len(ops) {
		t.Errorf("%d counts were made twice", len(ops)-n)
	}
	for _, op := range told {
		if _, ok := slices.BinarySearch(ops, op); !ok {
			t.Errorf("%s was told to be made, and is not there", op)
		}
	}
}

// configOwners has the workers of a group write what each of
// them owns at the same moment, as after a rebalance.
func (p *parts) configOwners(t *testing.T) {
	const workers, shards = 10, 30
	c := configs{p, "owners" + p.run}
	var stores []*configtopic.Store
	for range workers {
		stores = append(stores, c.store(t, nil))
	}
	took := make([]time.Duration, workers)
	var wg sync.WaitGroup
	for w, s := range stores {
		wg.Go(func() {
			began := time.Now()
			var own []int32
			for n := int32(w); n < shards; n += workers {
				own = append(own, n)
			}
			if err := s.SetOwner(t.Context(), configtopic.Owner{WorkerID: fmt.Sprint("w:", w), URL: "http://w", Generation: 5}, nil, func(int32) bool { return true }, own...); err != nil {
				t.Error(err)
			}
			took[w] = time.Since(began)
		})
	}
	wg.Wait()
	slices.Sort(took)
	t.Logf("of %d workers, the first was done after %v, the last after %v", workers, took[0].Round(time.Millisecond), took[workers-1].Round(time.Millisecond))
	owners := c.store(t, nil).View().Owners
	for n := range int32(shards) {
		if want := fmt.Sprint("w:", n%workers); owners[n].WorkerID != want {
			t.Errorf("shard %d is %s's, want %s's", n, owners[n].WorkerID, want)
		}
	}
}

// configCompacted has the broker compact a topic that grows.
func (p *parts) configCompacted(t *testing.T) {
	c := configs{p, "compacted" + p.run}
	s := c.store(t, map[string]string{"segment.ms": "1000", "min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "0"})
	written := 0
	err := await(t.Context(), "the broker to compact the topic", 2*time.Minute, func() error {
		for range 5 {
			name := fmt.Sprint("c", written%7)
			change := configtopic.PutConnector(name, map[string]string{"n": fmt.Sprint(written)})
			if written%5 == 4 {
				change = configtopic.DeleteConnector(name)
			}
			if _, err := s.Update(t.Context(), func(configtopic.View) ([]configtopic.Change, error) { return []configtopic.Change{change}, nil }); err != nil {
				t.Fatal(err)
			}
			written++
		}
		if n := len(c.records(t)); n >= written/2 {
			return fmt.Errorf("%d records of %d changes", n, written)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	before, after := s.View(), c.store(t, nil).View()
	if fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("before\n%v\nread anew\n%v", before, after)
	}
	t.Logf("%d records are left of %d changes", len(c.records(t)), written)
}
