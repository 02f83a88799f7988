package alerting

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tasktrail/tasktrail/alerting/match"
	"github.com/tasktrail/tasktrail/alerting/rule"
	"github.com/tasktrail/tasktrail/timeline"
)

// toldPast answers what rules ask, as a test sets it.
type toldPast struct {
	mu      sync.Mutex
	letters int64
	oldest  time.Time
	lag     time.Duration
	seen    time.Time
}

func (p *toldPast) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

var paymentsQueue = match.Labels{match.Namespace: "default", match.Queue: "payments", match.Type: "payment"}

func (p *toldPast) DeadLetters(context.Context, []match.Field) ([]rule.Gauge, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return []rule.Gauge{{Labels: paymentsQueue, Count: p.letters}}, nil
}

func (p *toldPast) Pending(context.Context, []match.Field) ([]rule.Gauge, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.oldest.IsZero() {
		return nil, nil
	}
	return []rule.Gauge{{Labels: paymentsQueue, Count: 1, Oldest: p.oldest}}, nil
}

func (p *toldPast) LastSeen(context.Context, string, string, time.Time) (time.Time, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen, nil
}

func (p *toldPast) IngestLag(context.Context) (time.Duration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lag, nil
}

const everyKind = `
rules:
  - {name: rate, kind: failure_rate, above: 20%, min_samples: 4, window: 5m}
  - {name: in a row, kind: consecutive_failures, failures: 3}
  - {name: many, kind: dead_letters, above: 10}
  - {name: more, kind: dead_letter_growth, above: 2, window: 10m}
  - {name: waiting, kind: oldest_pending, above: 15m, by: queue}
  - {name: lost, kind: lost_tasks, above: 1, window: 5m}
  - {name: quiet, kind: silent, above: 30m, by: agent, match: {agent: settle-1}}
  - {name: nightly, kind: missed_run, match: {type: settlement}, schedule: "30 2 * * *", grace: 10m, finish_within: 1h}
  - {name: novel, kind: new_error, window: 10m, quiet: 1d}
  - {name: stalled, kind: stalled_ingest, above: 2m}
`

// Every kind of rule goes from events and answers over the state on disk to a
// call, and to another when it is over.
func TestEveryKindOfRuleCallsAndSaysWhenItIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "rules.yaml")
		if err := os.WriteFile(file, []byte(everyKind), 0o600); err != nil {
			t.Fatal(err)
		}
		r, past := newRecorder(), &toldPast{}
		a := openWith(t, Config{RulesFile: file}, Deps{Publisher: r, Past: past})
		defer a.Close()
		if err := a.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		said := map[string]int{} // "rule condition state": calls
		hear := func(d time.Duration) {
			time.Sleep(d) // of the bubble's clock
			synctest.Wait()
			clear(said)
			for _, al := range r.Alerts() {
				said[fmt.Sprintf("%s %s %s", al.Rule, al.Condition, al.State)]++
			}
		}
		n := 0
		send := func(typ timeline.Type, change func(*timeline.Event)) {
			n++
			e := event(typ, fmt.Sprint("t", n), 1)
			if change != nil {
				change(&e)
			}
			write(t, a, e)
		}
		settlement := func(typ timeline.Type) {
			e := event(typ, "settle", 1)
			e.Task.Type = "settlement"
			write(t, a, e)
		}
		// It is midnight of the bubble's first day.
		send(timeline.TaskStarted, func(e *timeline.Event) { e.Task.Agent = "settle-1" })
		for range 4 {
			send(timeline.TaskFailed, nil)
		}
		for range 3 {
			e := dead(fmt.Sprint("d", n), 1, timeline.FailPermanent)
			n++
			write(t, a, e)
		}
		for range 2 {
			send(timeline.TaskLost, nil)
		}
		send(timeline.AttemptFailed, func(e *timeline.Event) {
			e.Attempt, e.Error = 1, &timeline.Error{Class: timeline.ClassRetryable, Kind: "http_503", Message: "no", Fingerprint: "fp1:00"}
		})
		past.set(func() { past.letters, past.oldest, past.lag = 11, time.Now().Add(-20*time.Minute), 3*time.Minute })
		hear(20 * time.Second)
		for _, rule := range []string{"rate ", "in a row ", "many ", "more ", "waiting ", "lost ", "novel new", "stalled "} {
			if got := said[rule+" firing"]; got != 1 {
				t.Errorf("%s: %d calls that it fires: %v", rule, got, said)
			}
		}
		// An hour in which all goes well again, but for the agent that says nothing.
		past.set(func() { past.letters, past.oldest, past.lag = 0, time.Time{}, 0 })
		for range 20 {
			send(timeline.TaskCompleted, nil)
		}
		hear(time.Hour)
		for _, rule := range []string{"rate ", "in a row ", "many ", "more ", "waiting ", "lost ", "novel new", "stalled "} {
			if got := said[rule+" resolved"]; got != 1 {
				t.Errorf("%s: %d calls that it is over: %v", rule, got, said)
			}
		}
		if said["quiet  firing"] != 1 || said["quiet  resolved"] != 0 {
			t.Errorf("the silent agent: %v", said)
		}
		send(timeline.TaskStarted, func(e *timeline.Event) { e.Task.Agent = "settle-1" })
		hear(20 * time.Second)
		if said["quiet  resolved"] != 1 {
			t.Errorf("the agent that is heard of again: %v", said)
		}
		// Half past two nothing starts; then it starts, and takes too long.
		hear(2 * time.Hour)
		if said["nightly never_started firing"] != 1 {
			t.Errorf("the run that did not start: %v", said)
		}
		settlement(timeline.TaskStarted)
		hear(20 * time.Second)
		if said["nightly never_started resolved"] != 1 || said["nightly late firing"] != 0 {
			t.Errorf("the run that started late: %v", said)
		}
		hear(2 * time.Hour)
		if said["nightly late firing"] != 1 {
			t.Errorf("the run that does not end: %v", said)
		}
		settlement(timeline.TaskCompleted)
		hear(20 * time.Second)
		if said["nightly late resolved"] != 1 {
			t.Errorf("the run that ended: %v", said)
		}
		// An error that was seen long ago is back, and is told apart from a new one.
		past.set(func() { past.seen = time.Now().Add(-72 * time.Hour) })
		send(timeline.AttemptFailed, func(e *timeline.Event) {
			e.Attempt, e.Error = 1, &timeline.Error{Class: timeline.ClassRetryable, Kind: "http_500", Message: "no", Fingerprint: "fp1:01"}
		})
		hear(20 * time.Second)
		if said["novel regressed firing"] != 1 {
			t.Errorf("the error that is back: %v", said)
		}
	})
}
