package connector

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/configtopic"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/connector/stream"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// submission is what is sent to make a connector for a tenant.
func (h *harness) submitted(tenant string, keys map[string]string) map[string]string {
	all := map[string]string{
		"tenant": tenant, "coupa.url": "http://127.0.0.1", "coupa.client.id": "id", "coupa.client.secret": "${env:COUPA_SECRET}", "coupa.objects": "invoices,suppliers",
	}
	maps.Copy(all, h.keys)
	if tenant != "acme" {
		maps.Copy(all, h.apart())
	}
	maps.Copy(all, keys)
	return all
}

// bare is a simulation whose workers get no connector from files.
func bare(t *testing.T, cfg coupatest.Config, f func(h *harness, r *running)) {
	t.Helper()
	simulate(t, cfg, func(h *harness) {
		h.unfiled = true
		f(h, h.started())
	})
}

// started runs a worker until it is ready.
func (h *harness) started() *running {
	h.t.Helper()
	r := h.start()
	h.pass(10 * time.Second)
	if err := r.Ready(); err != nil {
		h.t.Fatal(err)
	}
	return r
}

func (h *harness) create(r *running, keys map[string]string) {
	h.t.Helper()
	if _, err := r.Create(h.t.Context(), "acme", h.submitted("acme", keys), ""); err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) set(r *running, s status.State) {
	h.t.Helper()
	if err := r.SetState(h.t.Context(), "acme", s); err != nil {
		h.t.Fatal(err)
	}
}

// move moves invoices to another position.
func (h *harness) move(r *running, to status.Offset) {
	h.t.Helper()
	to.Tenant, to.Object = "acme", "invoices"
	if err := r.MoveOffsets(h.t.Context(), "acme", []status.Offset{to}, status.Asker{}); err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) states(r *running) (all []status.State) {
	h.t.Helper()
	c, err := r.Connector("acme")
	if err != nil {
		h.t.Fatal(err)
	}
	all = append(all, c.State)
	for _, t := range c.Tasks {
		all = append(all, t.State)
	}
	return all
}

func (h *harness) expect(r *running, want ...status.State) {
	h.t.Helper()
	if got := h.states(r); !slices.Equal(got, want) {
		h.t.Errorf("connector and tasks are %v, want %v", got, want)
	}
}

func TestAConnectorThatIsCreatedWhileTheWorkerRunsIsPublishedAndSurvivesRestarts(t *testing.T) {
	bare(t, coupatest.Config{Seed: 70, Rows: 60}, func(h *harness, r *running) {
		h.create(r, nil)
		h.settle()
		h.expect(r, status.Running, status.Running, status.Running)
		h.tenant.Update("invoices", 3)
		h.settle()
		h.stop()
		h.tenant.Update("invoices", 4)
		r = h.start()
		h.settle()
		h.expect(r, status.Running, status.Running, status.Running)
		if n := len(h.check("invoices")); n != 62 {
			t.Errorf("%d records, want 60 and 2 changes", n)
		}
		h.check("suppliers")
	})
}

func TestAPausedConnectorPublishesNothingAndGoesOnWhereItWas(t *testing.T) {
	for _, asked := range []status.State{status.Paused, status.Stopped} {
		t.Run(string(asked), func(t *testing.T) {
			bare(t, coupatest.Config{Seed: 71, Rows: 60}, func(h *harness, r *running) {
				h.create(r, nil)
				h.settle()
				h.set(r, asked)
				h.expect(r, asked, asked, asked)
				before, requests := len(h.check("invoices")), len(h.tenant.Requests())
				h.tenant.Update("invoices", 9)
				h.pass(5 * time.Minute)
				if n, more := len(h.records("coupa.invoices")), len(h.tenant.Requests()); n != before || more != requests {
					t.Errorf("%d records and %d requests while %s", n-before, more-requests, asked)
				}
				h.stop()
				r = h.started() // and stays so
				h.expect(r, asked, asked, asked)
				h.set(r, status.Running)
				h.settle()
				h.expect(r, status.Running, status.Running, status.Running)
				if n := len(h.check("invoices")); n != before+1 {
					t.Errorf("%d records, want %d", n, before+1)
				}
			})
		})
	}
}

