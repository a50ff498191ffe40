package metrics

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa"
)

// mostObjects is how many objects a worker's connectors may have for metrics.per.object=auto
// to tell of each: with more, an answer to Prometheus would grow beyond 20 MB.
const mostObjects = 4000

// connectorMetrics tells of connectors and tasks what their status does, at each
// gathering, so that what belongs to a connector goes with it. It describes nothing
// beforehand: labels of one metric are the same, and that is checked when it is gathered.
type connectorMetrics struct {
	connectors func() []status.ConnectorStatus
	perObject  string // metrics.per.object
	version    string
}

// Describe implements prometheus.Collector.
func (*connectorMetrics) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (m *connectorMetrics) Collect(out chan<- prometheus.Metric) {
	all, now := m.connectors(), time.Now()
	detail := m.perObject == config.PerObjectAlways || m.perObject == config.PerObjectAuto && objects(all) <= mostObjects
	collectTenants(all, now, detail, out)
	collectConnect(all, m.version, detail, out)
}

func objects(all []status.ConnectorStatus) int {
	n := 0
	for _, c := range all {
		n += len(c.Tasks)
	}
	return n
}

// merge is how a tenant's objects become one where they are not told apart.
type merge func(a, b float64) float64

func sum(a, b float64) float64 { return a + b }

// total adds up what is counted by field.
func total(counts map[string]int64) (n int64) {
	for _, values := range counts {
		n += values
	}
	return n
}

// family is a metric with one series per object.
type family struct {
	*prometheus.Desc
	kind  prometheus.ValueType
	merge merge
	// told by the worker that runs the stream; the others
	// are counts, which stay with the worker that counted
	here  bool
	value func(s *status.TaskStatus, now time.Time) (v float64, told bool)
}

var streamLabels = []string{"tenant", "object"}

// counts is a family of what never goes back.
func counts(name, help string, value func(*status.TaskStatus) int64) family {
	return family{prometheus.NewDesc(name, help, streamLabels, nil), prometheus.CounterValue, sum, false,
		func(s *status.TaskStatus, _ time.Time) (float64, bool) { return float64(value(s)), true }}
}

// shows is a family of what is so now.
func shows(name, help string, m merge, value func(*status.TaskStatus, time.Time) (float64, bool)) family {
	return family{prometheus.NewDesc(name, help, streamLabels, nil), prometheus.GaugeValue, m, true, value}
}

func since(t, now time.Time) (float64, bool) { return max(0, now.Sub(t).Seconds()), !t.IsZero() }

