package connector

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/connector/stream"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// join starts a worker beside the others, with a state folder and a network of its own.
func (h *harness) join(keys map[string]string) *running {
	h.t.Helper()
	all := map[string]string{"state.dir": h.t.TempDir()}
	maps.Copy(all, keys)
	l := newLink(h.net.DialContext)
	r := h.run(h.build(all, []kgo.Opt{kgo.SeedBrokers("127.0.0.1:9092"), kgo.Dialer(l.DialContext)}))
	r.link = l
	h.members = append(h.members, r)
	return r
}

func TestWorkersOfOneAddressAreTold(t *testing.T) {
	for _, twins := range []bool{true, false} {
		t.Run(fmt.Sprint(twins), func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 98, Rows: 5}, func(h *harness) {
				h.unfiled = true
				for range 2 {
					h.join(nil)
					if twins {
						h.made.Store(0)
					}
					h.pass(20 * time.Second)
				}
				told := func() int { return strings.Count(h.log.String(), "has this one's address") }
				if n := told(); twins != (n > 0) || n > 2 {
					t.Errorf("twins %v: told %d times", twins, n)
				}
				if twins {
					return
				}
				for range 3 { // who goes and comes back is no twin
					h.leave(h.members[1])
					h.pass(20 * time.Second)
					h.made.Store(1)
					h.join(nil)
					h.pass(20 * time.Second)
				}
				if n := told(); n > 0 {
					t.Errorf("one that came back at its address is told to be another's twin, %d times", n)
				}
			})
		})
	}
}

// leave stops a worker cleanly.
func (h *harness) leave(r *running) {
	h.t.Helper()
	h.members = slices.DeleteFunc(h.members, func(m *running) bool { return m == r })
	h.end(r)
}

// tenantIn adds a tenant that belongs to a partition and gives its name.
func (h *harness) tenantIn(partition int32, cfg coupatest.Config) string {
	h.t.Helper()
	cfg.ClientID, cfg.ClientSecret = "id", "secret"
	cfg.Objects = []string{"invoices", "suppliers"}
	for i := 0; ; i++ {
		name := fmt.Sprintf("tenant%d", i)
		if _, taken := h.others[name]; !taken && checkpoint.PartitionOf(name, h.partitions()) == partition {
			h.others[name] = coupatest.New(cfg)
			return name
		}
	}
}

// partitions of the checkpoint topic.
func (h *harness) partitions() int32 {
	if n, err := strconv.ParseInt(h.worker["checkpoint.topic.partitions"], 10, 32); err == nil {
		return int32(n)
	}
	return 2
}

// owners gives the workers that run a tenant, as their status says.
func (h *harness) owners(tenant string) []*running {
	var owners []*running
	all := slices.Clone(h.members)
	if h.running != nil {
		all = append(all, h.running)
	}
	for _, r := range all {
		for _, c := range r.Connectors() {
			if c.Name == tenant && c.Tasks[0].State == status.Running {
				owners = append(owners, r)
			}
		}
	}
	return owners
}

// owner is the one worker that runs a tenant.
func (h *harness) owner(tenant string) *running {
	h.t.Helper()
	owners := h.owners(tenant)
	if len(owners) != 1 {
		h.t.Fatalf("%s has %d owners", tenant, len(owners))
	}
	return owners[0]
}

// restores counts how often shards were restored, by shard.
func (h *harness) restores() map[string]int {
	n := map[string]int{}
	for line := range strings.Lines(h.log.String()) {
		if strings.Contains(line, `msg="shard restored"`) {
			_, rest, _ := strings.Cut(line, "shard=")
			shard, _, _ := strings.Cut(rest, " ")
			n[shard]++
		}
	}
	return n
}

// shared runs f with a tenant in each of two partitions: acme and the one that is given.
func shared(t *testing.T, seed uint64, f func(h *harness, other string)) {
	t.Helper()
	simulate(t, coupatest.Config{Seed: seed, Rows: 130}, func(h *harness) {
		f(h, h.tenantIn(1-checkpoint.PartitionOf("acme", h.partitions()), coupatest.Config{Seed: seed + 1, Rows: 130}))
	})
}