// As in Connect, a connector that was STOPPED, or is created PAUSED, has no tasks until it runs; topics that
// were forgotten come back with that, too, and a worker that starts later knows of both.
func TestATaskIsToldOfOnlyOnceItsConnectorRan(t *testing.T) {
	bare(t, coupatest.Config{Seed: 71, Rows: 6}, func(h *harness, r *running) {
		untold := func(tasks, topics bool) {
			h.t.Helper()
			c, err := r.Connector("acme")
			if want := (status.Untold{Tasks: tasks, Topics: topics}); err != nil || c.Untold != want {
				h.t.Errorf("untold: %+v, want %+v (%v)", c.Untold, want, err)
			}
		}
		reset := func(name string) {
			h.t.Helper()
			if err := r.ResetTopics(h.t.Context(), name); err != nil {
				h.t.Error(err)
			}
		}
		if _, err := r.Create(h.t.Context(), "acme", h.submitted("acme", nil), status.Paused); err != nil {
			h.t.Fatal(err)
		}
		untold(true, true)
		h.set(r, status.Running)
		untold(false, false)
		reset("acme") // it uses them
		reset("nobody")
		untold(false, false)
		h.set(r, status.Paused)
		untold(false, false)
		reset("acme")
		untold(false, true)
		h.set(r, status.Stopped)
		h.set(r, status.Paused)
		untold(true, true)
		h.stop()
		r = h.started()
		untold(true, true)
		h.set(r, status.Running)
		untold(false, false)
	})
}

func TestAnotherConfigurationLosesAndRepeatsNothing(t *testing.T) {
	longRaced(t)
	bare(t, coupatest.Config{Seed: 72, Rows: 300}, func(h *harness, r *running) {
		h.create(r, map[string]string{"coupa.rate.limit": "2"}) // the backfill is under way when it changes
		for i := range 12 {
			h.tenant.Update("invoices", int64(1+i))
			h.pass(700 * time.Millisecond)
			keys := map[string]string{"coupa.rate.limit": "2", "poll.interval.ms": fmt.Sprint(1000 + 100*i)}
			if _, created, err := r.Configure(h.t.Context(), "acme", h.submitted("acme", keys)); err != nil || created {
				t.Fatal(created, err)
			}
		}
		rate := "50"
		c, err := r.Patch(h.t.Context(), "acme", map[string]*string{"coupa.rate.limit": &rate, "poll.interval.ms": nil})
		if _, there := c.Config["poll.interval.ms"]; err != nil || c.Config["coupa.rate.limit"] != "50" || there {
			t.Errorf("%v, %v", c.Config, err)
		}
		h.pass(3 * time.Minute)
		h.check("invoices")
		h.check("suppliers")
	})
}

