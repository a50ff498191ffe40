package connector

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Values of the label result of coupastream_transactions_total.
const (
	resultCommitted = "committed"
	resultAborted   = "aborted"
	resultUnknown   = "unknown" // no answer to EndTxn, or none asked for: the checkpoint topic knows, the next fence ends it
)

// metrics are a worker's, in a registry of its own: one process may have several workers. Every name stands in this file. Labels are settings and
// partitions, never data.
type metrics struct {
	registry *prometheus.Registry

	// Moved by meters, one per shard.
	duration prometheus.Histogram
	records  prometheus.Histogram
	bytes    prometheus.Histogram
	results  *prometheus.CounterVec // result

	// Moved by Worker.committed.
	lateness *prometheus.HistogramVec // object
}

// newMetrics makes the metrics of a worker that has these connectors at the time of each gathering.
func newMetrics(connectors func() []ConnectorStatus) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "coupastream_transaction_duration_seconds",
			Help:    "How long transactions were open: from the first record produced until EndTxn was answered, or until the shard was fenced anew or left.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}),
		records: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "coupastream_transaction_records",
			Help:    "Data records of a committed transaction; 0 when only positions moved.",
			Buckets: []float64{0, 1, 10, 50, 100, 250, 500, 1000, 2500, maxBatchRecords},
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
	}
	for _, result := range []string{resultCommitted, resultAborted, resultUnknown} {
		m.results.WithLabelValues(result) // a rate needs the 0 before the first
	}
	m.registry.MustRegister(m.duration, m.records, m.bytes, m.results, m.lateness, streams{connectors},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// meter measures the transactions of one shard. Its methods but open belong to the shard's goroutine.
type meter struct {
	m         *metrics
	partition int32
	shown     sync.Once

	since atomic.Pointer[time.Time] // when the open transaction produced its first record; nil: none is open

	records, bytes int           // of the open transaction
	took           time.Duration // the last one that ended
}

// newMeter makes the meter of a shard, for once it has streams. There is one per shard and worker.
func (m *metrics) newMeter(partition int32) *meter { return &meter{m: m, partition: partition} }

// show makes the meter part of the metrics, from the shard's first stream on.
func (t *meter) show() {
	t.shown.Do(func() {
		t.m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "coupastream_transaction_open_seconds",
			Help:        "How long the shard's open transaction has held back read_committed consumers of its topics until now; 0 when none is open.",
			ConstLabels: prometheus.Labels{"shard": strconv.Itoa(int(t.partition))},
		}, t.open))
	})
}

// open is how many seconds the open transaction has been open.
func (t *meter) open() float64 {
	since := t.since.Load()
	if since == nil {
		return 0
	}
	return time.Since(*since).Seconds()
}

// begin is called before the first record of a batch is produced.
func (t *meter) begin(batch []*submission) {
	t.records, t.bytes = 0, 0
	for _, sub := range batch {
		t.records += len(sub.records)
		for _, r := range sub.records {
			t.bytes += len(r.Key) + len(r.Value)
		}
	}
	now := time.Now()
	t.since.Store(&now)
}

// ended is called when EndTxn was answered.
func (t *meter) ended(end kgo.TransactionEndTry) {
	if t.since.Load() == nil {
		return
	}
	t.close()
	if end == kgo.TryAbort {
		t.m.results.WithLabelValues(resultAborted).Inc()
		return
	}
	t.m.results.WithLabelValues(resultCommitted).Inc()
	t.m.records.Observe(float64(t.records))
	t.m.bytes.Observe(float64(t.bytes))
}

// leave is called when the shard is done with a transaction. One that did not end holds readers back until it is closed.
func (t *meter) leave() {
	if t.since.Load() != nil {
		t.m.results.WithLabelValues(resultUnknown).Inc()
	}
}

