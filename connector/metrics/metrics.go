package metrics

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector/status"
)

// Values of the label result of coupastream_transactions_total.
const (
	resultCommitted = "committed"
	resultAborted   = "aborted"
	// no answer to EndTxn, or none asked for: the checkpoint topic knows, the next fence ends it
	resultUnknown = "unknown"
)

// Set are the metrics of a worker, in a registry of its own: one process may have several workers.
// Labels are settings, partitions and closed sets, never data.
type Set struct {
	Registry *prometheus.Registry
	Kafka    *Clients
	Group    *GroupMeter

	// Moved by meters, one per shard.
	duration prometheus.Histogram
	records  prometheus.Histogram
	bytes    prometheus.Histogram
	results  *prometheus.CounterVec // result

	lateness *prometheus.HistogramVec // object

	lineage *prometheus.CounterVec // result

	// Moved by fetches.
	RowBytes *prometheus.HistogramVec // object
}

// New makes the metrics of a worker that has these connectors at the time of each gathering.
// perObject is metrics.per.object, mostRecords how many records a transaction has at most.
func New(connectors func() []status.ConnectorStatus, perObject, version string, mostRecords int) *Set {
	m := &Set{
		Registry: prometheus.NewRegistry(), Kafka: newKafkaClients(), Group: newGroupMeter(),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "coupastream_transaction_duration_seconds",
			Help:    "How long transactions were open: from the first record produced until EndTxn was answered, or until the shard was fenced anew or left.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}),
		records: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "coupastream_transaction_records",
			Help:    "Data records of a committed transaction; 0 when only positions moved.",
			Buckets: []float64{0, 1, 10, 50, 100, 250, 500, 1000, 2500, float64(mostRecords)},
		}),
		bytes: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "coupastream_transaction_bytes",
			Help:    "Bytes of keys and values of the data records of a committed transaction, before compression.",
			Buckets: prometheus.ExponentialBuckets(1<<10, 4, 8), // 1 KiB … 16 MiB
		}),
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coupastream_transactions_total",
			Help: "Transactions that produced records, by what became of them; unknown: EndTxn was not answered, the shard is rebuilt.",
		}, []string{"result"}),
		lateness: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "coupastream_lateness_seconds",
			Help:    "How far behind the mark published rows were that became visible late.",
			Buckets: []float64{1, 2, 5, 10, 30, 60, 120, 300, 900, 3600, 21600, 86400, 604800},
		}, []string{"object"}),
		lineage: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coupastream_lineage_events_total",
			Help: "OpenLineage events that were POSTed, by what became of them: sent; refused, and dropped; failed, and tried again as what is so by then.",
		}, []string{"result"}),
		RowBytes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "coupastream_row_bytes",
			Help:    "Bytes of a row's JSON as Coupa sent it.",
			Buckets: prometheus.ExponentialBuckets(256, 4, 9), // 256 B … 16 MiB
		}, []string{"object"}),
	}
	for _, result := range []string{resultCommitted, resultAborted, resultUnknown} {
		m.results.WithLabelValues(result) // a rate needs the 0 before the first
	}
	for _, result := range []string{"sent", "refused", "failed"} {
		m.lineage.WithLabelValues(result)
	}
	m.Registry.MustRegister(m.duration, m.records, m.bytes, m.results, m.lateness, m.lineage, m.RowBytes, m.Kafka, m.Group,
		&connectorMetrics{connectors: connectors, perObject: perObject, version: version},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Lineage notes what became of an OpenLineage event.
func (m *Set) Lineage(result string) { m.lineage.WithLabelValues(result).Inc() }

// Meter measures the transactions of one shard. All its methods but Show and open belong to the shard's
// goroutine; Close is also called by who has abandoned that.
type Meter struct {
	m         *Set
	partition int32
	shown     sync.Once

	since atomic.Pointer[time.Time] // when the open transaction produced its first record; nil: none is open

	records, bytes int // of the open transaction
	// nanoseconds, of the last one that ended: whoever closes it writes, the shard reads
	took atomic.Int64
}

// NewMeter makes the meter of a shard, for once it has streams. There is one per shard and worker.
func (m *Set) NewMeter(partition int32) *Meter { return &Meter{m: m, partition: partition} }

// Show makes the meter part of the metrics, from the shard's first stream on.
func (t *Meter) Show() {
	t.shown.Do(func() {
		t.m.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "coupastream_transaction_open_seconds",
			Help:        "How long the shard's open transaction has held back read_committed consumers of its topics until now; 0 when none is open.",
			ConstLabels: prometheus.Labels{"shard": strconv.Itoa(int(t.partition))},
		}, t.open))
	})
}

// open is how many seconds the open transaction has been open.
func (t *Meter) open() float64 {
	since := t.since.Load()
	if since == nil {
		return 0
	}
	return time.Since(*since).Seconds()
}

// Begin is called before the first record of a batch is produced.
func (t *Meter) Begin(records, bytes int) {
	t.records, t.bytes = records, bytes
	now := time.Now()
	t.since.Store(&now)
}

// Late notes a row that was published although the mark had passed its stamp.
func (t *Meter) Late(object string, by time.Duration) {
	t.m.lateness.WithLabelValues(object).Observe(by.Seconds())
}

// Ended is called when EndTxn was answered.
func (t *Meter) Ended(end kgo.TransactionEndTry) {
	if t.since.Load() == nil {
		return
	}
	t.Close()
	if end == kgo.TryAbort {
		t.m.results.WithLabelValues(resultAborted).Inc()
		return
	}
	t.m.results.WithLabelValues(resultCommitted).Inc()
	t.m.records.Observe(float64(t.records))
	t.m.bytes.Observe(float64(t.bytes))
}

// Leave is called when the shard is done with a transaction.
// One that did not end holds readers back until it is closed.
func (t *Meter) Leave() {
	if t.since.Load() != nil {
		t.m.results.WithLabelValues(resultUnknown).Inc()
	}
}

// Close is called when no transaction can be open any more,
// or whether one is has become another worker's affair.
func (t *Meter) Close() {
	if since := t.since.Swap(nil); since != nil {
		took := time.Since(*since)
		t.took.Store(int64(took))
		t.m.duration.Observe(took.Seconds())
	}
}

// Took is how long the last transaction that ended was open.
func (t *Meter) Took() time.Duration { return time.Duration(t.took.Load()) }