func TestAConnectorThatIsDeletedAndMadeAgainGoesOnWhereItWas(t *testing.T) {
	longRaced(t)
	bare(t, coupatest.Config{Seed: 73, Rows: 60}, func(h *harness, r *running) {
		h.create(r, nil)
		h.settle()
		if err := r.Delete(h.t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Connector("acme"); !errors.Is(err, ErrUnknownConnector) || len(r.Connectors()) != 0 {
			t.Errorf("%v, and there is %v", err, r.Connectors())
		}
		h.tenant.Update("invoices", 9)
		h.pass(time.Minute)
		if n := len(h.records("coupa.invoices")); n != 60 {
			t.Errorf("%d records of a connector that is gone", n)
		}
		h.create(r, nil)
		h.settle()
		if n := len(h.check("invoices")); n != 61 {
			t.Errorf("%d records, want 61", n)
		}
	})
}

func TestWhatCannotBeIsRefusedWithItsReason(t *testing.T) {
	bare(t, coupatest.Config{Seed: 74, Rows: 10}, func(h *harness, r *running) {
		h.create(r, nil)
		plain := h.submitted("other", map[string]string{"coupa.client.secret": "written-out"})
		_, err := r.Create(h.t.Context(), "other", plain, "")
		if problems := (config.Problems)(nil); !errors.As(err, &problems) || !strings.Contains(err.Error(), "coupa.client.secret") || !strings.Contains(err.Error(), "write a reference") {
			t.Errorf("a plain secret: %v", err)
		}
		if err != nil && strings.Contains(err.Error(), "written-out") {
			t.Error("the secret is in the error")
		}
		if _, err := r.Create(h.t.Context(), "acme", h.submitted("acme", nil), ""); !errors.Is(err, ErrConnectorExists) {
			t.Errorf("a second one of the name: %v", err)
		}
		if _, err := r.Create(h.t.Context(), "twin", h.submitted("acme", nil), ""); err == nil || !strings.Contains(err.Error(), "is streamed by acme too") {
			t.Errorf("a second one of the tenant: %v", err)
		}
		twin := h.submitted("acme", map[string]string{"name": "twin"})
		if err := r.Validate(twin); err == nil || !strings.Contains(err.Error(), "is streamed by acme too") {
			t.Errorf("what would not be taken is valid: %v", err)
		}
		if twin["name"] = "acme"; r.Validate(twin) != nil {
			t.Errorf("what is there is not valid: %v", r.Validate(twin))
		}
		for what, err := range map[string]error{
			"delete": r.Delete(h.t.Context(), "nobody"), "pause": r.SetState(h.t.Context(), "nobody", status.Paused),
			"restart": second(r.Restart(h.t.Context(), "nobody", RestartRequest{})), "offsets": second(r.Offsets(h.t.Context(), "nobody")),
			"patch": second(r.Patch(h.t.Context(), "nobody", nil)),
		} {
			if !errors.Is(err, ErrUnknownConnector) {
				t.Errorf("%s of an unknown connector: %v", what, err)
			}
		}
		if n := len(r.Connectors()); n != 1 {
			t.Errorf("%d connectors after all this", n)
		}
	})
}

// Records among the checkpoints that are not the worker's would
// be in the way of every worker that takes the shard over.
func TestTheWorkersOwnTopicsAreNotForConnectors(t *testing.T) {
	bare(t, coupatest.Config{Seed: 96, Rows: 10}, func(h *harness, r *running) {
		raw := h.submitted("acme", map[string]string{"name": "acme", "topic.template": r.settings.CheckpointTopic, "coupa.objects": "invoices"})
		if _, err := r.Create(h.t.Context(), "acme", raw, ""); err == nil || !strings.Contains(err.Error(), "where the worker puts its checkpoints") {
			t.Errorf("%v", err)
		}
		// the check, as another version of a worker may do
		past := func(configtopic.View) ([]configtopic.Change, error) {
			return []configtopic.Change{configtopic.PutConnector("acme", raw)}, nil
		}
		if _, err := r.store.Update(h.t.Context(), past); err != nil {
			t.Fatal(err)
		}
		h.settle()
		if c, err := r.Connector("acme"); err != nil || c.State != status.Failed || !strings.Contains(c.Trace, "where the worker puts its checkpoints") {
			t.Errorf("%+v, %v", c, err)
		}
	})
}

func second[T any](_ T, err error) error { return err }

func TestAConnectorOfAFileKeepsItsConfigurationAndCanBePaused(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 75, Rows: 60}, func(h *harness) {
		r := h.started()
		if _, _, err := r.Configure(h.t.Context(), "acme", h.submitted("acme", nil)); !errors.Is(err, ErrFromFile) {
			t.Errorf("another configuration: %v", err)
		}
		if err := r.Delete(h.t.Context(), "acme"); !errors.Is(err, ErrFromFile) {
			t.Errorf("deleting it: %v", err)
		}
		h.set(r, status.Paused)
		h.stop()
		h.tenant.Update("invoices", 2)
		r = h.started()
		h.expect(r, status.Paused, status.Paused, status.Paused)
		h.set(r, status.Running)
		h.settle()
		h.check("invoices")
		c, err := r.Connector("acme")
		if err != nil || !c.FromFile || c.Config["coupa.client.secret"] != "[hidden]" {
			t.Errorf("%+v, %v", c, err)
		}
	})
}

