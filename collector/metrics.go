package collector

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Names of the metrics, after the OpenTelemetry Collector's, and of their labels.
const (
	metricAccepted     = "tasktrail_receiver_accepted_log_records_total"
	metricRefused      = "tasktrail_receiver_refused_log_records_total"
	metricRepeated     = "tasktrail_receiver_repeated_log_records_total"
	metricForgotten    = "tasktrail_receiver_forgotten_sources_total"
	metricRequests     = "tasktrail_receiver_requests_total"
	metricForwarded    = "tasktrail_receiver_other_signal_requests_total"
	metricInFlight     = "tasktrail_receiver_in_flight_bytes"
	metricAgents       = "tasktrail_agent_connections"
	metricCommands     = "tasktrail_agent_commands_sent_total"
	metricSent         = "tasktrail_exporter_sent_log_records_total"
	metricSendFailed   = "tasktrail_exporter_send_failed_total"
	metricQueueSize    = "tasktrail_exporter_queue_size"
	metricQueueCap     = "tasktrail_exporter_queue_capacity"
	metricLag          = "tasktrail_exporter_lag_seconds"
	metricSetAside     = "tasktrail_exporter_set_aside_log_records_total"
	metricSkipped      = "tasktrail_exporter_skipped_log_records_total"
	metricUp           = "tasktrail_exporter_up"
	metricLogFree      = "tasktrail_log_free_bytes"
	metricLogSyncs     = "tasktrail_log_syncs_total"
	metricLogDamaged   = "tasktrail_log_damaged_frames_total"
	metricTracked      = "tasktrail_watch_running_tasks"
	metricUntracked    = "tasktrail_watch_untracked_tasks_total"
	metricWatchPending = "tasktrail_watch_pending_events"

	labelTransport = "transport"
	labelReason    = "reason"
	labelCode      = "code"
	labelSink      = "sink"
	labelSignal    = "signal"
)

// Values of labels.
const (
	transportGRPC  = "grpc"
	transportHTTP  = "http"
	transportLocal = "local"

	refusedInvalid = "invalid"

	signalTraces  = "traces"
	signalMetrics = "metrics"
)

// metrics are the collector's own figures. Gauges are read when asked for.
type metrics struct {
	accepted   *prometheus.CounterVec
	refused    *prometheus.CounterVec
	repeated   *prometheus.CounterVec
	requests   *prometheus.CounterVec
	other      *prometheus.CounterVec
	commands   prometheus.Counter
	sent       *prometheus.CounterVec
	sendFailed *prometheus.CounterVec
	setAside   *prometheus.CounterVec
	skipped    *prometheus.CounterVec
	untracked  prometheus.Counter
}

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	return &metrics{
		accepted:   counter(metricAccepted, "Log records accepted: on disk and acknowledged.", labelTransport),
		refused:    counter(metricRefused, "Log records refused in a request that was otherwise taken.", labelTransport, labelReason),
		repeated:   counter(metricRepeated, "Log records acknowledged and not written again, because they stand in the log.", labelTransport),
		requests:   counter(metricRequests, "Requests by the code of their answer.", labelTransport, labelCode),
		other:      counter(metricForwarded, "Requests of signals that are forwarded or dropped.", labelSignal),
		commands:   prometheus.NewCounter(prometheus.CounterOpts{Name: metricCommands, Help: "Commands handed to agents."}),
		sent:       counter(metricSent, "Log records a sink has taken.", labelSink),
		sendFailed: counter(metricSendFailed, "Tries of a batch that a sink did not take.", labelSink),
		setAside:   counter(metricSetAside, "Log records set aside because the sink will never take them.", labelSink),
		skipped:    counter(metricSkipped, "Log records a lossy sink passed over because they were too old.", labelSink),
		untracked:  prometheus.NewCounter(prometheus.CounterOpts{Name: metricUntracked, Help: "Running tasks not watched because too many run."}),
	}
}

// register hands everything to the registerer; collectors of another instance in
// the same registry are an error.
func (c *Collector) register() error {
	r := c.deps.Registerer
	if r == nil {
		return nil
	}
	m := c.metrics
	gauge := func(name, help string, read func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read)
	}
	all := []prometheus.Collector{
		m.accepted, m.refused, m.repeated, m.requests, m.other, m.commands, m.sent, m.sendFailed, m.setAside, m.skipped, m.untracked,
		gauge(metricInFlight, "Memory of requests being read and written.", func() float64 { return float64(c.budget.used.Load()) }),
		gauge(metricAgents, "Agents waiting for commands.", func() float64 { return float64(c.agents.count()) }),
		gauge(metricTracked, "Running tasks watched for being lost.", func() float64 { return float64(c.watch.size()) }),
		gauge(metricWatchPending, "Events that follow from others and are not yet in the log.", func() float64 { return float64(c.watch.waiting()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: metricForgotten, Help: "Sources whose last numbers were forgotten to make room for others'."},
			func() float64 { return float64(c.door.forgotten()) }),
		sinkCollector{c},
	}
	var errs []error
	for i, m := range all {
		if err := r.Register(m); err != nil {
			errs = append(errs, fmt.Errorf("register metrics: %w", err))
			for _, done := range all[:i] {
				r.Unregister(done)
			}
			break
		}
	}
	if len(errs) == 0 {
		c.registered = all
	}
	return errors.Join(errs...)
}

func (c *Collector) unregister() {
	for _, m := range c.registered {
		c.deps.Registerer.Unregister(m)
	}
	c.registered = nil
}

// sinkCollector reads the state of log and sinks at each scrape.
type sinkCollector struct{ c *Collector }

var (
	descQueueSize  = prometheus.NewDesc(metricQueueSize, "Bytes of the log a sink has not taken yet.", []string{labelSink}, nil)
	descLag        = prometheus.NewDesc(metricLag, "Age of the oldest frame a sink has not taken.", []string{labelSink}, nil)
	descUp         = prometheus.NewDesc(metricUp, "1 where the sink takes what it gets.", []string{labelSink}, nil)
	descQueueCap   = prometheus.NewDesc(metricQueueCap, "Bytes the log may hold.", nil, nil)
	descLogFree    = prometheus.NewDesc(metricLogFree, "Bytes the log can still take.", nil, nil)
	descLogSyncs   = prometheus.NewDesc(metricLogSyncs, "fsyncs of the log.", nil, nil)
	descLogDamaged = prometheus.NewDesc(metricLogDamaged, "Frames of the log found damaged.", nil, nil)
)

func (s sinkCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range [...]*prometheus.Desc{descQueueSize, descLag, descUp, descQueueCap, descLogFree, descLogSyncs, descLogDamaged} {
		ch <- d
	}
}

func (s sinkCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, st := range s.c.Sinks() {
		gauge(descQueueSize, float64(st.LagBytes), st.Name)
		gauge(descLag, st.LagSeconds, st.Name)
		up := 0.0
		if st.Up() {
			up = 1
		}
		gauge(descUp, up, st.Name)
	}
	gauge(descQueueCap, float64(s.c.cfg.LogMaxBytes))
	if log := s.c.log.Load(); log != nil {
		st := log.Stats()
		gauge(descLogFree, float64(st.FreeBytes))
		ch <- prometheus.MustNewConstMetric(descLogSyncs, prometheus.CounterValue, float64(st.Syncs))
		ch <- prometheus.MustNewConstMetric(descLogDamaged, prometheus.CounterValue, float64(st.DamagedFrames))
	}
}