func (h *harness) change(tenant string, n int64) {
	t, _ := h.named(tenant)
	t.Update("invoices", 1+n%130)
	t.Create("suppliers")
}

func (h *harness) checkAll() {
	h.t.Helper()
	for _, tenant := range append([]string{"acme"}, slices.Collect(maps.Keys(h.others))...) {
		h.checkOf(tenant, "invoices")
		h.checkOf(tenant, "suppliers")
	}
}

func TestTwoWorkersShareTheShards(t *testing.T) {
	shared(t, 300, func(h *harness, other string) {
		a := h.join(nil)
		h.settle()
		if h.owner("acme") != a || h.owner(other) != a {
			t.Fatal("a single worker does not run everything")
		}
		h.join(nil)
		for i := range 20 {
			h.change("acme", int64(i))
			h.change(other, int64(i))
			h.pass(700 * time.Millisecond)
		}
		h.settle()
		if h.owner("acme") == h.owner(other) {
			t.Error("one of two workers runs both shards")
		}
		h.checkAll()
	})
}

func TestAWorkerThatStopsHandsItsShardsOverAtOnce(t *testing.T) {
	longRaced(t)
	shared(t, 310, func(h *harness, other string) {
		h.join(nil)
		h.join(nil)
		h.settle()
		leaving, left := h.owner("acme"), h.owner(other)
		h.change("acme", 1)
		h.leave(leaving)
		h.change("acme", 2)
		h.pass(3 * time.Second)
		if h.owner("acme") != left {
			t.Error("the tenant of the worker that has stopped is not with the other one")
		}
		h.settle()
		h.checkAll()
	})
}

func TestAWorkerThatWasCutOffComesBackAndDisturbsNobody(t *testing.T) {
	longRaced(t)
	cuts := []time.Duration{12 * time.Second, 9 * time.Second, 70 * time.Second}
	for _, off := range unlessRaced(cuts, cuts[:1]) {
		t.Run(off.String(), func(t *testing.T) {
			shared(t, 320, func(h *harness, other string) {
				h.keys["poll.interval.ms"] = "3000"
				h.join(nil)
				h.join(nil)
				h.settle()
				changes := int64(0)
				during := func(d time.Duration) {
					for end := time.Now().Add(d); time.Now().Before(end); changes++ {
						h.change("acme", changes)
						h.change(other, changes)
						h.pass(600 * time.Millisecond)
					}
				}
				zombie := h.owner("acme")
				during(2 * time.Second)
				zombie.link.cut()
				during(off)
				zombie.link.mend()
				during(20 * time.Second)
				h.pass(time.Minute)
				h.owner("acme")
				h.owner(other)
				if h.owner("acme") == h.owner(other) {
					t.Error("one of two workers runs both shards")
				}
				h.change("acme", changes)
				h.change(other, changes)
				h.settle()
				h.checkAll()
			})
		})
	}
}

func TestTheShardsOfADeadWorkerAreTakenOver(t *testing.T) {
	longRaced(t)
	shared(t, 330, func(h *harness, other string) {
		h.join(nil)
		h.join(nil)
		h.settle()
		dead, left := h.owner("acme"), h.owner(other)
		h.change("acme", 1)
		dead.link.cut()
		h.change("acme", 2)
		h.pass(13 * time.Second)
		h.members = slices.DeleteFunc(h.members, func(m *running) bool { return m == dead })
		if h.owner("acme") != left {
			t.Error("the dead worker's tenant is not with the other one")
		}
		h.settle()
		h.checkAll()
		h.end(dead)
	})
}

