package app_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/collector"
	"github.com/tasktrail/tasktrail/internal/proctest"
	"github.com/tasktrail/tasktrail/store"
	"github.com/tasktrail/tasktrail/store/embedded"
	"github.com/tasktrail/tasktrail/store/storetest"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// rounds is how often something is killed: go test ./app -run Kills -rounds 500.
var rounds = flag.Int("rounds", 20, "how often collector and engine are killed at random")

// collectorEnv makes the test's binary a collector until it is killed.
const collectorEnv = "APP_TEST_COLLECTOR"

type collectorArgs struct{ Dir, Addr, DSN string }

type anyToken struct{}

func (anyToken) Authenticate(context.Context, string) (collector.Principal, error) {
	return collector.Principal{Scopes: []string{collector.ScopeIngest}}, nil
}

// collectorMain runs a collector over ClickHouse and ends with its input.
func collectorMain() {
	var args collectorArgs
	ctx := context.Background()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	err := json.Unmarshal([]byte(os.Getenv(collectorEnv)), &args)
	var s *store.Store
	if err == nil {
		s, err = store.Open(ctx, store.Config{DSN: args.DSN, WriteTimeout: 20 * time.Second, Logger: log})
	}
	var c *collector.Collector
	if err == nil {
		c, err = collector.New(collector.Config{GRPCAddr: "-", HTTPAddr: args.Addr, Dir: args.Dir, LogMaxBytes: 256 << 20, LogSegmentBytes: 1 << 20, Logger: log},
			collector.Deps{Auth: anyToken{}, Sinks: []collector.SinkSpec{{
				Sink: s, Linger: 5 * time.Millisecond, MaxBatchFrames: 32, MinBackoff: 5 * time.Millisecond, MaxBackoff: 200 * time.Millisecond, Tombstones: true,
			}}})
	}
	if err == nil {
		err = c.Start(ctx)
	}
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0) // as abruptly as a kill
}

// pair is a collector and an engine as processes, with a front between them.
type pair struct {
	t      *testing.T
	engine *embedded.Process
	front  *badFront
	args   collectorArgs

	cmd   *exec.Cmd
	stdin io.WriteCloser
	store *store.Store
}

func startPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{t: t}
	var err error
	if p.engine, err = embedded.Start(t.Context(), storetest.Config(t.TempDir())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.engine.Stop(); err != nil {
			t.Error(err)
		}
	})
	if p.store, err = store.Open(t.Context(), store.Config{DSN: p.engine.DSN(), ReaderDSN: p.engine.ReaderDSN(), Logger: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.store.Close() })
	if err := p.store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.front = newBadFront(t, p.engine.Addr())
	p.args = collectorArgs{Dir: t.TempDir(), Addr: proctest.FreeAddrs(t, 1)[0], DSN: strings.Replace(p.engine.DSN(), p.engine.Addr(), p.front.addr, 1)}
	p.startCollector()
	t.Cleanup(func() { p.killCollector() })
	return p
}

func (p *pair) startCollector() {
	p.t.Helper()
	env, err := json.Marshal(p.args)
	if err != nil {
		p.t.Fatal(err)
	}
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), collectorEnv+"="+string(env))
	p.cmd.Stderr = os.Stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		p.t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		p.t.Fatalf("collector: %q %v", line, err)
	}
}

func (p *pair) killCollector() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // killed is how it should end
	_ = p.stdin.Close()
}

// senders send lives until they are told to stop, each request again and again
// until it is acknowledged, as an agent does.
type senders struct {
	p       *pair
	client  *http.Client
	stop    chan struct{}
	running sync.WaitGroup
	acked   atomic.Int64 // requests
	limit   atomic.Int64 // of them, until more are waited for: a killed engine is behind

	mu     sync.Mutex
	events map[string]bool
	tasks  int
}

const livesInRequest = 5

func (p *pair) send(workers int) *senders {
	s := &senders{p: p, client: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{}}, stop: make(chan struct{}), events: map[string]bool{}}
	for w := range workers {
		s.running.Go(func() { s.work(fmt.Sprint("w", w)) })
	}
	return s
}

func (s *senders) work(name string) {
	var ids timeline.IDGenerator
	seq := uint64(0)
	for n := 0; ; n++ {
		for enough := true; enough; enough = s.acked.Load() >= s.limit.Load() {
			wait := time.Duration(0)
			if s.acked.Load() >= s.limit.Load() {
				wait = 2 * time.Millisecond
			}
			select {
			case <-s.stop:
				return
			case <-time.After(wait):
			}
		}
		var records [][]byte
		var sent []string
		for i := range livesInRequest {
			id := fmt.Sprintf("%s-%d-%d", name, n, i)
			for at, typ := range []timeline.Type{timeline.TaskCreated, timeline.TaskStarted, timeline.AttemptStarted, timeline.AttemptSuccess, timeline.TaskCompleted} {
				seq++
				now := time.Now()
				e := timeline.Event{
					ID: ids.Next(now), SourceID: name, SourceSeq: seq, Type: typ, Severity: typ.Severity(),
					Task: timeline.Task{Namespace: "default", ID: id, Type: "mail", Queue: "q"}, Run: 1, Seq: uint64(at + 1), OccurredAt: now.UTC(),
				}
				if typ == timeline.AttemptStarted || typ == timeline.AttemptSuccess {
					e.Attempt = 1
				}
				records = append(records, wire.AppendLogRecord(nil, &e))
				sent = append(sent, e.ID.String())
			}
		}
		body := wire.AppendExportRequest(nil, wire.Resource{ServiceName: "test"}, records)
		for !s.post(body) {
		}
		s.mu.Lock()
		for _, id := range sent {
			s.events[id] = true
		}
		s.tasks += livesInRequest
		s.mu.Unlock()
		s.acked.Add(1)
	}
}