func bit(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

var families = []family{
	counts("coupastream_rows_read_total", "Rows read from Coupa, repetitions included.", func(s *status.TaskStatus) int64 { return s.Rows }),
	counts("coupastream_rows_dropped_total", "Rows read and dropped, because they or later versions of them were published before.", func(s *status.TaskStatus) int64 { return s.Dropped }),
	counts("coupastream_records_published_total", "Data records committed.", func(s *status.TaskStatus) int64 { return s.Published }),
	counts("coupastream_lines_published_total", "Records of lines committed to topics of their own, tombstones included.", func(s *status.TaskStatus) int64 { return s.Lines }),
	counts("coupastream_rows_deleted_total", "Rows that were deleted in Coupa and published so.", func(s *status.TaskStatus) int64 { return s.Gone }),
	counts("coupastream_late_rows_total", "Rows published that became visible only after the mark had passed their updated-at.", func(s *status.TaskStatus) int64 { return s.Late }),
	counts("coupastream_rows_set_back_total", "Rows published with an older updated-at than they had been published with.", func(s *status.TaskStatus) int64 { return s.SetBack }),
	counts("coupastream_silent_changes_total", "Changes published that did not move their row's updated-at.", func(s *status.TaskStatus) int64 { return s.Silent }),
	counts("coupastream_lookback_finds_total", "Rows that a look-back found and the ledger did not know.", func(s *status.TaskStatus) int64 { return s.LookbackFinds }),
	counts("coupastream_dead_letters_total", "Rows that could not go to their topic and went to the dead letter topic.", func(s *status.TaskStatus) int64 { return s.DeadLetters }),
	counts("coupastream_records_trimmed_total", "Records whose longest texts were cut to what their topic takes.", func(s *status.TaskStatus) int64 { return s.Trimmed }),
	counts("coupastream_malformed_texts_total", "Texts of rows published with bytes that are not UTF-8: U+FFFD stands in their place.", func(s *status.TaskStatus) int64 { return s.Malformed }),
	counts("coupastream_custom_values_unmapped_total", "Values of custom fields that no typed field holds, kept as JSON text in unmapped.", func(s *status.TaskStatus) int64 {
		return total(s.Unfit)
	}),
	counts("coupastream_unreadable_values_total", "Values that can't be read as their fields' types, kept as JSON text in unmapped.", func(s *status.TaskStatus) int64 {
		return total(s.Unreadable)
	}),
	counts("coupastream_left_out_values_total", "Values that records have no field for or can't hold, left out by unmapped=off.", func(s *status.TaskStatus) int64 {
		return total(s.LeftOut)
	}),
	counts("coupastream_schema_versions_total", "Versions of the object's schemas since the start, but for the first of each.", func(s *status.TaskStatus) int64 { return s.Schemas }),
	counts("coupastream_schema_ids_changed_total", "Subjects of the object's schemas to which the registry gave another id than before, since the start.",
		func(s *status.TaskStatus) int64 { return s.Renumbered }),
	counts("coupastream_rows_marked_total", "Rows published that need no mark as exported any more, with exported.mode=mark.", func(s *status.TaskStatus) int64 { return s.Marking.Marked }),
	counts("coupastream_marks_failed_total", "Marks of rows as exported that failed; they are tried again.", func(s *status.TaskStatus) int64 { return s.Marking.Failed }),
	counts("coupastream_positions_moved_total", "Times that a request moved the object to another position.", func(s *status.TaskStatus) int64 { return s.Moved }),
	counts("coupastream_task_restarts_total", "Times that the object, having failed, was started again by itself.", func(s *status.TaskStatus) int64 { return s.Restarted }),
	counts("coupastream_doorbells_total", "Rings of the object's doorbell that the worker which runs it has heard.", func(s *status.TaskStatus) int64 { return s.Doorbells }),
	counts("coupastream_doorbell_polls_total", "Polls of the object out of turn, because its doorbell rang.", func(s *status.TaskStatus) int64 { return s.EarlyPolls }),

	shows("coupastream_freshness_seconds", "How far the object is behind Coupa: from the end of the last window that was read to its end until now.", math.Max,
		func(s *status.TaskStatus, now time.Time) (float64, bool) { return since(s.Proven, now) }),
	shows("coupastream_freshness_objective_seconds", "freshness.objective.ms, where it is given.", math.Min,
		func(s *status.TaskStatus, _ time.Time) (float64, bool) { return s.Objective.Seconds(), s.Objective > 0 }),
	shows("coupastream_verified_age_seconds", "How long ago the object was last compared with Coupa by verify; +Inf: no worker was ever told of that.", math.Max,
		func(s *status.TaskStatus, now time.Time) (float64, bool) {
			if s.Verified.At.IsZero() {
				return math.Inf(1), true
			}
			return since(s.Verified.At, now)
		}),
	shows("coupastream_verified_differences", "Differences that the last comparison with Coupa found; none where there was none.", sum,
		func(s *status.TaskStatus, _ time.Time) (float64, bool) {
			return float64(s.Verified.Differences()), !s.Verified.At.IsZero()
		}),
	shows("coupastream_dead_letters_waiting", "Dead letters of the object that nobody has replayed; none where no topic is named for them.", sum,
		func(s *status.TaskStatus, _ time.Time) (float64, bool) {
			return float64(s.Letters.Waiting), s.Letters.Counted
		}),
	shows("coupastream_poll_interval_seconds", "From one reading of the object to the next, at present.", math.Max,
		func(s *status.TaskStatus, _ time.Time) (float64, bool) { return s.Interval.Seconds(), s.Interval > 0 }),
	shows("coupastream_page_requests", "Requests that a page with rows takes: more than one where the address of one would be longer than servers take.", math.Max,
		func(s *status.TaskStatus, _ time.Time) (float64, bool) {
			return float64(s.PageRequests), s.PageRequests > 0
		}),
	shows("coupastream_mark_age_seconds", "How far the stream is behind: every change older than this is published.", math.Max,
		func(s *status.TaskStatus, now time.Time) (float64, bool) {
			switch {
			case s.Mark.IsZero() && !s.Committed.Mark.After(now):
				return since(s.Committed.Mark, now)
			case s.Mark.IsZero(), s.Mark.After(now): // a clock that ran ahead has left it in the future
				return since(s.Proven, now)
			}
			return since(s.Mark, now)
		}),
	shows("coupastream_backfill", "1 while the backfill of what was there before the stream began is under way.", sum,
		func(s *status.TaskStatus, _ time.Time) (float64, bool) { return bit(s.Snapshot), true }),
	shows("coupastream_backfill_progress_ratio", "Share of the backfill's rows that are read, by an estimate from ids; while it is under way.", math.Min,
		func(s *status.TaskStatus, _ time.Time) (float64, bool) {
			p := s.Progress
			return min(1, float64(p.Done)/float64(max(1, p.Total))), s.Snapshot && p.Total > 0
		}),
	shows("coupastream_marks_waiting", "Rows published that are not marked as exported yet, with exported.mode=mark.", sum,
		func(s *status.TaskStatus, _ time.Time) (float64, bool) {
			return float64(s.Marking.Waiting), s.Marking != status.Marking{}
		}),
	shows("coupastream_sweep_age_seconds", "How long ago the last sweep for deletes ended.", math.Max,
		func(s *status.TaskStatus, now time.Time) (float64, bool) {
			if s.Deletes == nil {
				return 0, false
			}
			return since(s.Deletes.Ended, now)
		}),
	shows("coupastream_sweep_missing", "Rows that the last sweep for deletes did not find and that are not deleted yet.", sum,
		func(s *status.TaskStatus, _ time.Time) (float64, bool) {
			if s.Deletes == nil {
				return 0, false
			}
			return float64(s.Deletes.Missing), true
		}),
	shows("coupastream_page_fill_ratio", "Share of a full page of 50 rows that the pages read of late held.", math.Max,
		func(s *status.TaskStatus, _ time.Time) (float64, bool) { return s.Fill, s.Rows > 0 }),
}

var (
	requests  = prometheus.NewDesc("coupastream_requests_total", "Requests to Coupa, by the status of the answer; none: there was no answer.", []string{"tenant", "object", "status"}, nil)
	condition = prometheus.NewDesc("coupastream_condition", "Objects that are in a condition: IDLE, BUSY, THROTTLED, STUCK, BLIND, INCOMPLETE, WAITING, UNMARKED, BACKFILLING. No series: 0.", []string{"tenant", "object", "condition"}, nil)

	tenantLabels  = []string{"tenant"}
	rateLimit     = prometheus.NewDesc("coupastream_rate_limit", "Requests a second to the Coupa instance that are allowed now; +Inf: any.", tenantLabels, nil)
	rateCeiling   = prometheus.NewDesc("coupastream_rate_ceiling", "coupa.rate.limit, or coupa.rate.limit.max by auto: the most requests a second that are ever allowed; +Inf: any.", tenantLabels, nil)
	rateUsed      = prometheus.NewDesc("coupastream_rate", "Requests a second to the Coupa instance, of the last minute.", tenantLabels, nil)
	rateThrottled = prometheus.NewDesc("coupastream_rate_throttled_seconds", "How long the rate has been below its ceiling, or by auto how long requests were refused although it was cut, because Coupa refused requests for their pace; 0: it is not.", tenantLabels, nil)
	rateWaiting   = prometheus.NewDesc("coupastream_requests_waiting", "Requests that wait for their turn, by priority.", []string{"tenant", "priority"}, nil)
	clockAhead    = prometheus.NewDesc("coupastream_clock_ahead_seconds", "How far the Date of Coupa's answers is ahead of this worker's clock; below 0: behind.", tenantLabels, nil)
	tokenAge      = prometheus.NewDesc("coupastream_token_age_seconds", "Age of the access token.", tenantLabels, nil)
	tokenFailures = prometheus.NewDesc("coupastream_token_failures_total", "Requests for an access token that failed.", tenantLabels, nil)
)

// stream is what series of an object have in common; without its object, of all objects of a tenant.
type stream struct{ tenant, object string }

// tallies hold the values of one gathering, by series.
type tallies struct {
	values   []map[stream]float64 // by family
	requests map[stream]map[string]float64
	states   map[stream]map[status.Condition]float64
}

// collectTenants tells of tenants and their objects.
func collectTenants(all []status.ConnectorStatus, now time.Time, detail bool, out chan<- prometheus.Metric) {
	t := tallies{make([]map[stream]float64, len(families)), map[stream]map[string]float64{}, map[stream]map[status.Condition]float64{}}
	for i := range families {
		t.values[i] = map[stream]float64{}
	}
	told, tenants := map[stream]bool{}, map[string]bool{}
	for i := range all {
		c := &all[i]
		// several connectors to an instance share its limiter; one that can't be used has none
		if c.Owner.Local && c.State != status.Failed && !tenants[c.Tenant] {
			tenants[c.Tenant] = true
			collectInstance(c, out)
		}
		for j := range c.Tasks {
			s := &c.Tasks[j]
			st := stream{c.Tenant, s.Object}
			if told[st] { // two connectors that both claim it: one series can't be told twice
				continue
			}
			told[st] = true
			if !detail {
				st.object = ""
			}
			t.add(st, s, now)
		}
	}
	t.send(out)
}

// add takes in a task. Of one that never ran on this worker there is nothing to tell.
func (t *tallies) add(st stream, s *status.TaskStatus, now time.Time) {
	here := s.State == status.Running || s.State == status.Failed
	if !here && s.Rows == 0 && s.Polls == 0 && s.Moved == 0 && len(s.Answers) == 0 && len(s.SchemaVersions) == 0 {
		return
	}
	for i, f := range families {
		if f.here && !here {
			continue
		}
		v, told := f.value(s, now)
		if !told {
			continue
		}
		if before, ok := t.values[i][st]; ok {
			v = f.merge(before, v)
		}
		t.values[i][st] = v
	}
	if s.Condition != "" {
		count(t.states, st, s.Condition, 1)
	}
	for status, n := range s.Answers {
		count(t.requests, st, status, float64(n))
	}
}

func count[K comparable](all map[stream]map[K]float64, st stream, key K, n float64) {
	if all[st] == nil {
		all[st] = map[K]float64{}
	}
	all[st][key] += n
}

func (t *tallies) send(out chan<- prometheus.Metric) {
	for i, f := range families {
		for st, v := range t.values[i] {
			out <- prometheus.MustNewConstMetric(f.Desc, f.kind, v, st.tenant, st.object)
		}
	}
	for st, states := range t.states {
		for c, n := range states {
			out <- prometheus.MustNewConstMetric(condition, prometheus.GaugeValue, n, st.tenant, st.object, string(c))
		}
	}
	for st, answers := range t.requests {
		for status, n := range answers {
			out <- prometheus.MustNewConstMetric(requests, prometheus.CounterValue, n, st.tenant, st.object, status)
		}
	}
}

// collectInstance tells of a connector's Coupa instance.
func collectInstance(c *status.ConnectorStatus, out chan<- prometheus.Metric) {
	tell := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, kind, v, append([]string{c.Tenant}, labels...)...)
	}
	limit, ceiling := c.Rate.Current, c.Rate.Limit
	if ceiling == 0 {
		limit, ceiling = math.Inf(1), math.Inf(1)
	}
	tell(rateLimit, prometheus.GaugeValue, limit)
	tell(rateCeiling, prometheus.GaugeValue, ceiling)
	tell(rateUsed, prometheus.GaugeValue, c.Rate.Used)
	throttled, _ := since(c.Rate.ThrottledSince, time.Now())
	if c.Rate.ThrottledSince.IsZero() {
		throttled = 0
	}
	tell(rateThrottled, prometheus.GaugeValue, throttled)
	for p, n := range c.Rate.Waiting {
		tell(rateWaiting, prometheus.GaugeValue, float64(n), coupa.Priority(p).String())
	}
	tell(clockAhead, prometheus.GaugeValue, c.ClockAhead.Seconds())
	if c.Token.Age > 0 {
		tell(tokenAge, prometheus.GaugeValue, c.Token.Age.Seconds())
	}
	tell(tokenFailures, prometheus.CounterValue, float64(c.Token.Failures))
}