// idOf is the member id of the worker that owns a tenant's shard, as the group has it.
func (h *harness) idOf(tenant string) string {
	h.t.Helper()
	cl, err := kgo.NewClient(h.kafka()...)
	if err != nil {
		h.t.Fatal(err)
	}
	defer cl.Close()
	groups, err := kadm.NewClient(cl).DescribeGroups(h.t.Context(), "coupastream")
	if err != nil {
		h.t.Fatal(err)
	}
	for _, m := range groups["coupastream"].Members {
		if c, ok := m.Assigned.AsConsumer(); ok && len(c.Topics) == 1 && slices.Contains(c.Topics[0].Partitions, checkpoint.PartitionOf(tenant, h.partitions())) {
			return m.MemberID
		}
	}
	h.t.Fatalf("the group gives %s to nobody", tenant)
	return ""
}

// takes counts the requests for a tenant's transactional id from now on.
func (h *harness) takes(tenant string) *kfake.FaultHandle {
	return h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, TxnID: h.transactionalID(tenant), Observe: true, Count: -1})
}

func (h *harness) transactionalID(tenant string) string {
	return fmt.Sprintf("coupastream-%d", checkpoint.PartitionOf(tenant, h.partitions()))
}

// TestAWorkerThatTheGroupHasGivenUpDoesNotTakeTheIdBack: a worker that has been
// replaced without knowing it, and whose commit ends in the unknown, rebuilds its
// shard. If it took the transactional id for that, the new owner would be fenced.
func TestAWorkerThatTheGroupHasGivenUpDoesNotTakeTheIdBack(t *testing.T) {
	longRaced(t)
	shared(t, 340, func(h *harness, other string) {
		deaf := h.join(map[string]string{"heartbeat.interval.ms": "4900"})
		h.settle()
		successor := h.join(map[string]string{"heartbeat.interval.ms": "50"})
		h.pass(10 * time.Second)
		tenant := "acme"
		if h.owner(tenant) != deaf {
			tenant = other
		}
		id := h.idOf(tenant)
		heartbeat := h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Observe: true, Count: -1, When: func(r kmsg.Request) bool {
			return r.(*kmsg.HeartbeatRequest).MemberID == id
		}})
		if err := heartbeat.Wait(h.t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		takes := h.takes(tenant)
		unknown := h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, TxnID: h.transactionalID(tenant), Err: kerr.InvalidTxnState})
		h.change(tenant, 1)
		if err := unknown.Wait(h.t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		h.evict(id)
		h.pass(time.Second)
		if !strings.Contains(h.log.String(), "waits for the group's word") {
			t.Error("the worker did not ask the group")
		}
		h.settle()
		if n := takes.Hits(); n != 1 {
			t.Errorf("the transactional id was taken %d times, want once, by the new owner", n)
		}
		if strings.Contains(h.log.String(), "fenced") {
			t.Error("a shard was fenced")
		}
		if h.owner(tenant) != successor {
			t.Error("the shard is not with its new owner")
		}
		h.change(tenant, 2)
		h.settle()
		h.checkAll()
	})
}

