package app_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/app/uptest"
	"github.com/tasktrail/tasktrail/internal/proctest"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

func benchSize(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return otherwise
}

// send posts events as any OTLP exporter would. They have no source: what a source
// sends again is not written again.
func send(tb testing.TB, u *uptest.Up, events []timeline.Event) {
	for i := range events {
		events[i].SourceID, events[i].SourceSeq = "", 0
	}
	post(tb, u, events)
}

// post posts events as they are.
func post(tb testing.TB, u *uptest.Up, events []timeline.Event) {
	records := make([][]byte, len(events))
	for i := range events {
		records[i] = wire.AppendLogRecord(nil, &events[i])
	}
	body := wire.AppendExportRequest(nil, wire.Resource{ServiceName: "bench"}, records)
	for {
		req, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, u.Collector()+"/v1/logs", bytes.NewReader(body))
		if err != nil {
			tb.Error(err)
			return
		}
		req.Header.Set("Content-Type", "application/x-protobuf")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			tb.Error(err)
			return
		}
		answer, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable {
			continue // it pushes back: the same again
		}
		if resp.StatusCode != http.StatusOK || len(answer) > 2 {
			tb.Errorf("%s: %q", resp.Status, answer)
		}
		return
	}
}

// loadAverage is that of the machine, which every figure depends on.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	one, _, _ := strings.Cut(string(text), " ")
	return one
}

func reportLatency(b *testing.B, took []time.Duration) {
	if len(took) == 0 {
		b.Fatal("nothing was measured")
	}
	slices.Sort(took)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	if load, err := strconv.ParseFloat(loadAverage(), 64); err == nil {
		b.ReportMetric(load, "load")
	}
}

// BenchmarkStream has BENCH_CLIENTS (2 000) readers follow one task or
// one user each, while 5 000 events a second arrive for 10 s, and reports how long
// an event takes from its sending to its reader, and what the process needs.
func BenchmarkStream(b *testing.B) {
	clients, rate := benchSize("BENCH_CLIENTS", 2_000), benchSize("BENCH_RATE", 5_000)
	u := uptest.Start(b, "--api-rate", "1000000", "--log-level", "warn")
	transport := &http.Transport{MaxIdleConnsPerHost: -1}
	client := &http.Client{Transport: transport}
	ctx, stop := context.WithCancel(b.Context())
	var mu sync.Mutex
	var took []time.Duration
	var messages, open atomic.Int64
	var wg sync.WaitGroup
	gate := make(chan struct{}, 16)
	for i := range clients {
		topic := fmt.Sprintf("task:live-%d", i)
		if i%2 == 1 {
			topic = fmt.Sprintf("user_dashboard:live-%d", i)
		}
		wg.Go(func() {
			gate <- struct{}{}
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.API()+"/stream?topics="+url.QueryEscape(topic), nil)
			if err != nil {
				b.Error(err)
				return
			}
			req.Header.Set("Authorization", "Bearer "+u.Token)
			resp, err := client.Do(req)
			if err != nil || resp.StatusCode != http.StatusOK {
				<-gate
				b.Errorf("open a stream: %v %v", resp, err)
				return
			}
			defer resp.Body.Close()
			in := bufio.NewScanner(resp.Body)
			in.Buffer(make([]byte, 4<<10), 1<<20)
			began := false
			for in.Scan() {
				line := in.Bytes()
				if !began && bytes.HasPrefix(line, []byte("event: snapshot")) {
					began = true
					open.Add(1)
					<-gate
				}
				for {
					_, rest, found := bytes.Cut(line, []byte(`"occurred_at":"`))
					if !found {
						break
					}
					text, _, _ := bytes.Cut(rest, []byte(`"`))
					if at, err := time.Parse(time.RFC3339Nano, string(text)); err == nil {
						messages.Add(1)
						mu.Lock()
						took = append(took, time.Since(at))
						mu.Unlock()
					}
					line = rest
				}
			}
		})
	}
	proctest.Eventually(b, 2*time.Minute, "every reader follows", func() (bool, string) {
		return open.Load() == int64(clients), fmt.Sprint(open.Load(), " of ", clients)
	})
	idle, idleOwn := memory(u.Process.Pid())
	used := cpu(b, u.Process.Pid())
	const seconds, slice = 10, 50 * time.Millisecond
	perSlice, turn := rate*int(slice)/int(time.Second), 0
	var ids timeline.IDGenerator
	tick := time.NewTicker(slice)
	defer tick.Stop()
	began, sent := time.Now(), 0
	var peak, peakOwn int64
	for range seconds * int(time.Second/slice) {
		<-tick.C
		batch := make([]timeline.Event, perSlice)
		for i := range batch {
			// Each followed task or user gets about one event a second; the rest are of
			// tasks that nobody follows.
			name := fmt.Sprintf("quiet-%d", turn)
			if n := turn % rate; n < clients {
				name = fmt.Sprintf("live-%d", n)
			}
			now := time.Now()
			batch[i] = timeline.Event{ID: ids.Next(now), Type: timeline.TaskCreated, Severity: timeline.SeverityInfo, Run: 1, OccurredAt: now,
				Task: timeline.Task{Namespace: "default", ID: name, Type: "payment", Queue: "q", UserID: name}}
			turn++
		}
		send(b, u, batch)
		sent += len(batch)
		resident, own := memory(u.Process.Pid())
		peak, peakOwn = max(peak, resident), max(peakOwn, own)
	}
	lasted := time.Since(began)
	b.ReportMetric((cpu(b, u.Process.Pid())-used).Seconds()/lasted.Seconds(), "cores")
	proctest.Eventually(b, 30*time.Second, "the last updates arrive", func() (bool, string) {
		return messages.Load() >= int64(clients*(seconds-1)), fmt.Sprint(messages.Load())
	})
	stop()
	wg.Wait()
	transport.CloseIdleConnections()
	mu.Lock()
	defer mu.Unlock()
	reportLatency(b, took)
	b.ReportMetric(float64(sent)/lasted.Seconds(), "events/s")
	b.ReportMetric(float64(len(took))/lasted.Seconds(), "messages/s")
	b.ReportMetric(float64(idle)/(1<<20), "idle-MB")
	b.ReportMetric(float64(idleOwn)/(1<<20), "idle-own-MB")
	b.ReportMetric(float64(peak)/(1<<20), "peak-MB")
	b.ReportMetric(float64(peakOwn)/(1<<20), "peak-own-MB")
}

// memory is the memory of a process, in bytes: what is resident, and what of that is
// its own and no file's (the log is mapped into memory); 0 where not to be had.
func memory(pid int) (resident, own int64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		n, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "VmRSS:":
			resident = n << 10
		case "RssAnon:":
			own = n << 10
		}
	}
	return resident, own
}

// cpu is the processors' time that a process has taken.
func cpu(b *testing.B, pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	var sum time.Duration
	for _, ticks := range fields[11:13] {
		n, _ := strconv.Atoi(ticks)
		sum += time.Duration(n) * 10 * time.Millisecond
	}
	return sum
}