// Metrics of Kafka Connect, with the names that Strimzi's rules for the JMX exporter give them,
// which dashboards and alerts in the wild know. Their types are those that the exporter gives.
// Of what Connect has and this worker has not, such as tasks being destroyed, there is 0.
var (
	connectorLabels = []string{"connector"}
	taskLabels      = []string{"connector", "task"}

	workerConnectors = prometheus.NewDesc("kafka_connect_worker_connector_count", "Connectors that this worker runs.", nil, nil)
	workerTasks      = prometheus.NewDesc("kafka_connect_worker_task_count", "Tasks that this worker runs.", nil, nil)
	coordConnectors  = prometheus.NewDesc("kafka_connect_coordinator_assigned_connectors", "Connectors that the group has given to this worker.", nil, nil)
	coordTasks       = prometheus.NewDesc("kafka_connect_coordinator_assigned_tasks", "Tasks that the group has given to this worker.", nil, nil)

	// not Connect's: of those that others run too, and so of those that nobody runs
	knownConnectors = prometheus.NewDesc("coupastream_connectors", "Connectors of the group that this worker knows, whoever runs them, by state.", []string{"state"}, nil)

	connectorState   = prometheus.NewDesc("kafka_connect_connector_status", "1 for the connector's state.", []string{"connector", "status"}, nil)
	connectorClass   = prometheus.NewDesc("kafka_connect_connector_connector_class", "1, with the connector's class.", []string{"connector", "connector_class"}, nil)
	connectorType    = prometheus.NewDesc("kafka_connect_connector_connector_type", "1, with the connector's type.", []string{"connector", "connector_type"}, nil)
	connectorVersion = prometheus.NewDesc("kafka_connect_connector_connector_version", "1, with the connector's version.", []string{"connector", "connector_version"}, nil)
	taskState        = prometheus.NewDesc("kafka_connect_connector_task_status", "1 for the task's state.", []string{"connector", "task", "status"}, nil)

	taskCounts = []struct {
		*prometheus.Desc
		states []status.State // nil: every one but STOPPED
	}{
		{taskCount("running", "are RUNNING"), []status.State{status.Running}},
		{taskCount("failed", "are FAILED"), []status.State{status.Failed}},
		{taskCount("paused", "are PAUSED"), []status.State{status.Paused}},
		{taskCount("unassigned", "are UNASSIGNED"), []status.State{status.Unassigned}},
		{taskCount("restarting", "are being restarted"), []status.State{"RESTARTING"}},
		{taskCount("destroyed", "are destroyed"), []status.State{"DESTROYED"}},
		{taskCount("total", "it has"), nil},
	}
)

