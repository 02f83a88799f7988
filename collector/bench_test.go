package collector

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// BenchmarkAccept is the way of a request from check to acknowledgement, fsync
// included: 512 records of about 300 bytes, from as many senders as there are in
// parallel.
func BenchmarkAccept(b *testing.B) {
	cfg := testConfig(b.TempDir())
	cfg.GRPCAddr, cfg.HTTPAddr = noAddr, noAddr
	cfg.LogMaxBytes, cfg.LogSegmentBytes = 2<<30, 64<<20
	c := start(b, cfg, Deps{})
	// More different ones than the door remembers: none is a repeat.
	bodies := make([][]byte, 8*doorMost/512)
	for n := range bodies {
		events := make([]timeline.Event, 512)
		for i := range events {
			events[i] = event(fmt.Sprint("task-", i), 1, 1, uint64(n*len(events)+i+1), timeline.AttemptStarted)
			events[i].Queue, events[i].Runner, events[i].Agent, events[i].Provider, events[i].UserID = "default", "asynq", "worker-1", "bank", "user-42"
		}
		bodies[n] = request(events...)
	}
	body := bodies[0]
	var turn atomic.Uint64
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	b.SetParallelism(8)
	before := cpuTime(b)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := c.Accept(b.Context(), wire.Envelope{Namespace: "a"}, bodies[turn.Add(1)%uint64(len(bodies))]); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)*512/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N*512), "cpu-ns/record")
	b.ReportMetric(float64(len(body))/512, "bytes/record")
	if n := c.Ledger().Accepted; n != uint64(b.N)*512 {
		b.Errorf("%d records are in the log, want %d", n, b.N*512)
	}
}

// cpuTime is what the process has used of all processors, the followers' share
// and the kernel's included.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkWatch is what following the log for outcomes and lost tasks costs:
// frames of 100 lives of five events each.
func BenchmarkWatch(b *testing.B) {
	c, err := New(Config{Dir: b.TempDir()}, Deps{})
	if err != nil {
		b.Fatal(err)
	}
	var events []timeline.Event
	for i := range 100 {
		id := fmt.Sprint("task-", i)
		for seq, typ := range []timeline.Type{timeline.TaskCreated, timeline.TaskStarted, timeline.AttemptStarted, timeline.AttemptSuccess, timeline.TaskCompleted} {
			events = append(events, event(id, 1, min(seq, 1), uint64(seq+1), typ))
		}
	}
	frame := wire.AppendFrame(nil, wire.Envelope{Namespace: "a", IngestedAt: events[0].OccurredAt}, request(events...))
	var rec wire.Record
	b.ReportAllocs()
	for b.Loop() {
		if err := wire.ScanFrame(frame, &rec, func(r *wire.Record) error {
			c.watch.outcome(r)
			c.watch.observe(r)
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*500/b.Elapsed().Seconds(), "records/s")
	if len(c.watch.runs) != 0 {
		b.Errorf("%d runs are left", len(c.watch.runs))
	}
}
