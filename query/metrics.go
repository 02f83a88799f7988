package query

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The names of the service's own metrics.
const (
	metricRequests  = "tasktrail_query_requests_total"
	metricDuration  = "tasktrail_query_request_duration_seconds"
	metricRefused   = "tasktrail_query_refused_total"
	metricPanics    = "tasktrail_query_panics_total"
	metricStreams   = "tasktrail_query_streams"
	metricMissed    = "tasktrail_query_stream_missed_updates_total"
	metricUnaudited = "tasktrail_query_unaudited_total"
	metricFiltered  = "tasktrail_query_stream_filtered_messages_total"
)

type metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	refused   *prometheus.CounterVec
	panics    prometheus.Counter
	streams   prometheus.Gauge
	missed    prometheus.Counter
	filtered  prometheus.Counter
	unaudited prometheus.Counter
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: metricRequests, Help: "Requests answered."}, []string{"route", "method", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: metricDuration, Help: "Time from a request's arrival to its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"route"}),
		refused:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: metricRefused, Help: "Requests refused by a limit, by which."}, []string{"limit"}),
		panics:    prometheus.NewCounter(prometheus.CounterOpts{Name: metricPanics, Help: "Requests that ended in a panic."}),
		streams:   prometheus.NewGauge(prometheus.GaugeOpts{Name: metricStreams, Help: "Open streams."}),
		missed:    prometheus.NewCounter(prometheus.CounterOpts{Name: metricMissed, Help: "Updates dropped because a stream's reader was slow."}),
		unaudited: prometheus.NewCounter(prometheus.CounterOpts{Name: metricUnaudited, Help: "Calls that changed something, or were refused to, and whose record could not be written."}),
		filtered:  prometheus.NewCounter(prometheus.CounterOpts{Name: metricFiltered, Help: "Live messages that a stream did not show: unreadable, or not its reader's to see."}),
	}
	m.registry.MustRegister(m.requests, m.duration, m.refused, m.panics, m.streams, m.missed, m.filtered, m.unaudited)
	return m
}

func (m *metrics) gatherer(more prometheus.Gatherer) prometheus.Gatherer {
	if more == nil {
		return m.registry
	}
	return prometheus.Gatherers{m.registry, more}
}

// observe counts one answer. Route is a pattern, never a path: its values are
// bounded.
func (m *metrics) observe(route, method string, status int, took time.Duration) {
	switch method {
	case "GET", "HEAD", "POST", "DELETE":
	default:
		method = "other"
	}
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	m.duration.WithLabelValues(route).Observe(took.Seconds())
}
