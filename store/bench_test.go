package store_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// BenchmarkWrite inserts prebuilt frames of 512 events, 50 000 to a batch, over
// two connections, and reports events a second.
func BenchmarkWrite(b *testing.B) {
	s := open(b)
	script := lives(b)["retry_then_success"]
	const perFrame, perBatch = 512, 50_000
	build := func(batch int) [][]byte {
		var frames [][]byte
		var events []timeline.Event
		for i := 0; len(frames)*perFrame < perBatch; i++ {
			events = append(events, live(b, timeline.Task{
				Namespace: "default", ID: fmt.Sprintf("task-%d-%d", batch, i), Type: "payment", Queue: "critical", Runner: "asynq",
				Agent: "worker-1", Provider: "bank", UserID: "user-" + strconv.Itoa(i%1000), Amount: "12.50", Currency: "EUR",
			}, script)...)
			for len(events) >= perFrame {
				frames = append(frames, frame(events[:perFrame]...))
				events = events[perFrame:]
			}
		}
		return frames
	}
	const prebuilt = 4
	var batches [prebuilt][][]byte
	for i := range batches {
		batches[i] = build(i)
	}
	rows := len(batches[0]) * perFrame
	var next, total atomic.Int64
	b.ResetTimer()
	began, used := time.Now(), engineCPU(b)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				n := next.Add(1)
				if n > int64(b.N) {
					return
				}
				if err := s.WriteFrames(context.Background(), fmt.Sprint("bench-", b.N, "-", n), batches[int(n)%prebuilt]); err != nil {
					b.Error(err)
					return
				}
				total.Add(int64(rows))
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(total.Load())/time.Since(began).Seconds(), "events/s")
	b.ReportMetric((engineCPU(b)-used).Seconds()/float64(total.Load())*1e6, "engine-s/Mevents")
	b.ReportMetric(0, "ns/op")
}

// engineCPU is the processors' time that this process's children have taken: the
// engine's, merges and all.
func engineCPU(b *testing.B) (sum time.Duration) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // it ended
		}
		fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
		if fields[1] != strconv.Itoa(os.Getpid()) {
			continue
		}
		for _, ticks := range fields[11:13] {
			n, err := strconv.Atoi(ticks)
			if err != nil {
				b.Fatal(err)
			}
			sum += time.Duration(n) * 10 * time.Millisecond
		}
	}
	return sum
}

// BenchmarkRead fills TASKTRAIL_BENCH_TASKS tasks (10 000 by default) of eight
// events and reports the latencies of reads by one client.
func BenchmarkRead(b *testing.B) {
	s := open(b)
	tasks := 10_000
	if v := os.Getenv("TASKTRAIL_BENCH_TASKS"); v != "" {
		tasks, _ = strconv.Atoi(v)
	}
	script := lives(b)["retry_then_success"]
	var events []timeline.Event
	for i := range tasks {
		events = append(events, live(b, timeline.Task{
			Namespace: "default", ID: fmt.Sprintf("task-%d", i), Type: "payment", Queue: "q" + strconv.Itoa(i%7), Runner: "asynq",
			Agent: "worker-1", Provider: "bank", UserID: "user-" + strconv.Itoa(i%1000), Amount: "12.50", Currency: "EUR",
		}, script)...)
		if len(events) >= 50_000 {
			write(b, s, events...)
			events = events[:0]
		}
	}
	if len(events) > 0 {
		write(b, s, events...)
	}
	for name, read := range map[string]func(i int) error{
		"Timeline": func(i int) error {
			_, err := s.Timeline(b.Context(), everything, fmt.Sprintf("task-%d", i*7919%tasks))
			return err
		},
		"Health": func(int) error { _, err := s.Health(b.Context(), everything, time.Hour); return err },
		"Tasks": func(int) error {
			_, err := s.Tasks(b.Context(), everything, readmodel.TaskFilter{Queues: []string{"q3"}}, readmodel.Page{Limit: 50})
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			var took []time.Duration
			for i := range b.N {
				began := time.Now()
				if err := read(i); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}
