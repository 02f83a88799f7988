package main

import (
	"fmt"
	"strings"
)

// comparison is one row: a figure of ours beside the same of the peers.
type comparison struct {
	what, unit, ours string
	peers            []peer
	// more says that a greater figure is the better one.
	more bool
}

type peer struct{ name, bench string }

var comparisons = []comparison{
	{what: "policies of a successful task, ns", unit: "ns/op", ours: "TasktrailPolicy", peers: []peer{{"gobreaker + backoff", "GobreakerBackoff"}, {"failsafe-go", "FailsafeRetryBreaker"}}},
	{what: "a successful task with its timeline, ns", unit: "ns/op", ours: "TasktrailTask", peers: []peer{{"OpenTelemetry SDK, lossy", "OTelSDKDirect"}}},
	{what: "the same, allocations", unit: "allocs/op", ours: "TasktrailTask", peers: []peer{{"OpenTelemetry SDK, lossy", "OTelSDKDirect"}}},
	{what: "the same with the SDK attached, ns", unit: "ns/op", ours: "TasktrailTaskWithSDK", peers: []peer{{"the SDK for the same signals", "OTelSDKSameSignals"}}},
	{what: "an event appended, ns", unit: "ns/op", ours: "Append/ours", peers: logs("Append/")},
	{what: "an event, an fsync each 1 000, ns", unit: "ns/op", ours: "GroupCommit/ours", peers: logs("GroupCommit/")},
	{what: "durable events/s, 64 writers", unit: "durable_events/s", ours: "Durable64Writers/ours", peers: logs("Durable64Writers/"), more: true},
	{what: "events/s a collector core", unit: "events/s/core", ours: "Ingest/Tasktrail,_log_fsynced", peers: collectors, more: true},
	{what: "collector's CPU an event, µs", unit: "µs/event", ours: "Ingest/Tasktrail,_log_fsynced", peers: collectors},
	{what: "events/s until readable, all together", unit: "events/s", ours: "Ingest/Tasktrail,_log_fsynced", peers: append([]peer{{"the engine alone", "Ingest/engine_alone,_prebuilt_blocks"}}, collectors...), more: true},
}

var collectors = []peer{
	{"OpenTelemetry Collector, memory queue", "Ingest/OpenTelemetry_Collector,_memory_queue"},
	{"OpenTelemetry Collector, fsynced queue", "Ingest/OpenTelemetry_Collector,_fsynced_queue"},
}

func logs(prefix string) []peer {
	return []peer{{"tidwall/wal", prefix + "tidwall_wal"}, {"bbolt", prefix + "bbolt"}}
}

// table sets ours beside theirs; what was not measured is left out. The ratio is
// how many times better ours is.
func table(found medians) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Load average at the end (one minute, a quarter of an hour): %s. Medians; the last column is how many times better ours is.\n\n", load())
	b.WriteString("| | ours | peer | theirs | ratio |\n|---|---|---|---|---|\n")
	for _, c := range comparisons {
		ours, ok := found[c.ours][c.unit]
		if !ok {
			continue
		}
		for _, p := range c.peers {
			theirs, ok := found[p.bench][c.unit]
			if !ok {
				continue
			}
			ratio := theirs / ours
			if c.more {
				ratio = ours / theirs
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %.2f |\n", c.what, number(ours), p.name, number(theirs), ratio)
		}
	}
	return b.String()
}

func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
