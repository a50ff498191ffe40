//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupastream/coupastream/connector/internal/failpoint"
)

// brokersSettings are those of several brokers beside kafka.sh's: a transactional id is forgotten when it
// was not used for a while, where Kafka's default is a week. It is longer than a sweep or a turn of marks
// takes, which would else find the id gone whenever it comes to commit.
const brokersSettings = "transactional.id.expiration.ms=45000\ntransaction.remove.expired.transaction.cleanup.interval.ms=2000"

// blow is what happens to the parts around the workers, whatever these are about.
type blow struct {
	name string
	// strike carries it out, and gives what undoes it.
	strike func(*scene) (heal func())
}

// role is what a broker is struck for.
type role struct {
	name string
	find func(*scene) (broker int32, err error)
}

// The roles. Of a partition it is its leader, and of an id its coordinator.
var (
	leadsData        = role{"the leader of a partition of data", func(s *scene) (int32, error) { return s.leader(s.topicsOf(s.tenants[0])...) }}
	leadsCheckpoints = role{"the leader of a partition of checkpoints", func(s *scene) (int32, error) { return s.leader(s.group + "-checkpoints") }}
	coordinatesTxn   = role{"the transaction coordinator", func(s *scene) (int32, error) {
		id := s.transactionalIDs()[0]
		found := s.p.topics.FindTxnCoordinators(s.Context(), id)[id]
		return found.NodeID, found.Err
	}}
	coordinatesGroup = role{"the group coordinator", func(s *scene) (int32, error) {
		found := s.p.topics.FindGroupCoordinators(s.Context(), s.group)[s.group]
		return found.NodeID, found.Err
	}}
	controls = role{"the active controller", func(s *scene) (int32, error) { return s.p.controller(s.Context()) }}
)

// leader is that of one partition of the topics.
func (s *scene) leader(topics ...string) (int32, error) {
	md, err := s.p.topics.Metadata(s.Context(), topics...)
	if err != nil {
		return 0, err
	}
	var leaders []int32
	for _, t := range md.Topics.Sorted() {
		for _, p := range t.Partitions.Sorted() {
			leaders = append(leaders, p.Leader)
		}
	}
	if len(leaders) == 0 {
		return 0, errors.New("no partition is there yet")
	}
	return leaders[s.random.IntN(len(leaders))], nil
}

// controller asks the quorum, as a broker names any broker for it.
func (p *parts) controller(ctx context.Context) (int32, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(p.seeds()...))
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	req, topic := kmsg.NewPtrDescribeQuorumRequest(), kmsg.NewDescribeQuorumRequestTopic()
	topic.Topic, topic.Partitions = "__cluster_metadata", append(topic.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(ctx, cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		return 0, err
	}
	return resp.Topics[0].Partitions[0].LeaderID, nil
}

// holder is the broker of a role. A scene whose workers have made nothing yet has none: then it is any.
func (s *scene) holder(r role) string {
	if broker, err := r.find(s); err == nil && broker > 0 {
		return strconv.Itoa(int(broker))
	}
	return s.anyBrokers(1)[0]
}

func (s *scene) anyBrokers(n int) []string {
	var all []string
	for _, b := range s.random.Perm(s.p.brokers)[:n] {
		all = append(all, strconv.Itoa(b+1))
	}
	return all
}

// restarting is a blow that ends brokers with one verb of kafka.sh and starts them again.
func restarting(name, verb string, which func(*scene) []string) blow {
	return blow{name, func(s *scene) func() {
		brokers := which(s)
		s.rig(verb, brokers...)
		return func() { s.rig("start-broker", brokers...) }
	}}
}

func killed9(r role) blow {
	return restarting(r.name+": kill -9", "kill-broker", func(s *scene) []string { return []string{s.holder(r)} })
}

func stoppedInOrder(r role) blow {
	return restarting(r.name+": SIGTERM", "stop-broker", func(s *scene) []string { return []string{s.holder(r)} })
}

var twoOfThree = restarting("two of three brokers at once: kill -9", "kill-broker", func(s *scene) []string { return s.anyBrokers(2) })

// frozen stops a broker for less or more than its session with the controller lasts.
func frozen(r role) blow {
	return blow{r.name + ": SIGSTOP, then SIGCONT", func(s *scene) func() {
		part := "broker"
		if n := s.holder(r); n != "1" {
			part += "-" + n
		}
		pid := s.pid(part)
		_ = syscall.Kill(pid, syscall.SIGSTOP)
		s.while(500*time.Millisecond, 5*time.Second)
		return func() { _ = syscall.Kill(pid, syscall.SIGCONT) }
	}}
}

