package chaos

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/breaker"
	"github.com/tasktrail/tasktrail/agent/retry"
	"github.com/tasktrail/tasktrail/app/uptest"
	"github.com/tasktrail/tasktrail/internal/proctest"
	"github.com/tasktrail/tasktrail/timeline"
)

var (
	soak     = flag.Duration("soak", 10*time.Second, "how long the soak test runs; whether everything stays flat is judged from two minutes on")
	soakRate = flag.Int("soak-rate", 200, "tasks a second of the soak test, beside the bursts of ten seconds' worth every 30 s")
)

// judgedFrom is the shortest soak that says anything about growth.
const judgedFrom = 2 * time.Minute

// sample is one look at a running up.
type sample struct {
	at                            time.Duration
	tasks, goroutines, files      float64
	memory                        memory // of up
	engine                        memory
	agent                         memory
	agentGoroutines, agentFiles   float64
	collectorLog, stored, perTask float64 // MiB, MiB, bytes
	parts                         float64
}

// watched are what must not grow, and by how much the last third may lie over the
// one before: a share and an amount.
var watched = []struct {
	name   string
	of     func(s sample) float64
	share  float64
	amount float64
}{
	{"goroutines", func(s sample) float64 { return s.goroutines }, 0.1, 30},
	{"open files", func(s sample) float64 { return s.files }, 0.1, 30},
	{"memory of tasktrail, MiB", func(s sample) float64 { return s.memory.own }, 0.15, 30},
	{"what tasktrail has mapped, MiB", func(s sample) float64 { return s.memory.mapped }, 0.15, 64},
	{"memory of the engine, MiB", func(s sample) float64 { return s.engine.own }, 0.2, 150},
	{"goroutines of the agent's process", func(s sample) float64 { return s.agentGoroutines }, 0.1, 30},
	{"open files of the agent's process", func(s sample) float64 { return s.agentFiles }, 0.1, 30},
	{"memory of the agent's process, MiB", func(s sample) float64 { return s.agent.own }, 0.15, 30},
	{"the collector's log, MiB", func(s sample) float64 { return s.collectorLog }, 0.1, 64},
	{"parts", func(s sample) float64 { return s.parts }, 0.3, 60},
	{"disk, bytes a task", func(s sample) float64 { return s.perTask }, 0.15, 200},
}

// A steady rate and bursts on top of it, for as long as is asked for: nothing but
// what is stored may grow.
func TestSoak(t *testing.T) {
	u := uptest.Start(t)
	a, err := agent.New(agent.Config{
		CollectorURL: u.Collector(), Token: u.Token, SpoolDir: t.TempDir(), Retry: retry.Policy{MaxAttempts: 2, Base: 10 * time.Millisecond},
		// Neither breakers nor the retry budget hold the load back: their waits are of
		// minutes.
		Breaker: breaker.Config{FailureRate: -1, ConsecutiveFailures: -1}, Budget: retry.BudgetConfig{Disabled: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	l := &load{agent: a, slots: make(chan struct{}, 64)}
	stop := l.start(t.Context())
	samples := watch(t, u, l, *soak)
	stop()
	ctx, end := within(context.Background(), 30*time.Second)
	defer end()
	if err := a.Close(ctx); err != nil {
		t.Errorf("close the agent: %v", err)
	}
	if st := a.Stats(); st.Shed+st.Unwritten+st.Refused > 0 {
		t.Errorf("events were shed, not written or refused: %+v", st)
	}
	proctest.Eventually(t, 2*time.Minute, "tasktrail verify balances", func() (bool, string) {
		out, err := u.Run("verify")
		return err == nil, fmt.Sprint(out, err)
	})
	t.Log("\n" + table(samples))
	if *soak < judgedFrom {
		return
	}
	for _, w := range watched {
		before, after := mean(samples[len(samples)/3:2*len(samples)/3], w.of), mean(samples[2*len(samples)/3:], w.of)
		if after > before*(1+w.share)+w.amount {
			t.Errorf("%s grew from %.1f to %.1f from the second third to the last", w.name, before, after)
		}
	}
}

// load executes tasks at the rate.
type load struct {
	agent *agent.Agent
	slots chan struct{}
	mu    sync.Mutex
	tasks int
}

func (l *load) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		const every = 50 * time.Millisecond
		tick, burst := time.NewTicker(every), time.NewTicker(30*time.Second)
		defer tick.Stop()
		defer burst.Stop()
		for {
			n := 0
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				n = max(*soakRate/int(time.Second/every), 1)
			case <-burst.C:
				n = 10 * *soakRate
			}
			for range n {
				l.slots <- struct{}{}
				l.mu.Lock()
				l.tasks++
				i := l.tasks
				l.mu.Unlock()
				running.Go(func() { defer func() { <-l.slots }(); l.do(i) })
			}
		}
	})
	return func() { cancel(); running.Wait() }
}

