package sidecar

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/breaker"
	"github.com/tasktrail/tasktrail/timeline"
)

// rss is the memory of this process as the system counts it, in MiB; 0 where that
// is not to be had.
func rss() float64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
			kib, err := strconv.Atoi(f[1])
			if err != nil {
				return 0
			}
			return float64(kib) / 1024
		}
	}
	return 0
}

func heapMiB() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}

// BenchmarkWaiting holds 100 000 tasks: first accepted and not begun, then each
// between two attempts, with the agent's journal of it. An iteration is all of
// them.
func BenchmarkWaiting(b *testing.B) {
	const tasks = 100_000
	down := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "600")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer down.Close()
	for b.Loop() {
		s, err := New(Config{
			Addr: "127.0.0.1:0", DataDir: b.TempDir(), CallbackAllow: loopback, Logger: slog.New(slog.DiscardHandler),
			Agent: agent.Config{CollectorURL: "http://127.0.0.1:1", Breaker: breaker.Config{Disabled: true}},
		})
		if err != nil {
			b.Fatal(err)
		}
		before := heapMiB()
		began := time.Now()
		var posters sync.WaitGroup
		for p := range 100 {
			posters.Go(func() {
				for i := range tasks / 100 {
					id := fmt.Sprintf("order-%d-%07d", p, i)
					sp := &spec{
						Type: "payment", Queue: "money", Provider: "bank", CallbackURL: down.URL, CreatedAt: time.Now(),
						Input: timeline.Payload(`{"order":17,"note":"` + strings.Repeat("x", 400) + `"}`), MaxAttempts: 5,
					}
					if _, err := s.queue.accept(b.Context(), id, sp); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		posters.Wait()
		b.ReportMetric(float64(tasks)/time.Since(began).Seconds(), "accepted/s")
		b.ReportMetric(heapMiB()-before, "heap-MiB/waiting")
		b.ReportMetric(rss(), "rss-MiB/waiting")
		s.queue.mu.Lock()
		waiting := make([]string, 0, tasks)
		for id := range s.queue.tasks {
			waiting = append(waiting, id)
		}
		s.queue.mu.Unlock()
		began = time.Now()
		if err := s.Start(b.Context()); err != nil {
			b.Fatal(err)
		}
		for _, id := range waiting {
			s.queue.ready(id)
		}
		tick := time.NewTicker(50 * time.Millisecond)
		for retrying := 0; retrying < tasks; <-tick.C {
			retrying = 0
			s.queue.mu.Lock()
			for _, e := range s.queue.tasks {
				if e.state == stateRetrying {
					retrying++
				}
			}
			s.queue.mu.Unlock()
		}
		tick.Stop()
		b.ReportMetric(float64(tasks)/time.Since(began).Seconds(), "attempts/s")
		b.ReportMetric(heapMiB()-before, "heap-MiB/retrying")
		b.ReportMetric(rss(), "rss-MiB/retrying")
		b.ReportMetric(float64(runtime.NumGoroutine()), "goroutines")
		b.ReportMetric(float64(s.queue.log.Stats().DiskBytes)/(1<<20), "queue-MiB")
		if err := s.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