var rolling = blow{"all brokers restarted, one after the other", func(s *scene) func() {
	for _, n := range s.anyBrokers(s.p.brokers) {
		s.rig("stop-broker", n)
		s.rig("start-broker", n)
		s.inSync()
	}
	return func() {}
}}

// quota holds back all workers.
func quota(key string, value float64) blow {
	return blow{"a quota is given and taken: " + key, func(s *scene) func() {
		setQuota(s.T, s.p.topics, kadm.AlterClientQuotaOp{Key: key, Value: value})
		s.while(time.Second, 4*time.Second)
		return func() { setQuota(s.T, s.p.topics, kadm.AlterClientQuotaOp{Key: key, Remove: true}) }
	}}
}

// level takes a feature down from its highest level, and up to it again.
func level(feature string, high, low int16) blow {
	return blow{fmt.Sprintf("%s taken from %d to %d, and up again", feature, high, low), func(s *scene) func() {
		s.setLevel(kadm.FeatureUpdate{Feature: feature, MaxVersionLevel: low, UpgradeType: 2})
		s.while(0, 2*time.Second)
		return func() { s.setLevel(kadm.FeatureUpdate{Feature: feature, MaxVersionLevel: high, UpgradeType: 1}) }
	}}
}

func (s *scene) setLevel(u kadm.FeatureUpdate) {
	s.Helper()
	s.insist(u.Feature, func() error {
		updated, err := s.p.topics.UpdateFeatures(s.Context(), false, u)
		if err == nil {
			err = updated[u.Feature].Err
		}
		return err
	})
}

// insist asks the brokers until they do something.
func (s *scene) insist(what string, ask func() error) {
	s.Helper()
	if err := await(s.Context(), what, 30*time.Second, ask); err != nil {
		s.Fatal(err)
	}
}

// forgotten has Coupa hang until the brokers have forgotten the first tenant's transactional id. Whether
// that came to pass depends on who used it last.
var forgotten = blow{"a transactional id that was idle until it expired", func(s *scene) func() {
	for _, t := range s.tenants {
		t.signal(syscall.SIGSTOP)
	}
	err := await(s.Context(), "the transactional ids to expire", 75*time.Second, func() error {
		all, err := s.p.topics.DescribeTransactions(s.Context(), s.transactionalIDs()...)
		for id, d := range all {
			if !errors.Is(d.Err, kerr.TransactionalIDNotFound) {
				return fmt.Errorf("%s is %s: %v", id, d.State, d.Err)
			}
		}
		return err
	})
	if err != nil {
		s.Logf("%v", err)
	}
	return func() {
		for _, t := range s.tenants {
			t.signal(syscall.SIGCONT)
		}
	}
}}

// transactionalIDs are those of the shards that have tenants. The first is the first tenant's.
func (s *scene) transactionalIDs() []string {
	var ids []string
	for _, t := range s.tenants {
		ids = append(ids, fmt.Sprintf("%s-%d", s.group, s.shardOf(t.name)))
	}
	slices.Sort(ids[1:])
	return slices.Compact(ids)
}

// inSync waits until each partition has all its replicas: what is acknowledged
// then is kept by two brokers, whichever one is struck next.
func (s *scene) inSync() {
	s.Helper()
	err := await(s.Context(), "the replicas to be in sync", s.patience(), func() error {
		md, err := s.p.topics.Metadata(s.Context())
		if err != nil {
			return err
		}
		if n := len(md.Brokers); n < s.p.brokers {
			return fmt.Errorf("%d of %d brokers are there", n, s.p.brokers)
		}
		for _, t := range md.Topics {
			for n, p := range t.Partitions {
				if len(p.ISR) < len(p.Replicas) {
					return fmt.Errorf("%s-%d: %v of %v are in sync", t.Topic, n, p.ISR, p.Replicas)
				}
			}
		}
		return nil
	})
	if err != nil {
		s.fault("%v", err)
	}
}

// patience is how long parts may take to go on.
func (s *scene) patience() time.Duration {
	if s.class == three {
		return 2 * time.Minute
	}
	return time.Minute
}

// struckBy has a blow come at a random moment of a situation.
func struckBy(b blow) kind {
	return kind{name: b.name, strike: func(s *scene, i *incident) {
		m := s.beginning(i)
		s.struck(i, m, "")
		heal := b.strike(s)
		s.while(0, 2*time.Second)
		heal()
		s.recover(b.name)
	}}
}

// recover waits until brokers and workers are whole again.
func (s *scene) recover(after string) {
	s.Helper()
	if len(s.up()) == 0 {
		s.members[0].start("")
	}
	s.goesOn(after)
	s.inSync()
}