// do executes a task; one in ten needs a second attempt, one in fifty fails.
func (l *load) do(i int) {
	_, _ = l.agent.Do(context.Background(), agent.Task{Task: timeline.Task{
		ID: fmt.Sprintf("soak-%d", i), Type: "payment", Queue: fmt.Sprintf("q%d", i%5), Provider: fmt.Sprintf("p%d", i%20), UserID: fmt.Sprintf("u%d", i%1000),
		Amount: "12.00", Currency: "USD", Input: timeline.Payload(`{"order":` + strconv.Itoa(i) + `}`),
	}}, func(ctx context.Context, _ agent.Task) (agent.Result, error) {
		switch at, _ := agent.AttemptFrom(ctx); {
		case i%50 == 0, i%10 == 0 && at.Number == 1:
			return agent.Result{}, errors.New("the service is not well")
		}
		return agent.Result{Output: []byte(`{"ok":true}`)}, nil
	})
}

func (l *load) done() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tasks
}

// watch takes samples, thirty at least.
func watch(t *testing.T, u *uptest.Up, l *load, d time.Duration) []sample {
	t.Helper()
	began := time.Now()
	tick := time.NewTicker(min(max(d/30, time.Second), time.Minute))
	defer tick.Stop()
	var samples []sample
	for time.Since(began) < d {
		<-tick.C
		s := look(t, u, l, time.Since(began))
		samples = append(samples, s)
		t.Logf("%+v", s)
	}
	return samples
}

func look(t *testing.T, u *uptest.Up, l *load, at time.Duration) sample {
	t.Helper()
	figures := text(t, strings.TrimSuffix(u.API(), "/api/v1")+"/metrics", u.Token)
	s := sample{
		at: at, tasks: float64(l.done()), goroutines: figure(figures, "go_goroutines"), files: figure(figures, "process_open_fds"),
		memory: resident(u.Process.Pid()), engine: resident(u.Engine()), agent: resident(os.Getpid()),
		agentGoroutines: float64(runtime.NumGoroutine()), agentFiles: descriptors(os.Getpid()),
		collectorLog: size(filepath.Join(u.DataDir, "collector")) / (1 << 20), stored: size(filepath.Join(u.DataDir, "clickhouse")) / (1 << 20),
	}
	if out, err := u.SQL("SELECT count(), sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase() FORMAT TSV"); err != nil {
		t.Errorf("count the parts: %v", err)
	} else {
		parts, bytes, _ := strings.Cut(out, "\t")
		s.parts, _ = strconv.ParseFloat(parts, 64)
		s.perTask, _ = strconv.ParseFloat(bytes, 64)
		s.perTask /= max(s.tasks, 1)
	}
	return s
}

// figure reads a metric without labels.
func figure(metrics, name string) float64 {
	for line := range strings.Lines(metrics) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			v, _ := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			return v
		}
	}
	return 0
}

// memory is what a process holds of the machine's, in MiB.
type memory struct {
	// own is what nobody else has; mapped are pages of files, which the system can take
	// back at any time.
	own, mapped float64
}

func resident(pid int) memory {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}
	}
	kib := map[string]float64{}
	for line := range strings.Lines(string(b)) {
		name, v, _ := strings.Cut(line, ":")
		kib[name], _ = strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 64)
	}
	return memory{own: kib["RssAnon"] / 1024, mapped: (kib["RssFile"] + kib["RssShmem"]) / 1024}
}

func descriptors(pid int) float64 {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return 0
	}
	return float64(len(entries))
}

// size is what the files under a directory hold.
func size(dir string) float64 {
	var sum int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				sum += info.Size()
			}
		}
		return nil // files come and go
	})
	return float64(sum)
}

func mean(samples []sample, of func(sample) float64) float64 {
	sum := 0.0
	for _, s := range samples {
		sum += of(s)
	}
	return sum / float64(max(len(samples), 1))
}

func table(samples []sample) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "at\ttasks\tgoroutines\tfiles\tMiB\tmapped\tengine MiB\tagent MiB\tlog MiB\tstored MiB\tparts\tbytes a task\t")
	for _, s := range samples {
		fmt.Fprintf(w, "%v\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t\n", s.at.Round(time.Second), s.tasks, s.goroutines+s.agentGoroutines,
			s.files+s.agentFiles, s.memory.own, s.memory.mapped, s.engine.own, s.agent.own, s.collectorLog, s.stored, s.parts, s.perTask)
	}
	_ = w.Flush()
	return b.String()
}
