// Package storetest gives tests of other packages a real ClickHouse engine: one
// process for a test package, an empty database for each test. It is imported by
// tests alone. It skips nothing: without the engine library a test fails and
// says how to install it.
package storetest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/tasktrail/tasktrail/store/embedded"
)

// engine is the one of this test process, set by Main before any test runs.
var (
	engine  atomic.Pointer[embedded.Process]
	counter atomic.Int64
)

// Main is the body of a TestMain: it starts the engine, runs the tests, stops it
// and looks for goroutines that were left behind. The test binary is the engine's process too, so Main must come before
// anything else that TestMain does. The returned status is for os.Exit.
//
//	func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }
func Main(m *testing.M) int {
	ChildMain()
	dir, err := os.MkdirTemp("", "tasktrail-engine-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "storetest:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	p, err := embedded.Start(context.Background(), Config(dir))
	if err != nil {
		fmt.Fprintln(os.Stderr, "storetest:", err)
		return 1
	}
	engine.Store(p)
	code := m.Run()
	if err := p.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "storetest:", err)
		return max(code, 1)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "storetest:", err)
		return 1
	}
	return code
}

// ChildMain turns this process into the engine where it was started as one, and
// returns at once where it was not. A TestMain that does not use [Main] calls it
// first.
func ChildMain() {
	if !embedded.IsChild() {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := embedded.RunChild(ctx, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:gocritic // nothing is deferred that the end of a process does not do
	}
	os.Exit(0)
}

// Config runs an engine out of this test binary on a free port, for a test that
// wants one of its own. The binary's TestMain must call [Main] or [ChildMain].
func Config(dataDir string) embedded.ProcessConfig {
	return embedded.ProcessConfig{
		Command: []string{os.Args[0]}, DataDir: dataDir, Addr: "127.0.0.1:0",
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

// Process is the engine that [Main] started.
func Process(tb testing.TB) *embedded.Process {
	tb.Helper()
	p := engine.Load()
	if p == nil {
		tb.Fatal("storetest: there is no engine: TestMain must be storetest.Main")
	}
	return p
}

// DSN returns the addresses, for the writing and for the reading user, of an
// empty database that is dropped when the test ends.
func DSN(tb testing.TB) (writer, reader string) {
	tb.Helper()
	p := Process(tb)
	name := fmt.Sprintf("test_%d_%d", os.Getpid(), counter.Add(1))
	ask(tb, p.DSN(), "CREATE DATABASE "+name)
	tb.Cleanup(func() { ask(tb, p.DSN(), "DROP DATABASE IF EXISTS "+name+" SYNC") })
	return strings.TrimSuffix(p.DSN(), "default") + name, strings.TrimSuffix(p.ReaderDSN(), "default") + name
}