func taskCount(kind, which string) *prometheus.Desc {
	return prometheus.NewDesc("kafka_connect_worker_connector_"+kind+"_task_count", "Tasks of the connector that "+which+".", connectorLabels, nil)
}

// taskFamily is a metric of Connect's with one series per task.
type taskFamily struct {
	*prometheus.Desc
	kind  prometheus.ValueType
	value func(s *status.TaskStatus) float64
}

func ofTask(name, help string, kind prometheus.ValueType, value func(*status.TaskStatus) float64) taskFamily {
	return taskFamily{prometheus.NewDesc("kafka_connect_"+name, help, taskLabels, nil), kind, value}
}

var taskFamilies = []taskFamily{
	ofTask("source_task_source_record_poll_total", "Rows read from Coupa.", prometheus.CounterValue, func(s *status.TaskStatus) float64 { return float64(s.Rows) }),
	ofTask("source_task_source_record_poll_rate", "Rows read from Coupa a second.", prometheus.GaugeValue, func(s *status.TaskStatus) float64 { return s.Readings.Rows.Rate }),
	ofTask("source_task_source_record_write_total", "Records committed.", prometheus.CounterValue, func(s *status.TaskStatus) float64 { return float64(s.Published) }),
	ofTask("source_task_source_record_write_rate", "Records committed a second.", prometheus.GaugeValue, func(s *status.TaskStatus) float64 { return s.Readings.Batch.Rate }),
	ofTask("source_task_poll_batch_avg_time_ms", "Time that Coupa took to answer for a page.", prometheus.GaugeValue, func(s *status.TaskStatus) float64 { return s.Readings.Poll.Average }),
	ofTask("source_task_poll_batch_max_time_ms", "Longest time that Coupa took to answer for a page.", prometheus.GaugeValue, func(s *status.TaskStatus) float64 { return s.Readings.Poll.Highest }),
	ofTask("connector_task_offset_commit_avg_time_ms", "Time that a transaction with something of the task took.", prometheus.GaugeValue, func(s *status.TaskStatus) float64 { return s.Readings.Commit.Average }),
	ofTask("connector_task_offset_commit_max_time_ms", "Longest time that a transaction with something of the task took.", prometheus.GaugeValue, func(s *status.TaskStatus) float64 { return s.Readings.Commit.Highest }),
	ofTask("connector_task_batch_size_avg", "Records of the task in a transaction.", prometheus.GaugeValue, func(s *status.TaskStatus) float64 { return s.Readings.Batch.Average }),
	ofTask("connector_task_batch_size_max", "Most records of the task in a transaction.", prometheus.GaugeValue, func(s *status.TaskStatus) float64 { return s.Readings.Batch.Highest }),
	ofTask("connector_task_running_ratio", "Share of the time in which the task was RUNNING.", prometheus.GaugeValue, func(s *status.TaskStatus) float64 { return s.Readings.Running.Share() }),
	ofTask("connector_task_pause_ratio", "Share of the time in which the task was PAUSED.", prometheus.GaugeValue, func(s *status.TaskStatus) float64 { return s.Readings.Paused.Share() }),
	ofTask("task_error_total_record_errors", "Failures of the task, and rows that went to the dead letter topic.", prometheus.GaugeValue, func(s *status.TaskStatus) float64 { return float64(s.Failures + s.DeadLetters) }),
	ofTask("task_error_total_record_failures", "The same: what can't be encoded is not tried again.", prometheus.GaugeValue, func(s *status.TaskStatus) float64 { return float64(s.Failures + s.DeadLetters) }),
	ofTask("task_error_total_records_skipped", "Rows that went to the dead letter topic.", prometheus.GaugeValue, func(s *status.TaskStatus) float64 { return float64(s.DeadLetters) }),
	ofTask("task_error_total_retries", "Requests that were repeated, and pages that were read again.", prometheus.GaugeValue, func(s *status.TaskStatus) float64 { return float64(s.Retries) }),
	ofTask("task_error_total_errors_logged", "Failures of the task.", prometheus.GaugeValue, func(s *status.TaskStatus) float64 { return float64(s.Failures) }),
	ofTask("task_error_deadletterqueue_produce_requests", "Dead letters.", prometheus.GaugeValue, func(s *status.TaskStatus) float64 { return float64(s.DeadLetters) }),
	ofTask("task_error_deadletterqueue_produce_failures", "Always 0: a dead letter that can't be produced stops the object.", prometheus.GaugeValue, func(*status.TaskStatus) float64 { return 0 }),
	ofTask("task_error_last_error_timestamp", "When the last error was, in milliseconds since 1970; 0: there was none.", prometheus.GaugeValue, func(s *status.TaskStatus) float64 {
		if len(s.Errors) == 0 {
			return 0
		}
		return float64(s.Errors[0].At.UnixMilli())
	}),
}