// evict makes the group believe that a member has left.
func (h *harness) evict(id string) {
	h.t.Helper()
	cl, err := kgo.NewClient(h.kafka()...)
	if err != nil {
		h.t.Fatal(err)
	}
	defer cl.Close()
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = "coupastream"
	req.Members = []kmsg.LeaveGroupRequestMember{{MemberID: id}}
	resp, err := req.RequestWith(h.t.Context(), cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.Members[0].ErrorCode)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

func TestAShardThatAStrangerFencesGoesOnAfterASessionTimeout(t *testing.T) {
	shared(t, 350, func(h *harness, other string) {
		w := h.join(nil)
		h.settle()
		stranger, err := kgo.NewClient(append(h.kafka(), kgo.TransactionalID(h.transactionalID("acme")))...)
		if err != nil {
			t.Fatal(err)
		}
		defer stranger.Close()
		if _, _, err := stranger.ProducerID(h.t.Context()); err != nil {
			t.Fatal(err)
		}
		takes := h.takes("acme")
		h.change("acme", 1)
		h.change(other, 1)
		h.pass(9 * time.Second)
		if s := w.Connectors()[0].Tasks[0]; s.State != status.Failed || !strings.Contains(s.Trace, "fenced") {
			t.Errorf("acme: %s %q, want FAILED because it was fenced", s.State, s.Trace)
		}
		if s := w.Connectors()[1].Tasks[0]; s.State != status.Running {
			t.Errorf("%s: %s %q", other, s.State, s.Trace)
		}
		if n := takes.Hits(); n > 0 {
			t.Errorf("the id was taken back %d times within the session timeout", n)
		}
		h.checkOf(other, "invoices")
		h.pass(7 * time.Second)
		if s := w.Connectors()[0].Tasks[0]; s.State != status.Running || s.Trace != "" {
			t.Errorf("acme: %s %q, want RUNNING", s.State, s.Trace)
		}
		if n := strings.Count(h.log.String(), "level=ERROR"); n != 1 {
			t.Errorf("%d errors in the log, want one", n)
		}
		h.checkAll()
	})
}

func TestARollingRestartOfStaticMembersMovesNoShard(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 360, Rows: 130}, func(h *harness) {
		h.worker["checkpoint.topic.partitions"] = "6"
		var tenants []string
		for n := range int32(6) {
			if n != checkpoint.PartitionOf("acme", h.partitions()) {
				tenants = append(tenants, h.tenantIn(n, coupatest.Config{Seed: uint64(361 + n), Rows: 60}))
			}
		}
		members := make([]*running, 3)
		keys := make([]map[string]string, 3)
		for i := range members {
			keys[i] = map[string]string{"group.instance.id": fmt.Sprint("worker-", i), "state.dir": t.TempDir()}
			members[i] = h.join(keys[i])
		}
		h.settle()
		before := h.restores()
		for i := range members {
			h.leave(members[i])
			for k, tenant := range tenants {
				h.change(tenant, int64(k))
			}
			h.pass(5 * time.Second)
			members[i] = h.join(keys[i])
			h.settle()
		}
		after := h.restores()
		for n, count := range after {
			if moved := count - before[n]; moved != 1 {
				t.Errorf("shard %s was restored %d times, want once, by its own worker", n, moved)
			}
		}
		for _, tenant := range tenants {
			h.owner(tenant)
		}
		h.checkAll()
	})
}

func TestAWorkerThatCantBeAMemberEndsAndSaysWhatToDo(t *testing.T) {
	longRaced(t)
	t.Run("no right", func(t *testing.T) {
		simulate(t, coupatest.Config{Seed: 370, Rows: 60}, func(h *harness) {
			h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Err: kerr.GroupAuthorizationFailed, Count: -1})
			err := h.ended(h.join(nil))
			if err == nil || !strings.Contains(err.Error(), "allow this principal READ on group coupastream") {
				t.Errorf("ended with %v, want the right that is missing", err)
			}
		})
	})
	t.Run("a session timeout that the brokers refuse", func(t *testing.T) {
		simulate(t, coupatest.Config{Seed: 371, Rows: 60}, func(h *harness) {
			err := h.ended(h.join(map[string]string{"session.timeout.ms": "3000"}))
			if err == nil || !strings.Contains(err.Error(), "session.timeout.ms = 3000") {
				t.Errorf("ended with %v, want the key and its value", err)
			}
		})
	})
	t.Run("two workers with one group.instance.id", func(t *testing.T) {
		shared(t, 372, func(h *harness, other string) {
			keys := map[string]string{"group.instance.id": "worker-1"}
			first := h.join(keys)
			h.settle()
			h.join(keys)
			h.change("acme", 1)
			err := h.ended(first)
			if err == nil || !strings.Contains(err.Error(), "group.instance.id = worker-1") {
				t.Errorf("ended with %v, want the key and its value", err)
			}
			h.change(other, 1)
			h.settle()
			h.owner("acme")
			h.checkAll()
		})
	})
}

// ended gives the error that a worker ends with by itself.
func (h *harness) ended(r *running) error {
	h.t.Helper()
	h.members = slices.DeleteFunc(h.members, func(m *running) bool { return m == r })
	select {
	case err := <-r.done:
		return err
	case <-time.After(time.Minute):
		h.t.Error("the worker does not end by itself")
		h.end(r)
		return nil
	}
}

