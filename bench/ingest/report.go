package main

import (
	"fmt"
	"io"
	"runtime"
	"strings"
)

// report is what a run has found.
type report struct {
	set         settings
	load        string
	recordBytes float64
	decode      float64 // events a second on one core
	runs        []run
	latency     string
	backlog     string
}

func (r *report) began(s settings) { r.set, r.load = s, load() }

func (r *report) add(x run) { r.runs = append(r.runs, x) }

func (r *report) named(prefix string) *run {
	for i := range r.runs {
		if strings.HasPrefix(r.runs[i].name, prefix) {
			return &r.runs[i]
		}
	}
	return nil
}

func (x *run) rate() float64    { return float64(x.sent.Events) / x.wall }
func (x *run) perCore() float64 { return float64(x.sent.Events) / x.collector }

// halfRate is half of what all together took, in events a second.
func (r *report) halfRate() float64 {
	if x := r.named("Tasktrail, log"); x != nil {
		return x.rate() / 2
	}
	return 20_000
}

func (r *report) print(w io.Writer) {
	p := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	p("%d processors, load %s before and %s after; %g s a load, %d connections, %d requests under way on each, %d records a request, %.0f bytes a record",
		runtime.NumCPU(), r.load, load(), r.set.seconds, r.set.conns, r.set.inflight, records, r.recordBytes)
	p("")
	p("| | events/s, until readable | collector's CPU, µs an event | events/s per collector core | engine's CPU, µs an event | generator's | peak memory, MiB | acknowledged p50, p99, ms | lost | twice |")
	p("|---|---|---|---|---|---|---|---|---|---|")
	for i := range r.runs {
		x := &r.runs[i]
		n := float64(x.sent.Events)
		collector, core := "–", "–"
		if x.collector > 0 {
			collector, core = fmt.Sprintf("%.2f", 1e6*x.collector/n), fmt.Sprintf("%.0f", x.perCore())
		}
		lost, twice := fmt.Sprint(x.lost), fmt.Sprint(x.twice)
		if x.note != "" {
			lost += " (" + x.note + ")"
		}
		p("| %s | %.0f | %s | %s | %.2f | %.2f | %.0f | %.0f, %.0f | %s | %s |", x.name, x.rate(), collector, core,
			1e6*x.engine/n, 1e6*x.sent.CPU/n, x.memory.peak, x.sent.AckP50, x.sent.AckP99, lost, twice)
	}
	p("")
	if r.decode > 0 {
		p("- raw wire → columns on one core: %.0f events/s", r.decode)
		for _, name := range []string{"Tasktrail, ClickHouse that swallows", "Tasktrail, log"} {
			if x := r.named(name); x != nil {
				p("- per collector core, %s: %.0f %% of it", x.name, 100*x.perCore()/r.decode)
			}
		}
	}
	ours := r.named("Tasktrail, log")
	if alone := r.named("engine alone"); alone != nil && ours != nil {
		p("- all together: %.0f %% of what the engine takes alone", 100*ours.rate()/alone.rate())
	}
	for _, name := range []string{"OpenTelemetry Collector, memory", "OpenTelemetry Collector, fsynced"} {
		if x := r.named(name); x != nil && ours != nil {
			p("- beside the %s: %.1f times the events per collector core, 1/%.1f of its CPU an event, %.1f times the rate all together",
				x.name, ours.perCore()/x.perCore(), ours.perCore()/x.perCore(), ours.rate()/x.rate())
		}
	}
	for _, s := range []string{r.latency, r.backlog} {
		if s != "" {
			p("- %s", s)
		}
	}
}

// results writes the loads' figures as go test -bench would.
func (r *report) results(w io.Writer) {
	for i := range r.runs {
		x := &r.runs[i]
		fmt.Fprintf(w, "BenchmarkIngest/%s 1 %.0f events/s", strings.ReplaceAll(x.name, " ", "_"), x.rate())
		if x.collector > 0 {
			fmt.Fprintf(w, " %.3f µs/event %.0f events/s/core", 1e6*x.collector/float64(x.sent.Events), x.perCore())
		}
		fmt.Fprintf(w, " %d lost %d twice\n", x.lost, x.twice)
	}
}