// two runs two workers of a group with a connector: the one that runs it, and the other.
func (h *harness) two() (owner, other *running) {
	h.t.Helper()
	h.unfiled = true
	first, second := h.join(nil), h.join(nil)
	h.pass(20 * time.Second)
	h.create(first, nil)
	h.settle()
	owners := h.owners("acme")
	switch {
	case len(owners) != 1:
		h.t.Fatalf("%d owners", len(owners))
	case owners[0] == first:
		return first, second
	}
	return second, first
}

func TestEveryWorkerOfAGroupKnowsAConnectorAndOneRunsIt(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 76, Rows: 60}, func(h *harness) {
		owner, other := h.two()
		c, err := other.Connector("acme")
		if err != nil || c.Owner.WorkerID != owner.cfg.Self.WorkerID || c.Owner.Local || c.State != status.Running {
			t.Errorf("the other worker knows %+v, %v; the owner is %v", c, err, owner.cfg.Self)
		}
		var elsewhere *NotOwnerError
		if _, err := other.Restart(h.t.Context(), "acme", RestartRequest{IncludeTasks: true}); !errors.As(err, &elsewhere) || elsewhere.Owner.URL != owner.cfg.Self.URL {
			t.Errorf("a restart asked of the other worker: %v", err)
		}
		if err := other.SetState(h.t.Context(), "acme", status.Paused); err != nil {
			t.Fatal(err)
		}
		h.pass(5 * time.Second)
		h.expect(owner, status.Paused, status.Paused, status.Paused)
		if err := other.SetState(h.t.Context(), "acme", status.Running); err != nil {
			t.Fatal(err)
		}
		h.leave(owner)
		h.tenant.Update("invoices", 5)
		h.settle()
		h.expect(other, status.Running, status.Running, status.Running)
		h.check("invoices")
	})
}

