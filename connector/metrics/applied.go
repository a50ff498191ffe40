package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Applied tells of connector files that are kept applied to a group, in a registry of its own: it is no
// part of a worker.
type Applied struct {
	Registry *prometheus.Registry
	applied  *prometheus.GaugeVec
	at       *prometheus.GaugeVec
	results  *prometheus.CounterVec
}

// NewApplied makes it of nothing.
func NewApplied() *Applied {
	labels := []string{"file", "connector"}
	a := &Applied{
		Registry: prometheus.NewRegistry(),
		applied: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "coupastream_connector_applied",
			Help: "1: the group has the connector as its file says; 0: it could not be applied."}, labels),
		at: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "coupastream_connector_applied_timestamp_seconds",
			Help: "When the group last had the connector as its file says."}, labels),
		results: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "coupastream_connector_applies_total",
			Help: "Connector files that were looked at, by what came of it: created, updated, unchanged, failed."}, []string{"result"}),
	}
	a.Registry.MustRegister(a.applied, a.at, a.results)
	return a
}

// Note takes in what came of a file: created, updated or unchanged, or else failed. connector is "" where
// the file never said of which it is.
func (a *Applied) Note(file, connector, result string, failed bool) {
	a.applied.WithLabelValues(file, connector).Set(bit(!failed))
	if !failed {
		a.at.WithLabelValues(file, connector).Set(float64(time.Now().UnixMilli()) / 1000)
	}
	a.results.WithLabelValues(result).Inc()
}

// Forget takes out the series of a file, under the name that it had for a connector.
func (a *Applied) Forget(file, connector string) {
	a.applied.DeleteLabelValues(file, connector)
	a.at.DeleteLabelValues(file, connector)
}
