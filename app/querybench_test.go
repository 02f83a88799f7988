package app_test

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/app"
	"github.com/tasktrail/tasktrail/app/uptest"
	"github.com/tasktrail/tasktrail/internal/proctest"
	"github.com/tasktrail/tasktrail/store"
	engine "github.com/tasktrail/tasktrail/store/embedded"
	"github.com/tasktrail/tasktrail/store/storetest"
	"github.com/tasktrail/tasktrail/timeline"
)

// filledUp is a Tasktrail whose engine holds many events: those of the directory
// TASKTRAIL_BENCH_DATA, which `make fill` filled, or BENCH_EVENTS (1 000 000) that
// are written first.
func filledUp(b *testing.B) (*uptest.Up, storetest.Filling) {
	flags := []string{"--api-rate", "1000000", "--log-level", "warn"}
	if data := os.Getenv("TASKTRAIL_BENCH_DATA"); data != "" {
		fill, found, err := storetest.ReadFilling(data)
		if err != nil || !found {
			b.Fatalf("TASKTRAIL_BENCH_DATA=%s: %v: make fill DATA=%s fills it", data, err, data)
		}
		// What is called so is taken for a setting of its own.
		b.Setenv("TASKTRAIL_BENCH_DATA", "")
		if err := os.Unsetenv("TASKTRAIL_BENCH_DATA"); err != nil {
			b.Fatal(err)
		}
		// The directory is left as it is but for the engine's own.
		dir := b.TempDir()
		if data, err = filepath.Abs(data); err != nil {
			b.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(data, "clickhouse"), filepath.Join(dir, "clickhouse")); err != nil {
			b.Fatal(err)
		}
		return uptest.StartOn(b, dir, flags...), fill
	}
	u := uptest.Start(b, flags...)
	creds, err := engine.LoadCredentials(filepath.Join(u.DataDir, "clickhouse"))
	if err != nil {
		b.Fatal(err)
	}
	s, err := store.Open(b.Context(), store.Config{DSN: fmt.Sprintf("http://%s:%s@%s/%s", creds.User, creds.Password, u.ClickHouse(), app.Database)})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	fill, _, err := storetest.Fill(b.Context(), s, storetest.Filling{Events: benchSize("BENCH_EVENTS", 1_000_000)})
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Rollup(b.Context(), fill.Now.AddDate(0, 0, -fill.Days-1)); err != nil {
		b.Fatal(err)
	}
	last := storetest.FilledTask(fill.Tasks() - 1)
	proctest.Eventually(b, time.Minute, "everything is readable", func() (bool, string) {
		_, err := u.Call("GET", "/tasks/"+last, "", nil)
		return err == nil, fmt.Sprint(err)
	})
	return u, fill
}