func TestAWorkerThatCannotUseAConnectorLeavesItToTheOneThatRunsIt(t *testing.T) {
	secrets := t.TempDir()
	if err := os.WriteFile(filepath.Join(secrets, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	simulate(t, coupatest.Config{Seed: 97, Rows: 20}, func(h *harness) {
		h.worker = map[string]string{"config.providers.dir.param.allowed.paths": secrets}
		owner, other := h.two()
		// what the other worker finds where references lead, and whether it looks at once
		finds := func(env config.Lookup, again bool) {
			if err := other.applying.Acquire(h.t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			defer other.applying.Release(1)
			other.cfg.Env = env
			if m, err := other.find("acme"); err != nil {
				t.Fatal(err)
			} else if again {
				other.rebuild(m)
			}
		}
		finds(noEnv, true)
		c, err := other.Connector("acme")
		if err != nil || c.State != status.Running || c.Trace != "" || c.Tenant != "acme" || c.Owner.WorkerID != owner.cfg.Self.WorkerID || len(c.Tasks) != 2 || c.Tasks[1].Object != "suppliers" {
			t.Errorf("%+v, %v", c, err)
		}
		elsewhere := new(NotOwnerError)
		if _, err := other.Offsets(h.t.Context(), "acme"); !errors.As(err, &elsewhere) || elsewhere.Owner.URL != owner.cfg.Self.URL {
			t.Errorf("its positions: %v", err)
		}
		if _, err := other.Restart(h.t.Context(), "acme", RestartRequest{}); !errors.As(err, &elsewhere) {
			t.Errorf("a restart: %v", err)
		}
		if m, err := other.find("acme"); err != nil || m.c != nil {
			t.Errorf("usable without its secret: %v", err)
		}
		twin := h.submitted("acme", map[string]string{"name": "twin"})
		if _, err := other.Create(h.t.Context(), "twin", twin, ""); err == nil || !strings.Contains(err.Error(), "coupa.client.secret") {
			t.Errorf("without its secret: %v", err)
		}
		twin["coupa.client.secret"] = "${dir:" + secrets + ":secret}"
		if _, err := other.Create(h.t.Context(), "twin", twin, ""); err == nil || !strings.Contains(err.Error(), "is streamed by acme too") {
			t.Errorf("a second one of what another worker runs: %v", err)
		}
		h.leave(owner)
		h.pass(time.Minute)
		if c, err := other.Connector("acme"); err != nil || c.State != status.Failed || !c.Owner.Local || !strings.Contains(c.Trace, "COUPA_SECRET") ||
			len(c.Tasks) != 2 || c.Tasks[0].State != status.Failed || c.Tasks[0].Trace != c.Trace {
			t.Errorf("as the one that has to run it: %+v, %v", c, err)
		}
		if _, err := other.Offsets(h.t.Context(), "acme"); err == nil || !strings.Contains(err.Error(), "can't be used") {
			t.Errorf("%v", err)
		}
		h.pass(5 * time.Minute)
		if n := strings.Count(h.log.String(), "configuration can't be used"); n != 1 {
			t.Errorf("it is said %d times", n)
		}
		finds(h.lookup, false)
		h.tenant.Update("invoices", 5)
		h.pass(usableAgain)
		h.settle()
		h.expect(other, status.Running, status.Running, status.Running)
		h.check("invoices")
	})
}

// A worker that is slow to say which shards it has got says nothing of those
// that have gone to another one since, though it is a member of the group still.
func TestAnOldAnnouncementTakesNoShardFromItsOwner(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 85, Rows: 20}, func(h *harness) {
		owner, other := h.two()
		other.announce(h.t.Context(), []int32{0, 1}, 1, func(context.Context) error { return nil })
		h.settle()
		if c, err := other.Connector("acme"); err != nil || c.Owner.WorkerID != owner.cfg.Self.WorkerID || c.State != status.Running {
			t.Errorf("%+v, %v; the owner is %v", c, err, owner.cfg.Self)
		}
	})
}

func TestARestartReadsTheConfigurationAgain(t *testing.T) {
	bare(t, coupatest.Config{Seed: 77, Rows: 20}, func(h *harness, r *running) {
		h.env["COUPA_SECRET"] = "" // gone where the worker looks
		_, err := r.Create(h.t.Context(), "acme", h.submitted("acme", nil), "")
		if err == nil {
			t.Fatal("a connector was made without its secret")
		}
		h.env["COUPA_SECRET"] = "secret"
		h.create(r, nil)
		h.settle()
		h.stop()
		h.env["COUPA_SECRET"] = ""
		r = h.started()
		if c, err := r.Connector("acme"); err != nil || c.State != status.Failed || !strings.Contains(c.Trace, "COUPA_SECRET") {
			t.Errorf("without the secret: %+v, %v", c, err)
		}
		h.env["COUPA_SECRET"] = "secret"
		if _, err := r.Restart(h.t.Context(), "acme", RestartRequest{}); err != nil {
			t.Fatal(err)
		}
		h.tenant.Update("invoices", 5)
		h.settle()
		h.expect(r, status.Running, status.Running, status.Running)
		h.check("invoices")
	})
}

func TestAFailedTaskRestartsItselfUntilItsCircuitOpens(t *testing.T) {
	longRaced(t)
	bare(t, coupatest.Config{Seed: 78, Rows: 20}, func(h *harness, r *running) {
		set := func(row int, total string) {
			h.tenant.SetMember("invoices", h.tenant.Rows("invoices")[row].ID, "gross-total", total)
		}
		set(3, `"twelve"`)
		h.create(r, nil)
		h.settle()
		// for the polls: one that ended before the backfill failed would end the row of failures
		set(4, `"twelve"`)
		task := func() status.TaskStatus { return r.Connectors()[0].Tasks[0] }
		if s := task(); s.State != status.Failed || s.NextTry.Before(time.Now()) {
			t.Errorf("%s, again at %v", s.State, s.NextTry)
		}
		for range 20 {
			h.pass(time.Minute)
			if s := task(); s.CircuitOpen != (s.State == status.Failed && s.Restarts >= stream.CircuitOpensAt-1) {
				t.Errorf("%d restarts, the circuit is open: %v", s.Restarts, s.CircuitOpen)
			}
		}
		h.pass(3 * time.Hour)
		if s := task(); !s.CircuitOpen || s.Restarts > 15 {
			t.Errorf("%d restarts in 3 hours, the circuit is open: %v", s.Restarts, s.CircuitOpen)
		}
		set(3, `"12.00"`)
		set(4, `"12.00"`)
		if _, err := r.Restart(h.t.Context(), "acme", RestartRequest{IncludeTasks: true, OnlyFailed: true}); err != nil {
			t.Fatal(err)
		}
		h.settle()
		if s := task(); s.State != status.Running || s.CircuitOpen || s.Restarts != 0 || !s.NextTry.IsZero() {
			t.Errorf("after it was mended: %+v", s)
		}
		h.check("invoices")
	})
}

func TestWhateverIsAskedOfAConnectorNothingIsLostOrRepeated(t *testing.T) {
	for seed := range random(25, unlessRaced[uint64](2, 1)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bare(t, coupatest.Config{Seed: 80 + seed, Rows: 150}, func(h *harness, r *running) {
				random := rand.New(rand.NewPCG(seed, 1))
				h.create(r, map[string]string{"coupa.rate.limit": "5"})
				for i := range 40 {
					h.tenant.Update("invoices", int64(1+random.IntN(150)))
					h.tenant.Create("suppliers")
					var err error
					switch random.IntN(7) {
					case 0:
						err = r.SetState(h.t.Context(), "acme", status.Paused)
					case 1:
						err = r.SetState(h.t.Context(), "acme", status.Stopped)
					case 2, 3:
						err = r.SetState(h.t.Context(), "acme", status.Running)
					case 4:
						_, err = r.Restart(h.t.Context(), "acme", RestartRequest{IncludeTasks: true})
					case 5:
						n := random.IntN(2)
						c, _ := r.Connector("acme")
						if _, err = r.Restart(h.t.Context(), "acme", RestartRequest{Task: &n}); c.Untold.Tasks && errors.Is(err, ErrUnknownTask) {
							err = nil
						}
					case 6:
						_, _, err = r.Configure(h.t.Context(), "acme", h.submitted("acme", map[string]string{"coupa.rate.limit": fmt.Sprint(5 + i)}))
					}
					if err != nil {
						h.t.Fatal(err)
					}
					h.pass(time.Duration(random.IntN(3000)) * time.Millisecond)
				}
				h.set(r, status.Running)
				h.pass(3 * time.Minute)
				h.check("invoices")
				h.check("suppliers")
			})
		})
	}
}

