package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	_ "net/http/pprof" // of the child alone, on the loopback
	"os"
	"runtime/debug"
	"time"

	"github.com/tasktrail/tasktrail/collector"
	"github.com/tasktrail/tasktrail/store"
)

const benchToken = "bench"

// anyone takes the generator's token.
type anyone struct{}

func (anyone) Authenticate(_ context.Context, token string) (collector.Principal, error) {
	if token != benchToken {
		return collector.Principal{}, collector.ErrUnauthenticated
	}
	return collector.Principal{Scopes: []string{collector.ScopeIngest}}, nil
}

// started is what a collector says of itself when it runs.
type started struct {
	GRPC  string `json:"grpc"`
	Debug string `json:"debug"`
}

// collectorMain is our collector with the store as its sink, as `tasktrail
// collector` wires them, without Redis and alerting. It runs until its input ends
// and then says its ledger.
func collectorMain(ctx context.Context, args []string) (err error) {
	f := flag.NewFlagSet("collector", flag.ContinueOnError)
	dir := f.String("dir", "", "data directory")
	dsn := f.String("dsn", "", "ClickHouse")
	logBytes := f.Int64("log-bytes", 10<<30, "bound of the log")
	if err := f.Parse(args); err != nil {
		return err
	}
	debug.SetGCPercent(50) // as the app does
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	s, err := store.Open(ctx, store.Config{DSN: *dsn, Logger: logger})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	c, err := collector.New(collector.Config{
		GRPCAddr: "127.0.0.1:0", HTTPAddr: "-", Dir: *dir, LogMaxBytes: *logBytes, Logger: logger, StopTimeout: time.Minute,
	}, collector.Deps{
		Auth: anyone{},
		// As the app feeds it.
		Sinks: []collector.SinkSpec{{Sink: s, MaxBatchBytes: 16 << 20, MaxBatchFrames: 4096, Linger: 150 * time.Millisecond, Tombstones: true}},
	})
	if err != nil {
		return err
	}
	if err := c.Start(ctx); err != nil {
		return err
	}
	debug, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	http.HandleFunc("/state", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(state{Lag: c.Sinks()[0].LagBytes, Written: c.Ledger().Sinks[0].Written})
	})
	go func() { _ = http.Serve(debug, nil) }()
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(started{GRPC: c.GRPCAddr().String(), Debug: debug.Addr().String()}); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := c.Stop(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	return nil
}