const whileOpen = ", between two steps of a transaction"

// struckAtPoint stops a worker at a point of a transaction, and lets it go on when the blow
// has come. If it does not come to its point, the blow comes all the same.
func struckAtPoint(b blow) kind {
	return kind{name: b.name + whileOpen, missed: b.name, strike: func(s *scene, i *incident) {
		s.heldAt(i, func() { s.blowAt(i, b) })
	}}
}

// heldAt starts a worker, and does something when it has stopped
// itself at the incident's point, which lets it go on.
func (s *scene) heldAt(i *incident, then func()) {
	s.Helper()
	m := s.vacant()
	m.start(fmt.Sprintf("%s:%s@%d=stop", i.point, i.side, countFor(s.random, i.point, i.aim)))
	i.atRandom = await(s.Context(), "the worker to stop", 8*time.Second, func() error {
		if !m.stopped() {
			return fmt.Errorf("it has not come to %s", i.point)
		}
		return nil
	}) != nil
	s.struck(i, m, "")
	then()
	if i.atRandom {
		m.kill() // or it would stop when it comes there in the end
	}
	s.recover(i.kind.name)
}

// blowAt has the blow come, and the workers go on while it lasts.
func (s *scene) blowAt(i *incident, b blow) {
	heal := b.strike(s)
	s.while(0, time.Second)
	for _, m := range s.up() {
		m.signal(syscall.SIGCONT)
	}
	s.while(0, 3*time.Second)
	heal()
}

// openPoints are those between which a transaction is open.
func openPoints() []failpoint.Point {
	return []failpoint.Point{failpoint.Produce, failpoint.Mark, failpoint.Commit}
}

// brokersDeck is what several brokers, and a network before them, can do to workers.
func brokersDeck() []incident {
	var d []incident
	add := func(b blow, aims ...situation) {
		for _, aim := range aims {
			d = append(d, incident{kind: struckBy(b), aim: aim})
		}
	}
	between := func(b blow) {
		for _, p := range openPoints() {
			for _, side := range []string{"before", "after"} {
				d = append(d, incident{kind: struckAtPoint(b), aim: streaming, point: p, side: side})
			}
		}
	}
	for _, r := range []role{leadsData, leadsCheckpoints, coordinatesTxn, coordinatesGroup, controls} {
		add(killed9(r), snapshot, streaming, starting)
		add(stoppedInOrder(r), snapshot, streaming, starting)
		add(frozen(r), streaming)
	}
	for _, r := range []role{leadsData, leadsCheckpoints, coordinatesTxn} {
		between(killed9(r))
	}
	between(stoppedInOrder(coordinatesTxn))
	between(twoOfThree)
	add(twoOfThree, snapshot, streaming, starting)
	add(rolling, snapshot, streaming)
	add(quota("producer_byte_rate", 2000), streaming)
	add(quota("request_percentage", 1), streaming)
	add(forgotten, streaming)
	for _, b := range levels() {
		add(b, streaming)
		d = append(d, incident{kind: struckAtPoint(b), aim: streaming, point: failpoint.Commit, side: "before"})
	}
	for _, n := range networkBlows() {
		add(n, streaming)
	}
	d = append(d, incident{kind: registryKilled, aim: streaming}, incident{kind: registryKilled, aim: starting})
	add(lettersSent, streaming, streaming)
	between(lettersSent)
	return append(append(d, epochsDeck()...), rightsDeck()...)
}

// levels are the features that Kafka lets be taken down and up again while it runs. It does not let
// metadata.version down, as metadata could be lost, and kraft.version goes up alone.
func levels() []blow {
	return []blow{level("transaction.version", 2, 1), level("group.version", 1, 0), level("eligible.leader.replicas.version", 1, 0)}
}

// whole makes all parts whole, whatever a scene before that was given up has left.
func (s *scene) whole() {
	for _, p := range append(slices.Clone(s.p.proxies.kafka), s.p.proxies.registry) {
		p.set(passes)
	}
	s.rig("start-broker")
	s.inSync()
}

// bootstrap and registry are what workers are told: proxies, where there are some.
func (s *scene) bootstrap() string {
	if s.class != three {
		return s.p.bootstrap
	}
	var all []string
	for _, p := range s.p.proxies.kafka {
		all = append(all, p.listener.Addr().String())
	}
	return strings.Join(all, ",")
}

func (s *scene) registry() string {
	if s.class != three {
		return s.p.registry
	}
	return s.p.proxies.registry.through(s.p.registry)
}

func (s *scene) urlOf(t *tenant) string {
	if p := s.coupa[t.name]; p != nil {
		return p.through(t.url)
	}
	return t.url
}