func (s *senders) post(body []byte) bool {
	req, err := http.NewRequest(http.MethodPost, "http://"+s.p.args.Addr+"/v1/logs", bytes.NewReader(body))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Authorization", "Bearer x")
	resp, err := s.client.Do(req)
	if err != nil {
		select { // killed: the next one listens soon
		case <-time.After(10 * time.Millisecond):
		case <-s.p.t.Context().Done():
		}
		return false
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	return resp.StatusCode == http.StatusOK && len(answer) == 0
}

func (s *senders) await(requests int64) {
	s.p.t.Helper()
	s.limit.Store(requests + 8)
	proctest.Eventually(s.p.t, time.Minute, fmt.Sprint(requests, " requests are acknowledged"), func() (bool, string) {
		n := s.acked.Load()
		return n >= requests, fmt.Sprint(n)
	})
}

func (s *senders) end() {
	close(s.stop)
	s.running.Wait()
	s.client.CloseIdleConnections()
}

// check compares what is stored and what follows from it with what was sent.
func (s *senders) check() {
	t := s.p.t
	t.Helper()
	var stored []string
	proctest.Eventually(t, time.Minute, "everything is stored", func() (bool, string) {
		var err error
		stored, err = s.p.column("SELECT event_id FROM events")
		return err == nil && len(stored) >= len(s.events), fmt.Sprintf("%d of %d, %v", len(stored), len(s.events), err)
	})
	times := map[string]int{}
	for _, id := range stored {
		times[id]++
		if !s.events[id] {
			t.Errorf("event %s is stored and was not sent", id)
		}
	}
	for id := range s.events {
		if times[id] != 1 {
			t.Errorf("event %s is stored %d times", id, times[id])
		}
	}
	// The tables of one insert are filled one after the other.
	want := int64(s.tasks)
	proctest.Eventually(t, time.Minute, fmt.Sprintf("%d tasks, runs and executions in the health", want), func() (bool, string) {
		h, err := s.p.store.Health(t.Context(), readmodel.Scope{Namespace: "default"}, time.Hour)
		if err != nil {
			return false, err.Error()
		}
		return h.Completed == want && h.Tasks[timeline.StateCompleted] == want && h.Execution.Count == want,
			fmt.Sprintf("completed %d, in state completed %d, executions %d", h.Completed, h.Tasks[timeline.StateCompleted], h.Execution.Count)
	})
	t.Logf("%d events of %d tasks, each stored once", len(s.events), s.tasks)
}

func (p *pair) column(query string) ([]string, error) {
	c := p.engine.Credentials()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, "http://"+p.engine.Addr()+"/", strings.NewReader(query+" FORMAT TSV"))
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
	return strings.Fields(string(b)), err
}

// Collector and engine are killed at random under load, and now and then an answer
// of ClickHouse is lost after the commit. Every event is there, once, and so is
// what is counted from them.
func TestKillsAtRandomLoseNothingAndRepeatNothing(t *testing.T) {
	p := startPair(t)
	p.front.loseOneIn(5)
	s := p.send(4)
	killed := map[string]int{}
	for range *rounds {
		s.await(s.acked.Load() + 5 + rand.Int64N(60))
		what := []string{"collector", "engine", "both"}[rand.IntN(3)]
		if what != "collector" {
			proctest.Eventually(t, time.Minute, "an engine to be killed", func() (bool, string) {
				pid := p.engine.PID()
				return pid > 0 && syscall.Kill(pid, syscall.SIGKILL) == nil, fmt.Sprint(pid)
			})
		}
		if what != "engine" {
			p.killCollector()
			p.startCollector()
		}
		killed[what]++
	}
	s.await(s.acked.Load() + 5)
	s.end()
	s.check()
	t.Logf("killed: %v; %d answers were lost, the engine was started again %d times", killed, p.front.lost.Load(), p.engine.Restarts())
}

// Every second answer to an insert is lost: ClickHouse has the block, the collector
// does not know it.
func TestAnswersLostAfterTheCommitRepeatNothing(t *testing.T) {
	p := startPair(t)
	p.front.loseOneIn(2)
	s := p.send(2)
	proctest.Eventually(t, time.Minute, "answers that were lost", func() (bool, string) {
		s.await(s.acked.Load() + 5)
		n := p.front.lost.Load()
		return n >= 5, fmt.Sprint(n)
	})
	s.end()
	s.check()
}

// ClickHouse is away for longer than the longest wait between two tries, with a
// restart of the collector in between.
func TestAnOutageLongerThanAnyRetryIntervalLosesNothing(t *testing.T) {
	p := startPair(t)
	s := p.send(2)
	s.await(20)
	p.front.away.Store(true)
	s.await(s.acked.Load() + 20) // accepted all the same
	s.end()
	tries := func(n int64) {
		t.Helper()
		from := p.front.refused.Load()
		proctest.Eventually(t, time.Minute, "tries in vain", func() (bool, string) {
			got := p.front.refused.Load() - from
			return got >= n, fmt.Sprint(got)
		})
	}
	tries(12) // waits double from 5 ms: these take several times the longest, 200 ms
	p.killCollector()
	p.startCollector()
	tries(12)
	p.front.away.Store(false)
	s.check()
}