func TestARequestWaitsForItsTurnNoLongerThanItMay(t *testing.T) {
	bare(t, coupatest.Config{Seed: 80, Rows: 60}, func(h *harness, r *running) {
		h.create(r, nil)
		h.settle()
		held := h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, TxnID: h.transactionalID("acme"), Err: kerr.CoordinatorNotAvailable, Count: -1})
		moved := make(chan error, 1)
		go func() {
			moved <- r.MoveOffsets(h.t.Context(), "acme", []status.Offset{{Tenant: "acme", Object: "invoices", Reset: true}}, status.Asker{})
		}()
		h.pass(time.Second) // its transaction does not end
		ctx, cancel := context.WithTimeout(h.t.Context(), 2*time.Second)
		defer cancel()
		asked := time.Now()
		if err := r.SetState(ctx, "acme", status.Paused); !errors.Is(err, context.DeadlineExceeded) || time.Since(asked) != 2*time.Second {
			t.Errorf("behind a transaction that does not end: %v after %v", err, time.Since(asked))
		}
		held.Remove()
		if err := <-moved; err != nil {
			t.Error(err)
		}
		h.settle()
		// it was written, and is done when its turn comes
		h.expect(r, status.Paused, status.Paused, status.Paused)
	})
}

func TestPositionsAreMovedByRequest(t *testing.T) {
	longRaced(t)
	bare(t, coupatest.Config{Seed: 79, Rows: 60}, func(h *harness, r *running) {
		h.create(r, nil)
		h.settle()
		before := time.Now()
		for id := range int64(5) {
			h.tenant.Update("invoices", 1+id)
		}
		h.settle()
		// marked: of these, those that say that they are there since positions were moved
		count := func(want, marked int, after string) {
			t.Helper()
			records := h.records("coupa.invoices")
			if n := requested(records); len(records) != want || n != marked {
				t.Errorf("%d records after %s, %d of them marked as requested, want %d and %d", len(records), after, n, want, marked)
			}
		}
		count(65, 0, "5 changes")
		invoices := status.Offset{Tenant: "acme", Object: "invoices", UpdatedAt: before}
		if err := r.AlterOffsets(h.t.Context(), "acme", []status.Offset{invoices}, status.Asker{}); !errors.Is(err, ErrNotStopped) {
			t.Errorf("while it runs: %v", err)
		}
		h.set(r, status.Stopped)
		if err := r.AlterOffsets(h.t.Context(), "acme", []status.Offset{invoices}, status.Asker{}); err != nil {
			t.Fatal(err)
		}
		offsets, err := r.Offsets(h.t.Context(), "acme")
		if err != nil || len(offsets) != 2 || !offsets[0].UpdatedAt.Equal(before.Truncate(time.Second)) {
			t.Errorf("%+v, %v", offsets, err)
		}
		h.set(r, status.Running)
		h.settle()
		count(70, 5, "going back to before the changes")
		h.move(r, status.Offset{Reset: true})
		h.settle()
		count(130, 65, "beginning anew while the connector runs")
		if n := len(h.records("coupa.suppliers")); n != 60 {
			t.Errorf("%d suppliers, which nobody moved", n)
		}
		h.tenant.Update("invoices", 7)
		h.settle()
		count(131, 65, "one more change")
		h.set(r, status.Stopped)
		if err := r.ResetOffsets(h.t.Context(), "acme", status.Asker{}); err != nil {
			t.Fatal(err)
		}
		if offsets, err := r.Offsets(h.t.Context(), "acme"); err != nil || len(offsets) != 0 {
			t.Errorf("after a reset: %+v, %v", offsets, err)
		}
		h.stop()
		r = h.started()
		h.set(r, status.Running)
		h.settle()
		count(191, 125, "a reset of all")
		for what, o := range map[string]status.Offset{
			"an object of nobody": {Tenant: "acme", Object: "contracts", UpdatedAt: before}, "no time": {Tenant: "acme", Object: "invoices"},
			"the future": {Tenant: "acme", Object: "invoices", UpdatedAt: before.AddDate(1, 0, 0)},
		} {
			if problems := (config.Problems)(nil); !errors.As(r.MoveOffsets(h.t.Context(), "acme", []status.Offset{o}, status.Asker{}), &problems) {
				t.Errorf("%s is accepted", what)
			}
		}
	})
}