// BenchmarkQuery asks the API over HTTP, by one client and by four.
func BenchmarkQuery(b *testing.B) {
	u, fill := filledUp(b)
	requests := benchSize("BENCH_REQUESTS", 200)
	tasks, users := fill.Tasks(), fill.Users()
	any1 := func(i int) string { return storetest.FilledTask(i * 7919 % tasks) }
	of := func(name string, n int) func(int) string {
		return func(i int) string { return name + strconv.Itoa(i%n) }
	}
	queue, agent, provider := of("queue-", 7), of("worker-", 11), of("provider-", 4)
	user := func(i int) string { return "user-" + strconv.Itoa(i*7919%users) }
	kind := func(i int) string { return [...]string{"payment", "send_email", "report", "sync", "import"}[i%5] }
	print := func(i int) string { return "fp1:" + strconv.Itoa(i%40) }
	trace := func(i int) string {
		i = i * 7919 % tasks
		return timeline.TraceID{1, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i), 1}.String()
	}
	ago := func(d time.Duration) string { return url.QueryEscape(fill.Now.Add(-d).UTC().Format(time.RFC3339)) }
	day := "&created_from=" + ago(3*24*time.Hour) + "&created_to=" + ago(2*24*time.Hour)
	for _, c := range []struct {
		name    string
		clients []int
		target  func(i int) string
	}{
		{"Timeline", []int{1, 4}, func(i int) string { return "/tasks/" + any1(i) + "/timeline" }},
		{"Detail", []int{1, 4}, func(i int) string { return "/tasks/" + any1(i) }},
		{"Attempts", []int{1}, func(i int) string { return "/tasks/" + any1(i) + "/attempts" }},
		{"Health", []int{1, 4}, func(int) string { return "/tasks/monitoring/health" }},
		{"Health/uncached", []int{1, 4}, func(i int) string { return "/tasks/monitoring/health?window=" + strconv.Itoa(3600+i%300) + "s" }},
		{"Usual", []int{1}, func(i int) string { return "/task-types/" + kind(i) + "/usual" }},
		{"Tasks", []int{1, 4}, func(int) string { return "/tasks" }},
		{"Tasks/state=failed", []int{1, 4}, func(int) string { return "/tasks?state=failed" }},
		{"Tasks/state=completed", []int{1}, func(int) string { return "/tasks?state=completed" }},
		{"Tasks/state=retrying", []int{1}, func(int) string { return "/tasks?state=retrying" }},
		{"Tasks/state=cancelled", []int{1}, func(int) string { return "/tasks?state=cancelled" }},
		{"Tasks/active", []int{1}, func(int) string { return "/tasks?active=true" }},
		{"Tasks/type", []int{1}, func(i int) string { return "/tasks?type=" + kind(i) }},
		{"Tasks/type=none", []int{1}, func(int) string { return "/tasks?type=none" }},
		{"Tasks/queue", []int{1}, func(i int) string { return "/tasks?queue=" + queue(i) }},
		{"Tasks/agent", []int{1}, func(i int) string { return "/tasks?agent=" + agent(i) }},
		{"Tasks/provider", []int{1}, func(i int) string { return "/tasks?provider=" + provider(i) }},
		{"Tasks/runner=none", []int{1}, func(int) string { return "/tasks?runner=river" }},
		{"Tasks/user_id", []int{1, 4}, func(i int) string { return "/tasks?user_id=" + user(i) }},
		{"Tasks/payment_reference", []int{1}, func(int) string { return "/tasks?payment_reference=none" }},
		{"Tasks/severity", []int{1}, func(int) string { return "/tasks?severity=medium" }},
		{"Tasks/severity=critical", []int{1}, func(int) string { return "/tasks?severity=critical" }},
		{"Tasks/reason", []int{1}, func(int) string { return "/tasks?reason=exhausted" }},
		{"Tasks/reason=poison", []int{1}, func(int) string { return "/tasks?reason=poison" }},
		{"Tasks/fingerprint", []int{1}, func(i int) string { return "/tasks?fingerprint=" + print(i) }},
		{"Tasks/fingerprint+failed", []int{1}, func(i int) string { return "/tasks?state=failed&fingerprint=" + print(i) }},
		{"Tasks/trace_id", []int{1}, func(i int) string { return "/tasks?trace_id=" + trace(i) }},
		{"Tasks/text", []int{1}, func(i int) string { return "/tasks?text=service+" + strconv.Itoa(i%40) }},
		{"Tasks/error", []int{1}, func(i int) string { return "/tasks?error=service+" + strconv.Itoa(i%40) + "+is" }},
		{"Tasks/min_attempts", []int{1}, func(int) string { return "/tasks?min_attempts=2" }},
		{"Tasks/duration", []int{1}, func(int) string { return "/tasks?min_duration=100ms&max_duration=300ms" }},
		{"Tasks/created", []int{1}, func(int) string { return "/tasks?" + day[1:] }},
		{"Tasks/updated", []int{1}, func(int) string { return "/tasks?from=" + ago(time.Hour) }},
		{"Tasks/failed+queue", []int{1, 4}, func(i int) string { return "/tasks?state=failed&queue=" + queue(i) }},
		{"Tasks/failed+type+agent+provider", []int{1}, func(i int) string {
			return "/tasks?state=failed&type=" + kind(i) + "&agent=" + agent(i) + "&provider=" + provider(i)
		}},
		{"Tasks/user+failed", []int{1}, func(i int) string { return "/tasks?state=failed&user_id=" + user(i) }},
		{"Tasks/created+failed+type", []int{1}, func(i int) string { return "/tasks?state=failed&type=" + kind(i) + day }},
		{"FailedTasks", []int{1, 4}, func(int) string { return "/failed-tasks" }},
		{"FailedTasks/pending+type", []int{1, 4}, func(i int) string { return "/failed-tasks?status=pending&type=" + kind(i) }},
		{"FailedTasks/resolved", []int{1}, func(int) string { return "/failed-tasks?status=resolved" }},
		{"FailedTasks/discarded", []int{1}, func(int) string { return "/failed-tasks?status=discarded" }},
		{"FailedTasks/agent+queue", []int{1}, func(i int) string { return "/failed-tasks?agent=" + agent(i) + "&queue=" + queue(i) }},
		{"FailedTasks/user", []int{1}, func(i int) string { return "/failed-tasks?user_id=" + user(i) }},
		{"FailedTasks/fingerprint", []int{1}, func(i int) string { return "/failed-tasks?fingerprint=" + print(i) }},
		{"FailedTasks/min_duration", []int{1}, func(int) string { return "/failed-tasks?min_duration=150ms" }},
		{"FailedTasks/text", []int{1, 4}, func(i int) string { return "/failed-tasks?text=service+" + strconv.Itoa(i%40) + "+is" }},
		{"FailedTasks/text=none", []int{1}, func(int) string { return "/failed-tasks?text=nothing+says+this" }},
		{"Errors", []int{1}, func(int) string { return "/errors?from=" + ago(time.Hour) }},
	} {
		for _, clients := range c.clients {
			b.Run(fmt.Sprintf("%s/%d", c.name, clients), func(b *testing.B) {
				for i := range 3 {
					if _, err := u.Call("GET", c.target(i), "", nil); err != nil {
						b.Fatal(err)
					}
				}
				var mu sync.Mutex
				var took []time.Duration
				var wg sync.WaitGroup
				until := time.Now().Add(time.Duration(benchSize("BENCH_SECONDS", 10)) * time.Second)
				for client := range clients {
					wg.Go(func() {
						for i := 0; i < requests/clients && (time.Now().Before(until) || i == 0); i++ {
							began := time.Now()
							if _, err := u.Call("GET", c.target(client*1_003+i), "", nil); err != nil {
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
				reportLatency(b, took)
			})
		}
	}
}