// close is called when no transaction can be open any more, or whether one is has become another worker's affair.
func (t *meter) close() {
	if since := t.since.Swap(nil); since != nil {
		t.took = time.Since(*since)
		t.m.duration.Observe(t.took.Seconds())
	}
}

// streams tells of every stream what its TaskStatus does.
type streams struct{ connectors func() []ConnectorStatus }

var (
	streamLabels = []string{"tenant", "object"}

	rowsRead = prometheus.NewDesc("coupastream_rows_read_total",
		"Rows read from Coupa, repetitions included.", streamLabels, nil)
	rowsDropped = prometheus.NewDesc("coupastream_rows_dropped_total",
		"Rows read and dropped, because they or later versions of them were published before.", streamLabels, nil)
	recordsPublished = prometheus.NewDesc("coupastream_records_published_total",
		"Data records committed.", streamLabels, nil)
	lateRows = prometheus.NewDesc("coupastream_late_rows_total",
		"Rows published that became visible only after the mark had passed their updated-at.", streamLabels, nil)
	silentChanges = prometheus.NewDesc("coupastream_silent_changes_total",
		"Changes published that did not move their row's updated-at.", streamLabels, nil)
	deadLetterRows = prometheus.NewDesc("coupastream_dead_letters_total",
		"Rows that could not go to their topic and went to the dead letter topic.", streamLabels, nil)
	trimmedRecords = prometheus.NewDesc("coupastream_records_trimmed_total",
		"Records whose longest texts were cut to what their topic takes.", streamLabels, nil)
	unfitValues = prometheus.NewDesc("coupastream_custom_values_unmapped_total",
		"Values of custom fields that no typed field holds, kept as JSON text in unmapped.", streamLabels, nil)
	markAge = prometheus.NewDesc("coupastream_mark_age_seconds",
		"How far the stream is behind: every change older than this is published. Of the streams that this worker runs.", streamLabels, nil)
	backfillRuns = prometheus.NewDesc("coupastream_backfill",
		"1 while the backfill of what was there before the stream began is under way. Of the streams that this worker runs.", streamLabels, nil)
)

// Describe implements prometheus.Collector.
func (streams) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{rowsRead, rowsDropped, recordsPublished, lateRows, silentChanges, deadLetterRows, trimmedRecords, unfitValues, markAge, backfillRuns} {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (s streams) Collect(out chan<- prometheus.Metric) {
	for _, c := range s.connectors() {
		for _, t := range c.Tasks {
			collect(c.Tenant, t, out)
		}
	}
}

func collect(tenant string, s TaskStatus, out chan<- prometheus.Metric) {
	tell := func(d *prometheus.Desc, kind prometheus.ValueType, v float64) {
		out <- prometheus.MustNewConstMetric(d, kind, v, tenant, s.Object)
	}
	tell(rowsRead, prometheus.CounterValue, float64(s.Rows))
	tell(rowsDropped, prometheus.CounterValue, float64(s.Dropped))
	tell(recordsPublished, prometheus.CounterValue, float64(s.Published))
	tell(lateRows, prometheus.CounterValue, float64(s.Late))
	tell(silentChanges, prometheus.CounterValue, float64(s.Silent))
	tell(deadLetterRows, prometheus.CounterValue, float64(s.DeadLetters))
	tell(trimmedRecords, prometheus.CounterValue, float64(s.Trimmed))
	unfit := int64(0)
	for _, n := range s.Unfit {
		unfit += n
	}
	tell(unfitValues, prometheus.CounterValue, float64(unfit))
	if s.State != Running && s.State != Failed {
		return // its owner tells
	}
	mark := s.Mark
	if mark.IsZero() {
		mark = s.Committed.Mark
	}
	if !mark.IsZero() {
		tell(markAge, prometheus.GaugeValue, time.Since(mark).Seconds())
	}
	under := 0.0
	if s.Snapshot {
		under = 1
	}
	tell(backfillRuns, prometheus.GaugeValue, under)
}
