package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/tasktrail/tasktrail/live"
	broker "github.com/tasktrail/tasktrail/live/embedded"
	"github.com/tasktrail/tasktrail/store"
	engine "github.com/tasktrail/tasktrail/store/embedded"
)

// Database is the ClickHouse database that the embedded engine keeps events in.
const Database = "default"

// EngineCommand is the subcommand that runs the embedded engine as a child.
const EngineCommand = "clickhouse"

// startClickHouse opens the store, over an engine of our own where no server is
// named, and brings its schema up to date.
func (a *App) startClickHouse(ctx context.Context) error {
	cfg := store.Config{DSN: a.set.ClickHouseDSN, ReaderDSN: a.set.ClickHouseRead, Retention: a.set.Retention, Cluster: a.set.ClickHouseCluster, Logger: a.log}
	if cfg.DSN == "" {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find this program: %w", err)
		}
		p, err := startEngine(ctx, engine.ProcessConfig{
			Command: []string{self, EngineCommand}, DataDir: filepath.Join(a.set.DataDir, "clickhouse"),
			Addr: a.set.ClickHouseAddr, MaxMemory: a.set.ClickHouseMem, Logger: a.log,
		})
		if err != nil {
			return err
		}
		a.undo.push("clickhouse engine", func(context.Context) error { return p.Stop() })
		a.addrs.ClickHouse = p.Addr()
		cfg.DSN, cfg.ReaderDSN = p.DSN(), p.ReaderDSN()
	}
	var err error
	if a.store, err = store.Open(ctx, cfg); err != nil {
		return err
	}
	a.undo.push("store", func(context.Context) error { return a.store.Close() })
	if a.role == RoleQuery {
		return nil // the collector, or tasktrail migrate, keeps the schema
	}
	return a.migrate(ctx)
}

// engineLeaves is how long the engine of a process that was killed may take to
// notice, and to give the data directory and the address free.
const engineLeaves = 15 * time.Second

// startEngine starts the embedded engine, and waits for one whose parent died a
// moment ago: whoever restarts a killed process does so at once.
func startEngine(ctx context.Context, cfg engine.ProcessConfig) (*engine.Process, error) {
	deadline := time.NewTimer(engineLeaves)
	defer deadline.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		p, err := engine.Start(ctx, cfg)
		if !errors.Is(err, engine.ErrLocked) && !errors.Is(err, syscall.EADDRINUSE) {
			return p, err
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return nil, err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// migrate brings the schema up to date. A collector keeps accepting while
// ClickHouse is away, so a server that does not answer is no reason not to
// start: the schema follows when it is back.
func (a *App) migrate(ctx context.Context) error {
	err := a.store.Migrate(ctx)
	if a.role == RoleUp {
		// An engine that dies meanwhile is started again within moments.
		return again(ctx, engineLeaves, err, a.store.Migrate)
	}
	if err == nil || lasting(err) {
		return err
	}
	a.log.Warn("ClickHouse does not answer; events are kept in the log until it does", "error", err)
	retry, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(5 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-retry.Done():
				return
			case <-tick.C:
				if err := a.store.Migrate(retry); err == nil {
					a.log.Info("ClickHouse answers; its schema is up to date")
					return
				}
			}
		}
	}()
	a.undo.pushFunc("migration", func() { stop(); <-done })
	return nil
}

// lasting says that an error stays where it is tried again.
func lasting(err error) bool {
	var l interface{ Permanent() bool }
	return errors.As(err, &l) && l.Permanent()
}

// again repeats what ended with err until it does not, or fails for good, or its time
// is over.
func again(ctx context.Context, within time.Duration, err error, do func(context.Context) error) error {
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for err != nil && !lasting(err) {
		select {
		case <-tick.C:
			err = do(ctx)
		case <-deadline.C:
			return err
		case <-ctx.Done():
			return err
		}
	}
	return err
}

// startRedis starts the embedded broker where no server is named.
func (a *App) startRedis(ctx context.Context) error {
	if a.set.RedisURL != "" {
		return nil
	}
	password, _, err := secretFile(a.set.DataDir, "redis-password", "")
	if err != nil {
		return err
	}
	b, err := broker.New(broker.Config{Addr: a.set.RedisAddr, Password: password, Logger: a.log})
	if err != nil {
		return err
	}
	if err := b.Start(ctx); err != nil {
		return err
	}
	a.undo.push("redis broker", func(context.Context) error { return b.Stop() })
	a.addrs.Redis, a.set.RedisURL, a.embeddedRedis = b.Addr(), b.URL(), true
	return nil
}

// startLive connects to Redis. The commands in it are authenticated by a key of
// this installation, so that nobody who can merely write to Redis starts a task.
func (a *App) startLive(ctx context.Context) error {
	live.RouteClientLog(a.log)
	key := a.set.CommandKey
	if key == "" {
		var err error
		if key, _, err = secretFile(a.set.DataDir, "command-key", ""); err != nil {
			return err
		}
	}
	a.commandKey = key
	var err error
	a.live, err = live.Open(live.Config{URL: a.set.RedisURL, CommandKey: []byte(key), LostAfter: a.set.LostAfter, OnConnect: a.onRedis, Logger: a.log})
	if err != nil {
		return err
	}
	a.undo.push("live", func(context.Context) error { return a.live.Close() })
	return a.live.Start(ctx)
}

// onRedis runs when Redis answers again: what it should hold and may have lost
// is told to it anew.
func (a *App) onRedis(ctx context.Context) {
	if a.role == RoleQuery {
		return
	}
	if err := errors.Join(a.redeliver(ctx, 0), a.restoreActive(ctx)); err != nil && ctx.Err() == nil {
		a.log.Warn("tell Redis anew what it may have lost", "error", err)
	}
}
