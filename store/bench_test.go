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

	"github.com/tasktrail/tasktrail/store"
	"github.com/tasktrail/tasktrail/store/embedded"
	"github.com/tasktrail/tasktrail/store/storetest"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// BenchmarkWrite inserts prebuilt frames of 512 events, 50 000 to a batch, over
// two connections, and reports events a second. TASKTRAIL_BENCH_SQL is statements,
// with ; between them, that change the schema before, to see what a part of it
// costs: DROP VIEW task_times_mv.
func BenchmarkWrite(b *testing.B) {
	s := open(b)
	for sql := range strings.SplitSeq(os.Getenv("TASKTRAIL_BENCH_SQL"), ";") {
		if sql = strings.TrimSpace(sql); sql != "" {
			if err := s.Change(b.Context(), sql); err != nil {
				b.Fatal(err)
			}
		}
	}
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

// BenchmarkRead fills TASKTRAIL_BENCH_EVENTS events (100 000 by default) and
// reports the latencies of reads by one client and by four. With
// TASKTRAIL_BENCH_DATA it reads in a directory that `make fill` filled.
func BenchmarkRead(b *testing.B) {
	fill := storetest.Filling{Events: 100_000}
	if v := os.Getenv("TASKTRAIL_BENCH_EVENTS"); v != "" {
		fill.Events, _ = strconv.Atoi(v)
	}
	s, fill := openFilled(b, fill)
	tasks := fill.Tasks()
	page := readmodel.Page{Limit: 50}
	list := func(f readmodel.TaskFilter) func(int) error {
		return func(int) error { _, err := s.Tasks(b.Context(), everything, f, page); return err }
	}
	letters := func(f readmodel.DeadLetterFilter) func(int) error {
		return func(int) error { _, err := s.DeadLetters(b.Context(), everything, f, page); return err }
	}
	history := func(scope readmodel.Scope, window, step time.Duration) func(int) error {
		return func(int) error {
			to := time.Now().Truncate(time.Minute)
			_, err := s.History(b.Context(), scope, readmodel.HistoryQuery{From: readmodel.HistoryStep(to.Add(-window), step), To: to, Step: step})
			return err
		}
	}
	hour := readmodel.Range{From: time.Now().Add(-time.Hour)}
	for _, c := range []struct {
		name string
		read func(i int) error
	}{
		{"Timeline", func(i int) error {
			_, err := s.Timeline(b.Context(), everything, storetest.FilledTask(i*7919%tasks))
			return err
		}},
		{"Health", func(int) error { _, err := s.Health(b.Context(), everything, time.Hour); return err }},
		{"History/hour", history(everything, time.Hour, time.Minute)},
		{"History/week", history(everything, 7*24*time.Hour, 2*time.Hour)},
		{"History/user", history(readmodel.Scope{UserID: "user-7"}, time.Hour, time.Minute)},
		{"Tasks/all", list(readmodel.TaskFilter{})},
		{"Tasks/queue", list(readmodel.TaskFilter{Queues: []string{"queue-3"}})},
		{"Tasks/failed", list(readmodel.TaskFilter{States: []timeline.State{timeline.StateFailed}})},
		{"Tasks/user", func(i int) error {
			_, err := s.Tasks(b.Context(), everything, readmodel.TaskFilter{UserID: "user-" + strconv.Itoa(i*7919%fill.Users())}, page)
			return err
		}},
		{"Tasks/fingerprint", list(readmodel.TaskFilter{Fingerprints: []string{"fp1:7"}, States: []timeline.State{timeline.StateFailed}})},
		{"Tasks/active", list(readmodel.TaskFilter{Active: true})},
		{"DeadLetters/all", letters(readmodel.DeadLetterFilter{})},
		{"DeadLetters/pending", letters(readmodel.DeadLetterFilter{Statuses: []timeline.DeadLetterStatus{timeline.DeadLetterPending}})},
		{"DeadLetters/text", letters(readmodel.DeadLetterFilter{Text: "SERVICE 31 IS"})},
		{"DeadLetters/textNowhere", letters(readmodel.DeadLetterFilter{Text: "no such text"})},
		{"Errors/hour", func(int) error {
			_, err := s.Errors(b.Context(), everything, readmodel.ErrorFilter{Seen: hour}, page)
			return err
		}},
	} {
		for _, clients := range []int{1, 4} {
			b.Run(fmt.Sprintf("%s/%d", c.name, clients), func(b *testing.B) {
				var mu sync.Mutex
				var took []time.Duration
				var next atomic.Int64
				var wg sync.WaitGroup
				for range clients {
					wg.Go(func() {
						for {
							i := int(next.Add(1))
							if i > b.N {
								return
							}
							began := time.Now()
							if err := c.read(i); err != nil {
								b.Error(err)
								return
							}
							mu.Lock()
							took = append(took, time.Since(began))
							mu.Unlock()
						}
					})
				}
				wg.Wait()
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// openFilled returns a store on a database that holds the filling, which it
// returns as it is.
func openFilled(b *testing.B, fill storetest.Filling) (*store.Store, storetest.Filling) {
	data := os.Getenv("TASKTRAIL_BENCH_DATA")
	if data == "" {
		s := open(b)
		filled(b, s, fill)
		return s, fill
	}
	fill, found, err := storetest.ReadFilling(data)
	if err != nil || !found {
		b.Fatalf("TASKTRAIL_BENCH_DATA=%s: %v: make fill DATA=%s fills it", data, err, data)
	}
	p, err := embedded.Start(b.Context(), storetest.Config(filepath.Join(data, "clickhouse")))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = p.Stop() })
	s, err := store.Open(b.Context(), store.Config{DSN: p.DSN(), ReaderDSN: p.ReaderDSN()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	b.Logf("%d tasks, the last of them %v ago", fill.Tasks(), time.Since(fill.Now).Round(time.Second))
	return s, fill
}

func filled(b *testing.B, s *store.Store, fill storetest.Filling) {
	began := time.Now()
	_, n, err := storetest.Fill(b.Context(), s, fill)
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Rollup(b.Context(), time.Now().Add(-2*time.Hour)); err != nil {
		b.Fatal(err)
	}
	rolling := time.Now()
	if err := s.RollupMinutes(b.Context(), time.Now().AddDate(0, 0, -8)); err != nil {
		b.Fatal(err)
	}
	b.Logf("a week rolled up by the minute in %v", time.Since(rolling).Round(time.Millisecond))
	b.Logf("%d events written in %v", n, time.Since(began).Round(time.Second))
}
