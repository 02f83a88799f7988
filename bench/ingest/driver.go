package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/tasktrail/tasktrail/store"
	"github.com/tasktrail/tasktrail/store/embedded"
)

// driver runs the parts one after the other over one engine.
type driver struct {
	settings
	engine *embedded.Process
	front  *front
	report report
}

func driverMain(ctx context.Context, args []string) (err error) {
	var d driver
	if err := d.parse(args); err != nil {
		return err
	}
	if d.dir == "" {
		if d.dir, err = os.MkdirTemp("", "ingest-"); err != nil {
			return err
		}
		defer os.RemoveAll(d.dir)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	d.report.began(d.settings)
	d.engine, err = embedded.Start(ctx, embedded.ProcessConfig{
		Command: []string{self, "engine"}, DataDir: filepath.Join(d.dir, "clickhouse"), Addr: "127.0.0.1:0",
		MaxMemory: 6 << 30, MaxBodyBytes: 1 << 30, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	defer func() { _ = d.engine.Stop() }()
	if d.front, err = newFront(d.engine.Addr()); err != nil {
		return err
	}
	defer d.front.close()
	var failed error
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"decode", d.decode}, {"engine", d.alone}, {"null", d.null}, {"ours", d.ours}, {"latency", d.latency},
		{"backlog", d.drain}, {"memory", d.memoryQueue}, {"fsync", d.fsyncQueue},
	} {
		if d.only != "" && !strings.Contains(","+d.only+",", ","+part.name+",") {
			continue
		}
		if (part.name == "memory" || part.name == "fsync") && d.peer == "" {
			continue
		}
		fmt.Fprintf(os.Stderr, "ingest: %s (load %s)\n", part.name, load())
		if err := part.run(ctx); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", part.name, err))
		}
	}
	d.report.print(os.Stdout)
	if d.results != "" {
		var b bytes.Buffer
		d.report.results(&b)
		if err := os.WriteFile(d.results, b.Bytes(), 0o644); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// dsn is the address of a database, straight or through the front.
func (d *driver) dsn(host, database string) string {
	c := d.engine.Credentials()
	return (&url.URL{Scheme: "http", User: url.UserPassword(c.User, c.Password), Host: host, Path: "/" + database}).String()
}

// migrated makes a database with our tables.
func (d *driver) migrated(ctx context.Context, database string) error {
	s, err := store.Open(ctx, store.Config{DSN: d.dsn(d.engine.Addr(), database)})
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Migrate(ctx)
}

// sql asks the engine.
func (d *driver) sql(ctx context.Context, query string) ([]string, error) {
	c := d.engine.Credentials()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+d.engine.Addr()+"/", strings.NewReader(query+" FORMAT TSV"))
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth(c.User, c.Password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, b)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\t"), err
}

func (d *driver) numbers(ctx context.Context, query string) ([]uint64, error) {
	cells, err := d.sql(ctx, query)
	if err != nil {
		return nil, err
	}
	out := make([]uint64, len(cells))
	for i, c := range cells {
		if out[i], err = strconv.ParseUint(c, 10, 64); err != nil {
			return nil, fmt.Errorf("%q: %w", c, err)
		}
	}
	return out, nil
}

func (d *driver) drop(ctx context.Context, database string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+d.engine.Addr()+"/", strings.NewReader("DROP DATABASE IF EXISTS "+database+" SYNC"))
	if err != nil {
		return
	}
	c := d.engine.Credentials()
	req.SetBasicAuth(c.User, c.Password)
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
	}
}

// await polls until the table has as many rows, and returns when it had.
func (d *driver) await(ctx context.Context, table string, rows uint64, within time.Duration) (time.Time, error) {
	deadline := time.Now().Add(within)
	last := []uint64{0}
	for time.Now().Before(deadline) {
		n, err := d.numbers(ctx, "SELECT count() FROM "+table)
		if err == nil {
			if last = n; n[0] >= rows {
				return time.Now(), nil
			}
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return time.Time{}, context.Cause(ctx)
		}
	}
	return time.Now(), fmt.Errorf("%s has %d of %d rows after %v", table, last[0], rows, within)
}

// decode is the rate of wire → columns, on one core, in this process.
func (d *driver) decode(context.Context) error {
	s := newScript("decode")
	frames := make([][]byte, 64)
	size := 0
	for i := range frames {
		frames[i] = frameOf(s.request(records))
		size += len(frames[i])
	}
	d.report.recordBytes = float64(size) / float64(len(frames)*records)
	dec := store.NewDecoder()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	events, began := 0, threadCPU()
	for until := time.Now().Add(2 * time.Second); time.Now().Before(until); {
		for _, f := range frames {
			n, err := dec.Decode(f)
			if err != nil {
				return err
			}
			events += n
		}
	}
	d.report.decode = float64(events) / (threadCPU() - began).Seconds()
	return nil
}
