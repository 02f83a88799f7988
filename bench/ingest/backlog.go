package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// state is how far our collector's sink is.
type state struct {
	Lag     int64  `json:"lag_bytes"`
	Written uint64 `json:"written"`
}

func stateOf(at started) (s state, err error) {
	resp, err := http.Get("http://" + at.Debug + "/state")
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	return s, json.NewDecoder(resp.Body).Decode(&s)
}

// drained waits until the sink has what the log holds.
func (d *driver) drained(ctx context.Context, at started) error {
	for deadline := time.Now().Add(10 * time.Minute); time.Now().Before(deadline); {
		s, err := stateOf(at)
		if err != nil {
			return err
		}
		if s.Lag == 0 {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return fmt.Errorf("not drained in ten minutes")
}

// drain fills a log while ClickHouse is away, then lets it have the backlog.
func (d *driver) drain(ctx context.Context) error {
	if err := d.migrated(ctx, "ours"); err != nil {
		return err
	}
	d.front.mode.Store(frontRefuse)
	defer d.front.mode.Store(frontPass)
	c, at, err := d.startOurs("backlog", d.dsn(d.front.listener.Addr().String(), "ours"))
	if err != nil {
		return err
	}
	g, err := d.generate(at.GRPC, "backlog", "-seconds", "0", "-bytes", strconv.FormatInt(d.backlog, 10))
	if err != nil {
		return err
	}
	var s sent
	if err := g.read(&s); err != nil {
		return err
	}
	_ = g.stop()
	pid := c.cmd.Process.Pid
	filled, filling := memoryOf(pid), cpuOf(pid)
	d.front.mode.Store(frontSwallow)
	began := time.Now()
	if err := d.drained(ctx, at); err != nil {
		return err
	}
	took := time.Since(began).Seconds()
	st, err := stateOf(at)
	if err != nil {
		return err
	}
	d.report.backlog = fmt.Sprintf("%d MiB (%d events) accepted at %.0f durable events/s with ClickHouse away, %.2f µs of CPU an event, peak of memory %.0f MiB; "+
		"drained at %.0f events/s, %.2f µs of CPU an event, peak of memory %.0f MiB (%.0f MiB its own, the rest mapped files); %d of %d events written",
		s.Bytes>>20, s.Events, float64(s.Events)/s.Seconds, 1e6*filling.Seconds()/float64(s.Events), filled.peak,
		float64(s.Events)/took, 1e6*(cpuOf(pid)-filling).Seconds()/float64(s.Events), memoryOf(pid).peak, memoryOf(pid).own, st.Written, s.Events)
	return errorOf(c.stop(), os.RemoveAll(filepath.Join(d.dir, "backlog")))
}

// latency is how long an accepted event takes to be readable, under a load below
// what can be taken.
func (d *driver) latency(ctx context.Context) error {
	if err := d.migrated(ctx, "late"); err != nil {
		return err
	}
	defer d.drop(ctx, "late")
	c, at, err := d.startOurs("late", d.dsn(d.engine.Addr(), "late"))
	if err != nil {
		return err
	}
	rate := d.report.halfRate()
	g, err := d.generate(at.GRPC, "late", append(d.forSeconds(), "-rate", strconv.FormatFloat(rate, 'f', 0, 64))...)
	if err != nil {
		return err
	}
	conn, err := dial(at.GRPC)
	if err != nil {
		return err
	}
	defer conn.Close()
	sc := newScript("probe")
	acked := map[uint64]time.Time{} // by number of the event
	var late []float64
	seen := uint64(0)
	query := "SELECT count() FROM late.events WHERE namespace = 'default' AND startsWith(task_id, 'probe-')"
	end := time.Now().Add(time.Duration((d.seconds - 1) * float64(time.Second)))
	give := time.Now().Add(time.Minute)
	for next := time.Now(); time.Now().Before(end) || seen < sc.seq; {
		if time.Now().After(give) {
			return fmt.Errorf("%d of %d probes are readable", seen, sc.seq)
		}
		if now := time.Now(); now.Before(end) && !now.Before(next) {
			if _, _, err := export(conn, sc.request(1)); err != nil {
				return err
			}
			acked[sc.seq] = time.Now()
			next = time.Now().Add(25 * time.Millisecond)
		}
		n, err := d.numbers(ctx, query)
		if err != nil {
			return err
		}
		now := time.Now()
		for ; seen < n[0]; seen++ {
			late = append(late, float64(now.Sub(acked[seen+1]).Microseconds())/1000)
		}
	}
	var s sent
	if err := g.read(&s); err != nil {
		return err
	}
	_ = g.stop()
	slices.Sort(late)
	d.report.latency = fmt.Sprintf("accepted → readable under %.0f events/s: p50 %.0f ms, p99 %.0f ms, longest %.0f ms (%d probes)",
		float64(s.Events)/s.Seconds, late[len(late)/2], late[len(late)*99/100], late[len(late)-1], len(late))
	return errorOf(c.stop(), os.RemoveAll(filepath.Join(d.dir, "late")))
}
