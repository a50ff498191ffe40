package metrics

import (
	"github.com/coupastream/coupastream/connector/transport"
	"github.com/prometheus/client_golang/prometheus"
)

// Certificates tells how long the files of certificates are of use, as they are at each
// gathering. One that can't be read has no series: what it held before stays in force.
type Certificates []transport.CertificateFile

var (
	certificateLabels = []string{"key"}
	certificateFrom   = prometheus.NewDesc("coupastream_certificate_not_before_timestamp_seconds",
		"From when the certificates of a file are valid, by the setting that names it; seconds since 1970.", certificateLabels, nil)
	certificateUntil = prometheus.NewDesc("coupastream_certificate_not_after_timestamp_seconds",
		"Until when the certificates of a file are valid, by the setting that names it; seconds since 1970.", certificateLabels, nil)
)

// Describe implements prometheus.Collector.
func (Certificates) Describe(descs chan<- *prometheus.Desc) {
	descs <- certificateFrom
	descs <- certificateUntil
}

// Collect implements prometheus.Collector.
func (c Certificates) Collect(out chan<- prometheus.Metric) {
	for _, f := range c {
		from, until, err := f.Validity()
		if err != nil {
			continue
		}
		out <- prometheus.MustNewConstMetric(certificateFrom, prometheus.GaugeValue, float64(from.Unix()), f.Key)
		out <- prometheus.MustNewConstMetric(certificateUntil, prometheus.GaugeValue, float64(until.Unix()), f.Key)
	}
}
