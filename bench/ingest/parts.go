package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tasktrail/tasktrail/store"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

func frameOf(request []byte) []byte {
	return wire.AppendFrame(nil, wire.Envelope{IngestedAt: time.Now()}, request)
}

// run is one load and what it took.
type run struct {
	name              string
	sent              sent
	wall              float64 // until the last row was readable
	collector, engine float64 // CPU seconds
	memory            memory
	lost, twice       int64
	note              string
}

// alone is what the engine takes: blocks as our collector makes them, prepared
// before.
func (d *driver) alone(ctx context.Context) error {
	if err := d.migrated(ctx, "alone"); err != nil {
		return err
	}
	defer d.drop(ctx, "alone")
	s, err := store.Open(ctx, store.Config{DSN: d.dsn(d.front.listener.Addr().String(), "alone")})
	if err != nil {
		return err
	}
	defer s.Close()
	d.front.mode.Store(frontKeep)
	sc := newScript("alone")
	want := uint64(min(d.seconds, 12) * 75_000)
	var events uint64
	for batch := 0; events < want; batch++ {
		var frames [][]byte
		for range 98 { // 50 176 events: one block, and the rest of another
			frames = append(frames, frameOf(sc.request(records)))
			events += records
		}
		if err := s.WriteFrames(ctx, "alone-"+strconv.Itoa(batch), frames); err != nil {
			return err
		}
	}
	d.front.mode.Store(frontPass)
	blocks := d.front.blocks
	d.front.blocks = nil
	r := run{name: "engine alone, prebuilt blocks", sent: sent{Events: events}}
	began, cpu := time.Now(), cpuOf(d.engine.PID())
	var next atomic.Int64
	var both sync.WaitGroup
	errs := make([]error, 2)
	for w := range errs {
		both.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(blocks) || errs[w] != nil {
					return
				}
				errs[w] = d.replay(ctx, blocks[i])
			}
		})
	}
	both.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	if _, err := d.await(ctx, "alone.events", events, time.Minute); err != nil {
		return err
	}
	r.wall = time.Since(began).Seconds()
	r.engine = (cpuOf(d.engine.PID()) - cpu).Seconds()
	d.report.add(r)
	return nil
}

func (d *driver) replay(ctx context.Context, b insert) error {
	u := url.URL{Scheme: "http", Host: d.engine.Addr(), Path: "/", RawQuery: b.query.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(b.body))
	if err != nil {
		return err
	}
	req.Header = b.header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if answer, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		return fmt.Errorf("insert: %s: %.300s", resp.Status, answer)
	}
	return nil
}

// startOurs starts our collector over a database.
func (d *driver) startOurs(name, dsn string) (*child, started, error) {
	c, err := startSelf("collector", "-dir", filepath.Join(d.dir, name), "-dsn", dsn, "-log-bytes", strconv.FormatInt(max(10<<30, 2*d.backlog), 10))
	if err != nil {
		return nil, started{}, err
	}
	var at started
	if err := c.read(&at); err != nil {
		return nil, at, err
	}
	return c, at, nil
}

func (d *driver) generate(addr, name string, more ...string) (*child, error) {
	return startSelf(append([]string{"generate", "-addr", addr, "-name", name, "-conns", strconv.Itoa(d.conns), "-inflight", strconv.Itoa(d.inflight)}, more...)...)
}

func (d *driver) forSeconds() []string {
	return []string{"-seconds", strconv.FormatFloat(d.seconds, 'f', -1, 64)}
}

// profile fetches a CPU profile of our collector while a load runs.
func (d *driver) profile(at started, name string) (wait func()) {
	if d.pprof == "" {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		resp, err := http.Get("http://" + at.Debug + "/debug/pprof/profile?seconds=" + strconv.Itoa(max(1, int(d.seconds)-2)))
		if err != nil {
			return
		}
		defer resp.Body.Close()
		if f, err := os.Create(d.pprof + "." + name); err == nil {
			_, _ = io.Copy(f, resp.Body)
			f.Close()
		}
	}()
	return func() { <-done }
}

// null is our collector with a ClickHouse that takes everything at once: its own
// rate.
func (d *driver) null(ctx context.Context) error {
	if err := d.migrated(ctx, "ours"); err != nil {
		return err
	}
	d.front.mode.Store(frontSwallow)
	defer d.front.mode.Store(frontPass)
	c, at, err := d.startOurs("null", d.dsn(d.front.listener.Addr().String(), "ours"))
	if err != nil {
		return err
	}
	r := run{name: "Tasktrail, ClickHouse that swallows"}
	g, err := d.generate(at.GRPC, "null", d.forSeconds()...)
	if err != nil {
		return err
	}
	wait := d.profile(at, "null")
	if err := g.read(&r.sent); err != nil {
		return err
	}
	wait()
	_ = g.stop()
	r.wall = r.sent.Seconds
	if err := d.drained(ctx, at); err != nil {
		return err
	}
	r.collector = cpuOf(c.cmd.Process.Pid).Seconds()
	r.memory = memoryOf(c.cmd.Process.Pid)
	d.report.add(r)
	return errorOf(c.stop(), os.RemoveAll(filepath.Join(d.dir, "null")))
}

func errorOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// ours is our collector and the engine.
func (d *driver) ours(ctx context.Context) error {
	if err := d.migrated(ctx, "ours"); err != nil {
		return err
	}
	defer d.drop(ctx, "ours")
	c, at, err := d.startOurs("ours", d.dsn(d.engine.Addr(), "ours"))
	if err != nil {
		return err
	}
	r := run{name: "Tasktrail, log fsynced"}
	began, engine := time.Now(), cpuOf(d.engine.PID())
	g, err := d.generate(at.GRPC, "ours", d.forSeconds()...)
	if err != nil {
		return err
	}
	wait := d.profile(at, "ours")
	if err := g.read(&r.sent); err != nil {
		return err
	}
	wait()
	_ = g.stop()
	end, err := d.await(ctx, "ours.events", r.sent.Events, 5*time.Minute)
	if err != nil {
		return err
	}
	r.wall = end.Sub(began).Seconds()
	r.collector, r.engine = cpuOf(c.cmd.Process.Pid).Seconds(), (cpuOf(d.engine.PID()) - engine).Seconds()
	r.memory = memoryOf(c.cmd.Process.Pid)
	n, err := d.numbers(ctx, "SELECT count(), uniqExact(event_id), uniqExact(task_id) FROM ours.events")
	if err != nil {
		return err
	}
	r.lost, r.twice = int64(r.sent.Events)-int64(n[1]), int64(n[0])-int64(n[1])
	r.note = fmt.Sprintf("%d tasks", n[2])
	d.report.add(r)
	return errorOf(c.stop(), os.RemoveAll(filepath.Join(d.dir, "ours")))
}
