package metrics

import (
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kprom"

	"github.com/coupastream/coupastream/connector/status"
)

// Clients tells what the worker's Kafka clients do, as kprom
// counts it, each under its name. A client's series go with it.
type Clients struct {
	mu   sync.Mutex
	live map[string]*kafkaClient // by name
}

func newKafkaClients() *Clients { return &Clients{live: map[string]*kafkaClient{}} }

// kafkaClient is the metrics of one client, as hooks that it
// calls. kprom makes its metrics when the client is there.
type kafkaClient struct {
	*kprom.Metrics
	all  *Clients
	name string
}

// Named gives a client that is to be made a name in the metrics. Where
// a client of this name lives still, the new one gets a number besides.
func (k *Clients) Named(name string) kgo.Opt {
	return kgo.WithHooks(&kafkaClient{all: k, name: name})
}

// OnNewClient implements kgo.HookNewClient.
func (c *kafkaClient) OnNewClient(client *kgo.Client) {
	k := c.all
	k.mu.Lock()
	defer k.mu.Unlock()
	name := c.name
	for n := 2; k.live[name] != nil; n++ {
		name = fmt.Sprintf("%s-%d", c.name, n)
	}
	c.name = name
	k.live[name] = c
	c.Metrics = kprom.NewMetrics("coupastream_kafka", kprom.Registry(nil), kprom.WithStaticLabel(prometheus.Labels{"client": name}),
		kprom.FetchAndProduceDetail(kprom.ByNode, kprom.Batches, kprom.Records, kprom.CompressedBytes, kprom.UncompressedBytes, kprom.ConsistentNaming))
	c.Metrics.OnNewClient(client)
}

// OnClientClosed implements kgo.HookClientClosed.
func (c *kafkaClient) OnClientClosed(client *kgo.Client) {
	c.Metrics.OnClientClosed(client)
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	delete(c.all.live, c.name)
}

// Describe implements prometheus.Collector. What there is, is known when there are clients.
func (*Clients) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (k *Clients) Collect(out chan<- prometheus.Metric) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.live {
		c.Collect(out)
	}
}

// GroupMeter tells of the worker's place in its group, in Connect's terms.
type GroupMeter struct {
	mu         sync.Mutex
	began      time.Time // of the rebalance under way; zero: none is
	last       time.Time // when the last one was over; zero: there was none
	completed  int
	generation int32
	took       status.Measure
}

func newGroupMeter() *GroupMeter { return new(GroupMeter) }

// Rebalancing is called when the group takes shards away, which begins a rebalance for this worker.
func (g *GroupMeter) Rebalancing() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.began.IsZero() {
		g.began = time.Now()
	}
}

// Rebalanced is called when the group has told what this worker gets, be it nothing.
func (g *GroupMeter) Rebalanced(generation int32) {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	took := 0.0
	if !g.began.IsZero() {
		took = float64(now.Sub(g.began)) / float64(time.Millisecond)
	}
	g.took.Note(now, took)
	g.completed++
	g.generation, g.last, g.began = generation, now, time.Time{}
}

var (
	rebalances     = prometheus.NewDesc("kafka_connect_worker_rebalance_completed_rebalances_total", "Rebalances of the group that this worker took part in.", nil, nil)
	rebalancing    = prometheus.NewDesc("kafka_connect_worker_rebalance_rebalancing", "1 while shards are given away and the group has not told yet what this worker gets.", nil, nil)
	rebalanceAvg   = prometheus.NewDesc("kafka_connect_worker_rebalance_rebalance_avg_time_ms", "Time from giving shards away to the group's word.", nil, nil)
	rebalanceMax   = prometheus.NewDesc("kafka_connect_worker_rebalance_rebalance_max_time_ms", "Longest time from giving shards away to the group's word.", nil, nil)
	rebalanceAge   = prometheus.NewDesc("kafka_connect_worker_rebalance_time_since_last_rebalance_ms", "Time since the last rebalance.", nil, nil)
	rebalanceEpoch = prometheus.NewDesc("kafka_connect_worker_rebalance_epoch", "Generation of the group.", nil, nil)
)

// Describe implements prometheus.Collector.
func (*GroupMeter) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{rebalances, rebalancing, rebalanceAvg, rebalanceMax, rebalanceAge, rebalanceEpoch} {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (g *GroupMeter) Collect(out chan<- prometheus.Metric) {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	gauge := func(d *prometheus.Desc, v float64) { out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	out <- prometheus.MustNewConstMetric(rebalances, prometheus.CounterValue, float64(g.completed))
	gauge(rebalancing, bit(!g.began.IsZero()))
	took := g.took.Read(now)
	gauge(rebalanceAvg, took.Average)
	gauge(rebalanceMax, took.Highest)
	gauge(rebalanceEpoch, float64(g.generation))
	if !g.last.IsZero() {
		gauge(rebalanceAge, float64(now.Sub(g.last))/float64(time.Millisecond))
	}
}

func taskID(id int) string { return strconv.Itoa(id) }