func TestAPositionWithAnIDReadsWhatLiesAboveIt(t *testing.T) {
	bare(t, coupatest.Config{Seed: 90, Rows: 60}, func(h *harness, r *running) {
		h.create(r, nil)
		h.settle()
		at := time.Now().Add(-time.Second)
		h.move(r, status.Offset{UpdatedAt: at, ID: h.tenant.Rows("invoices")[39].ID})
		h.settle()
		if n := len(h.records("coupa.invoices")); n != 80 {
			t.Errorf("%d records, want 60 and the last 20 once more", n)
		}
	})
}

func TestAnyWatcherHearsOfAChange(t *testing.T) {
	bare(t, coupatest.Config{Seed: 91, Rows: 5}, func(h *harness, r *running) {
		ctx, cancel := context.WithCancel(h.t.Context())
		defer cancel()
		ch := r.Watch(ctx)
		h.create(r, nil)
		<-ch
		h.settle()
		<-ch
	})
}

func TestASecretOfAFileIsNotShownWhenItsConfigurationCannotBeUsed(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 92, Rows: 5}, func(h *harness) {
		h.keys["coupa.client.id"] = "${env:COUPA_ID}"
		h.env["COUPA_ID"] = "id"
		r := h.started()
		h.env["COUPA_ID"] = ""
		if _, err := r.Restart(h.t.Context(), "acme", RestartRequest{}); err != nil {
			t.Fatal(err)
		}
		c, err := r.Connector("acme")
		if err != nil || c.State != status.Failed || c.Config["coupa.client.secret"] != "[hidden]" || c.Config["coupa.client.id"] != "${env:COUPA_ID}" {
			t.Errorf("%+v, %v", c, err)
		}
	})
}

