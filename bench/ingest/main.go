// Command ingest measures the way of events into ClickHouse: a generator, a
// collector and the embedded engine as processes apart, the processor time of
// each, and what was lost or is there twice, counted in the same run. Beside it,
// fed the same bytes into the same engine, stands the OpenTelemetry Collector with
// its ClickHouse exporter. It decides nothing about pass or fail.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"

	"github.com/tasktrail/tasktrail/store/embedded"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	role := ""
	if len(os.Args) > 1 {
		role = os.Args[1]
	}
	var err error
	switch role {
	case "engine":
		err = embedded.RunChild(ctx, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	case "collector":
		err = collectorMain(ctx, os.Args[2:])
	case "generate":
		err = generatorMain(ctx, os.Args[2:])
	default:
		err = driverMain(ctx, os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "ingest:", err)
		os.Exit(1)
	}
}

// settings are the flags of a run.
type settings struct {
	seconds  float64
	conns    int
	inflight int
	backlog  int64
	peer     string
	only     string
	dir      string
	pprof    string
	results  string
}

func (s *settings) parse(args []string) error {
	f := flag.NewFlagSet("ingest", flag.ContinueOnError)
	f.Float64Var(&s.seconds, "seconds", 12, "how long each of the loads lasts")
	f.IntVar(&s.conns, "conns", 4, "connections of the generator")
	f.IntVar(&s.inflight, "inflight", 4, "requests under way on each connection")
	f.Int64Var(&s.backlog, "backlog", 1<<30, "bytes of the backlog that is drained")
	f.StringVar(&s.peer, "otelcol", "", "binary of the OpenTelemetry Collector; empty to leave it out")
	f.StringVar(&s.only, "only", "", "comma-separated parts: decode,engine,null,ours,latency,backlog,memory,fsync; empty for all")
	f.StringVar(&s.dir, "dir", "", "directory for data; empty for a temporary one")
	f.StringVar(&s.pprof, "pprof", "", "file for a CPU profile of our collector during the parts null and ours")
	f.StringVar(&s.results, "results", "", "file for the loads' figures in the form of go test -bench, for bench/report; empty for none")
	return f.Parse(args)
}