func TestTheGroupReadsNothing(t *testing.T) {
	longRaced(t)
	shared(t, 380, func(h *harness, other string) {
		h.join(nil)
		h.join(nil)
		h.settle()
		read := h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "coupastream-checkpoints", Observe: true, Count: -1})
		for i := range 20 {
			h.change("acme", int64(i))
			h.change(other, int64(i))
			h.pass(3 * time.Second)
		}
		if n := read.Hits(); n > 0 {
			t.Errorf("the checkpoint topic was read %d times by members that have restored their shards", n)
		}
	})
}

// stubborn is a Coupa whose pages do not come, and whose
// client does not listen to its context, until it is released.
type stubborn struct {
	stream.Source
	release chan struct{}
}

func (s stubborn) Fetch(ctx context.Context, q coupa.Query, yield func(coupa.Row) error) (coupa.Page, error) {
	<-s.release
	return s.Source.Fetch(ctx, q, yield)
}

func TestAShardThatDoesNotEndIsAbandonedAndNotRunBesideItself(t *testing.T) {
	longRaced(t)
	shared(t, 390, func(h *harness, other string) {
		released := make(chan struct{})
		release := sync.OnceFunc(func() { close(released) })
		defer release()
		h.source = func(s stream.Source) stream.Source { return stubborn{s, released} }
		stuck := h.join(nil)
		h.pass(5 * time.Second)
		h.source = nil
		second := h.join(nil)
		h.pass(20 * time.Second)
		tenant := "acme"
		if !slices.Contains(h.owners(tenant), second) {
			tenant = other
		}
		if h.owner(tenant) != second {
			t.Fatal("the second worker got no shard from one that does not let go")
		}
		h.change(tenant, 1)
		h.pass(5 * time.Second)
		takes := h.takes(tenant)
		h.leave(second)
		h.pass(20 * time.Second)
		if n := takes.Hits(); n > 0 {
			t.Error("a shard was started while its former run was not over")
		}
		release()
		h.settle()
		if h.owner(tenant) != stuck {
			t.Error("the shard does not run")
		}
		h.checkAll()
	})
}

func TestAWorkerThatWasIdleForADayTakesOverWithoutWaitingForAToken(t *testing.T) {
	longRaced(t)
	shared(t, 400, func(h *harness, other string) {
		h.worker["heartbeat.interval.ms"], h.keys["poll.interval.ms"], h.keys["lookback.ms"] = "4900", "600000", "0"
		h.join(nil)
		h.join(nil)
		h.pass(25 * time.Hour)
		h.change("acme", 1)
		h.pass(5 * time.Second)
		before := len(h.records("coupa.invoices"))
		h.leave(h.owner("acme"))
		h.pass(7 * time.Second) // a heartbeat until the group tells, and time to read
		if n := len(h.records("coupa.invoices")) - before; n != 1 {
			t.Errorf("%d records soon after the take-over, want the change", n)
		}
		h.checkAll()
	})
}

func TestShardsThatMoveToAWorkerThatJoinsDoNotWaitForItsTokens(t *testing.T) {
	longRaced(t)
	shared(t, 410, func(h *harness, other string) {
		h.join(nil)
		h.settle()
		h.join(nil)
		longest := map[string]time.Duration{}
		published := map[string]int{}
		since := map[string]time.Time{}
		for i := range 100 {
			for tenant, topic := range map[string]string{"acme": "coupa.suppliers", other: other + ".suppliers"} {
				h.change(tenant, int64(i))
				if n := len(h.recordsOf(tenant, topic)); n > published[tenant] || i == 0 {
					published[tenant], since[tenant] = n, time.Now()
				}
				longest[tenant] = max(longest[tenant], time.Since(since[tenant]))
			}
			h.pass(200 * time.Millisecond)
		}
		for tenant, pause := range longest {
			if pause > 4500*time.Millisecond {
				t.Errorf("%s: nothing was published for %v", tenant, pause)
			}
		}
		if h.owner("acme") == h.owner(other) {
			t.Error("one of two workers runs both shards")
		}
	})
}
