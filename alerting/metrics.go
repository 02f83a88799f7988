package alerting

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	metricAlerts = prometheus.NewDesc("tasktrail_alerts", "Alerts that are kept, by state.", []string{"state"}, nil)
	metricTasks  = prometheus.NewDesc("tasktrail_alerting_tasks", "Tasks that are followed because they may raise an alert.", nil, nil)
	metricLost   = prometheus.NewDesc("tasktrail_alerting_lost_total",
		"What could not be kept or read: alerts and tasks pushed out by bounds, damaged lines of the journal, unreadable frames, uncounted events.", []string{"what"}, nil)
	metricWatchdog   = prometheus.NewDesc("tasktrail_alerting_watchdog_signals_total", "Signals of the watchdog, by what became of them.", []string{"outcome"}, nil)
	metricDeliveries = prometheus.NewDesc("tasktrail_alert_deliveries_total", "Deliveries of a channel, by what became of them.", []string{"channel", "outcome"}, nil)
	metricQueued     = prometheus.NewDesc("tasktrail_alert_deliveries_queued", "Deliveries that wait, by channel.", []string{"channel"}, nil)
	metricOldest     = prometheus.NewDesc("tasktrail_alert_deliveries_oldest_seconds", "Age of the delivery that waits longest, by channel.", []string{"channel"}, nil)
	metricDisabled   = prometheus.NewDesc("tasktrail_alert_channel_disabled", "1 where a channel was disabled and takes nothing.", []string{"channel"}, nil)
)

// Describe implements [prometheus.Collector].
func (a *Alerting) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{metricAlerts, metricTasks, metricLost, metricWatchdog, metricDeliveries, metricQueued, metricOldest, metricDisabled} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (a *Alerting) Collect(out chan<- prometheus.Metric) {
	s, now := a.Stats(), time.Now()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(metricAlerts, float64(s.Firing), "firing")
	gauge(metricAlerts, float64(s.Pending), "pending")
	gauge(metricAlerts, float64(s.Resolved), "resolved")
	gauge(metricTasks, float64(s.Tasks))
	count(metricLost, s.Forgotten, "forgotten")
	count(metricLost, s.Damaged, "damaged_lines")
	count(metricLost, s.Unreadable, "unreadable_frames")
	count(metricLost, s.Uncounted, "uncounted_events")
	count(metricWatchdog, s.WatchdogSent, "sent")
	count(metricWatchdog, s.WatchdogFailed, "failed")
	count(metricWatchdog, s.WatchdogWithheld, "withheld")
	for i := range s.Channels {
		c := &s.Channels[i]
		for outcome, n := range map[string]uint64{
			"delivered": c.Delivered, "retried": c.Retried, "refused": c.Refused, "expired": c.Expired, "overflowed": c.Overflowed, "skipped": c.Skipped,
		} {
			count(metricDeliveries, n, c.key(), outcome)
		}
		gauge(metricQueued, float64(c.Queued), c.key())
		oldest, disabled := 0.0, 0.0
		if !c.OldestAt.IsZero() {
			oldest = max(now.Sub(c.OldestAt).Seconds(), 0)
		}
		if c.Disabled != "" {
			disabled = 1
		}
		gauge(metricOldest, oldest, c.key())
		gauge(metricDisabled, disabled, c.key())
	}
}