// collectConnect tells of connectors and tasks in Connect's terms: of those that this worker runs.
func collectConnect(all []status.ConnectorStatus, version string, detail bool, out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	connectors, tasks := 0, 0
	known := map[status.State]int{status.Running: 0, status.Unassigned: 0, status.Paused: 0, status.Stopped: 0, status.Failed: 0}
	for i := range all {
		c := &all[i]
		known[c.State]++
		// one whose configuration can't be used is nobody's, and every worker tells
		if !c.Owner.Local && c.State != status.Failed {
			continue
		}
		connectors++
		gauge(connectorState, 1, c.Name, strings.ToLower(string(c.State)))
		gauge(connectorClass, 1, c.Name, config.ConnectorClass)
		gauge(connectorType, 1, c.Name, "source")
		gauge(connectorVersion, 1, c.Name, version)
		states, told := map[status.State]int{}, c.Tasks
		if c.Untold.Tasks {
			told = nil
		}
		for j := range told {
			s := &told[j]
			if states[s.State]++; s.State != status.Stopped {
				tasks++
			}
			if detail {
				collectTask(c.Name, s, out)
			}
		}
		for _, tc := range taskCounts {
			n := 0
			for state, m := range states {
				if tc.states == nil && state != status.Stopped || slices.Contains(tc.states, state) {
					n += m
				}
			}
			gauge(tc.Desc, float64(n), c.Name)
		}
	}
	for state, n := range known {
		gauge(knownConnectors, float64(n), strings.ToLower(string(state)))
	}
	gauge(workerConnectors, float64(connectors))
	gauge(workerTasks, float64(tasks))
	gauge(coordConnectors, float64(connectors))
	gauge(coordTasks, float64(tasks))
}

func collectTask(connector string, s *status.TaskStatus, out chan<- prometheus.Metric) {
	id := taskID(s.ID)
	out <- prometheus.MustNewConstMetric(taskState, prometheus.GaugeValue, 1, connector, id, strings.ToLower(string(s.State)))
	for _, f := range taskFamilies {
		out <- prometheus.MustNewConstMetric(f.Desc, f.kind, f.value(s), connector, id)
	}
}