// Streams go from one connector to another, and both changes are met at once: the
// first lets go of them before the other begins, however long its last commit takes.
func TestStreamsThatMoveBetweenConnectorsHaveOnePollerAtATime(t *testing.T) {
	longRaced(t)
	bare(t, coupatest.Config{Seed: 92, Rows: 20}, func(h *harness, r *running) {
		arrange := func(first, second string) {
			t.Helper()
			var changes []configtopic.Change
			for name, object := range map[string]string{"first": first, "second": second} {
				changes = append(changes, configtopic.PutConnector(name, h.submitted("acme", map[string]string{"name": name, "coupa.objects": object})))
			}
			if _, err := r.store.Update(h.t.Context(), func(configtopic.View) ([]configtopic.Change, error) { return changes, nil }); err != nil {
				t.Fatal(err)
			}
		}
		arrange("invoices", "suppliers")
		h.settle()
		var slow atomic.Bool
		h.cluster.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
			if !slow.Swap(true) {
				h.cluster.SleepControl(func() { time.Sleep(20 * time.Second) })
			}
			return nil, nil, false
		})
		for id := range int64(8) {
			h.tenant.Update("invoices", 1+id)
		}
		h.pass(5 * time.Second)
		arrange("suppliers", "invoices")
		h.pass(time.Minute)
		h.check("invoices")
		h.check("suppliers")
	})
}

// A connector of the config topic that streams what a file's
// does came there while no worker with that file was asked.
func TestOfTwoConnectorsOfOneStreamTheFirstRuns(t *testing.T) {
	bare(t, coupatest.Config{Seed: 93, Rows: 20}, func(h *harness, r *running) {
		if _, err := r.Create(h.t.Context(), "twin", h.submitted("acme", nil), ""); err != nil {
			t.Fatal(err)
		}
		h.stop()
		h.unfiled = false
		r = h.started()
		twin, err := r.Connector("twin")
		if err != nil || twin.State != status.Failed || !strings.Contains(twin.Trace, "is streamed by acme already") {
			t.Errorf("%+v, %v", twin, err)
		}
		h.tenant.Update("invoices", 3)
		h.settle()
		h.expect(r, status.Running, status.Running, status.Running)
		h.check("invoices")
		h.stop()
		h.unfiled = true
		r = h.started()
		if twin, err := r.Connector("twin"); err != nil || twin.State != status.Running {
			t.Errorf("without the file: %+v, %v", twin, err)
		}
	})
}

// What was published of pages that could not be trusted is
// published once more too where a position is moved.
func TestAPositionThatIsMovedForgetsWhatWasInDoubt(t *testing.T) {
	longRaced(t)
	bare(t, coupatest.Config{Seed: 93, Rows: 60, RowBytes: 100 << 10, Objects: []string{"invoices"}}, func(h *harness, r *running) {
		h.tenant.Inject(coupatest.Fault{Kind: coupatest.LongPage, Object: "invoices", Count: 2})
		h.create(r, map[string]string{"custom.fields": "off"}) // no page is read but those of walks
		h.pass(30 * time.Minute)
		if n := len(h.records("coupa.invoices")); n != 60 {
			t.Fatalf("%d records of 60 rows", n)
		}
		h.move(r, status.Offset{Reset: true})
		h.pass(10 * time.Minute)
		if n := len(h.records("coupa.invoices")); n != 120 {
			t.Errorf("%d records, want 60 rows twice", n)
		}
	})
}
