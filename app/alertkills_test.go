package app_test

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/alerting/channel/channeltest"
	"github.com/tasktrail/tasktrail/internal/proctest"
	"github.com/tasktrail/tasktrail/live/livetest"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// alertRounds is how often a collector is killed: go test ./app -run AlertKills
// -alert-rounds 200.
var alertRounds = flag.Int("alert-rounds", 6, "how often a collector that alerts is killed at random")

// alertingCollectors are processes of the product that share a Redis and call one
// webhook. Their ClickHouse is away: calls wait for none.
type alertingCollectors struct {
	t     *testing.T
	token string
	env   []string
	bin   string
	dirs  []string
	grpc  []string
	http  []string
	procs []*proctest.Process
}

func startAlertingCollectors(t *testing.T, redisURL, hook string, n int) *alertingCollectors {
	t.Helper()
	c := &alertingCollectors{t: t, token: "admin-token-of-a-test", bin: proctest.Build(t, "./cmd/tasktrail"), procs: make([]*proctest.Process, n)}
	addrs := proctest.FreeAddrs(t, 2*n+1)
	c.env = []string{
		"TASKTRAIL_CLICKHOUSE_DSN=http://nobody:x@" + addrs[2*n] + "/away", "TASKTRAIL_REDIS_URL=" + redisURL, "TASKTRAIL_ADMIN_TOKEN=" + c.token,
		"TASKTRAIL_COMMAND_KEY=0123456789abcdef0123456789abcdef", "TASKTRAIL_WEBHOOK_URL=" + hook,
		"TASKTRAIL_WEBHOOK_SECRET=" + channeltest.SecretA, "TASKTRAIL_WEBHOOK_ALLOW_PRIVATE=true",
	}
	for i := range n {
		c.dirs, c.grpc, c.http = append(c.dirs, t.TempDir()), append(c.grpc, addrs[2*i]), append(c.http, addrs[2*i+1])
		c.start(i)
	}
	return c
}

func (c *alertingCollectors) start(i int) {
	c.t.Helper()
	c.procs[i] = proctest.Start(c.t, c.env, c.bin, "collector", "--data-dir", c.dirs[i], "--otlp-grpc-addr", c.grpc[i], "--otlp-http-addr", c.http[i])
}

// post sends a request to one collector; it reports whether it was acknowledged
// as a whole.
func (c *alertingCollectors) post(client *http.Client, i int, body []byte) bool {
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, "http://"+c.http[i]+"/v1/logs", bytes.NewReader(body))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := client.Do(req)
	if err != nil {
		select { // killed: the next one listens soon
		case <-time.After(10 * time.Millisecond):
		case <-c.t.Context().Done():
		}
		return false
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return err == nil && resp.StatusCode == http.StatusOK && len(answer) == 0
}

// failingTasks is the load: tasks of which every second is exhausted, the others
// complete; each request goes to one collector after the other until one takes it.
type failingTasks struct {
	c       *alertingCollectors
	stop    chan struct{}
	running sync.WaitGroup
	acked   atomic.Int64

	mu        sync.Mutex
	exhausted map[string]bool
}

func (c *alertingCollectors) load(workers int) *failingTasks {
	l := &failingTasks{c: c, stop: make(chan struct{}), exhausted: map[string]bool{}}
	for w := range workers {
		l.running.Go(func() { l.work(w) })
	}
	return l
}

func (l *failingTasks) work(w int) {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for n := 0; ; n++ {
		select {
		case <-l.stop:
			return
		case <-pace.C:
		}
		var records [][]byte
		var dead []string
		for i := range 4 {
			e := failed(fmt.Sprintf("w%d-%d-%d", w, n, i))
			if i%2 == 0 {
				dead = append(dead, e.Task.ID)
			} else {
				e.Type, e.Reason, e.DeadLetter, e.Severity = timeline.TaskCompleted, "", nil, timeline.TaskCompleted.Severity()
				e.ID = timeline.DerivedEventID("default", e.Task.ID, 1, 0, e.Type)
			}
			records = append(records, wire.AppendLogRecord(nil, &e))
		}
		body := wire.AppendExportRequest(nil, wire.Resource{ServiceName: "test"}, records)
		for at := w + n; !l.c.post(client, at%len(l.c.http), body); at++ {
			if l.c.t.Context().Err() != nil {
				return
			}
		}
		l.mu.Lock()
		for _, id := range dead {
			l.exhausted[id] = true
		}
		l.mu.Unlock()
		l.acked.Add(1)
	}
}

func (l *failingTasks) await(requests int64) {
	l.c.t.Helper()
	proctest.Eventually(l.c.t, time.Minute, fmt.Sprint(requests, " requests are acknowledged"), func() (bool, string) {
		n := l.acked.Load()
		return n >= requests, fmt.Sprint(n)
	})
}

// Collectors that alert are killed at random under load. Every exhausted task has
// one alert at the receiver, under the one id that is its own, whichever collector
// called and however often; no other task has any.
func TestAlertKillsAtRandomLoseNoCallAndMakeNoSecondAlert(t *testing.T) {
	for _, n := range []int{1, 2} {
		t.Run(fmt.Sprint(n, " collectors"), func(t *testing.T) {
			hook := channeltest.New(t, channeltest.SecretA)
			redis := livetest.Start(t)
			c := startAlertingCollectors(t, redis.URL(), hook.URL, n)
			l := c.load(4)
			l.await(20)
			for range max(*alertRounds/2, 1) {
				l.await(l.acked.Load() + 1 + rand.Int64N(40))
				i := rand.IntN(n)
				c.procs[i].Kill()
				c.start(i)
			}
			l.await(l.acked.Load() + 20)
			close(l.stop)
			l.running.Wait()
			ids, calls := map[string]map[timeline.ID]bool{}, 0
			gather := func() {
				clear(ids)
				calls = 0
				for _, al := range hook.Alerts() {
					calls++
					if ids[al.TaskID] == nil {
						ids[al.TaskID] = map[timeline.ID]bool{}
					}
					ids[al.TaskID][al.ID] = true
				}
			}
			proctest.Eventually(t, time.Minute, "a call for each exhausted task", func() (bool, string) {
				gather()
				return len(ids) >= len(l.exhausted), fmt.Sprintf("%d of %d", len(ids), len(l.exhausted))
			})
			for task, own := range ids {
				if !l.exhausted[task] {
					t.Errorf("a call for task %s, which is not exhausted", task)
				}
				if len(own) != 1 || !own[timeline.TaskAlertID("default", task)] {
					t.Errorf("task %s has %d alert ids: %v", task, len(own), own)
				}
			}
			hook.Check(t)
			t.Logf("%d exhausted tasks, %d calls", len(l.exhausted), calls)
		})
	}
}
