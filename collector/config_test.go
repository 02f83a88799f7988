package collector

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tasktrail/tasktrail/timeline"
)

func TestConfigReportsAllFaults(t *testing.T) {
	err := Config{GRPCAddr: "nowhere", LogMaxBytes: 5, MaxStreams: -1, TLSCertFile: "x", ForwardOTLP: "ftp://x", TLSClientCAFile: "", ReadTimeout: -time.Second}.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, field := range []string{"Dir", "GRPCAddr", "LogMaxBytes", "MaxStreams", "TLSCertFile", "ForwardOTLP", "ReadTimeout"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("%s is not named in: %v", field, err)
		}
	}
	if err := (Config{Dir: "x"}).Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
}

func TestSinkNames(t *testing.T) {
	for _, name := range []string{"", "A", "a b", watchName, ledgerName, strings.Repeat("a", 65)} {
		if _, err := New(Config{Dir: "x"}, Deps{Sinks: []SinkSpec{{Sink: newRecorder(name)}}}); err == nil {
			t.Errorf("%q is accepted", name)
		}
	}
	if _, err := New(Config{Dir: "x"}, Deps{Sinks: []SinkSpec{{Sink: newRecorder("a")}, {Sink: newRecorder("a")}}}); err == nil {
		t.Error("two of one name are accepted")
	}
}

func TestStartStop(t *testing.T) {
	cfg := testConfig(t.TempDir())
	registry := prometheus.NewRegistry()
	c, err := New(cfg, Deps{Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	stop(t, c) // stopped without a start
	for range 2 {
		if err := c.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.Start(t.Context()); err == nil {
			t.Error("started twice")
		}
		if err := c.Ready(); err != nil {
			t.Errorf("not ready: %v", err)
		}
		stop(t, c)
		stop(t, c)
		if c.Ready() == nil {
			t.Error("ready after the stop")
		}
	}
}

func TestStartThatFailsLeavesNothingRunning(t *testing.T) {
	first := start(t, testConfig(t.TempDir()), Deps{})
	cfg := testConfig(t.TempDir())
	cfg.HTTPAddr = first.HTTPAddr().String()
	c, err := New(cfg, Deps{Sinks: []SinkSpec{{Sink: newRecorder("a")}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err == nil {
		t.Fatal("started on an address in use")
	}
	c.cfg.HTTPAddr = "127.0.0.1:0"
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop(t, c)
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	sink := newRecorder("truth")
	c := start(t, testConfig(t.TempDir()), Deps{Registerer: registry, Sinks: []SinkSpec{{Sink: sink}}})
	post(t, c, pathLogs, request(event("t", 1, 1, 1, timeline.AttemptStarted), event("", 1, 1, 1, timeline.AttemptStarted)))
	sink.awaitCount(t, 1)
	eventually(t, "sent is counted", func() bool {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		value := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				value[f.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
		return value[metricAccepted] == 1 && value[metricRefused] == 1 && value[metricSent] == 1 && value[metricUp] == 1 &&
			value[metricQueueSize] == 0 && value[metricQueueCap] == 64<<20 && value[metricLogFree] > 0
	})
}
