package alerting

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tasktrail/tasktrail/alerting/channel"
	"github.com/tasktrail/tasktrail/alerting/channel/channeltest"
	"github.com/tasktrail/tasktrail/timeline"
)

func TestMetricsTellWhatBecameOfAlerts(t *testing.T) {
	r := channeltest.New(t, channeltest.SecretA)
	a := start(t, Config{Channels: []channel.Config{hook("pager", r.URL)}}, nil)
	write(t, a, dead("a", 1, timeline.FailExhausted), dead("b", 1, timeline.FailExhausted))
	eventually(t, "both alerts to arrive", func() bool { return a.Stats().Channels[0].Delivered == 2 })
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(a); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"tasktrail_alerts firing": 2, "tasktrail_alerts resolved": 0, "tasktrail_alert_deliveries_total pager delivered": 2,
		"tasktrail_alert_deliveries_total pager refused": 0, "tasktrail_alert_deliveries_queued pager": 0, "tasktrail_alert_channel_disabled pager": 0,
	} {
		if v, there := got[name]; !there || v != want {
			t.Errorf("%s is %v (%v), want %v", name, v, there, want)
		}
	}
}
