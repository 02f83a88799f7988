package rule

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tasktrail/tasktrail/alerting/match"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var t0 = time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC)

// past is a Past that says what it is told to.
type past struct {
	letters, pending []Gauge
	seen             map[string]time.Time
	lag              time.Duration
	err              error
}

func (p *past) DeadLetters(context.Context, []match.Field) ([]Gauge, error) { return p.letters, p.err }
func (p *past) Pending(context.Context, []match.Field) ([]Gauge, error)     { return p.pending, p.err }
func (p *past) LastSeen(_ context.Context, _, fp string, _ time.Time) (time.Time, error) {
	return p.seen[fp], p.err
}
func (p *past) IngestLag(context.Context) (time.Duration, error) { return p.lag, p.err }

func rules(t testing.TB, text string) []Rule {
	t.Helper()
	f, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f.Rules
}

var counter int

func rec(typ timeline.Type, task string, at time.Time) *wire.Record {
	counter++
	return &wire.Record{
		Type: typ, ID: timeline.DeriveID("rule-test", fmt.Sprint(counter)), Namespace: []byte("default"), TaskID: []byte(task), TaskType: []byte("payment"),
		Queue: []byte("q1"), Provider: []byte("bank"), Run: 1, OccurredAt: at.UnixNano(),
	}
}

// world is an engine with a clock.
type world struct {
	t    testing.TB
	e    *Engine
	now  time.Time
	past *past
}

func newWorld(t testing.TB, text string) *world {
	return &world{t, New(rules(t, text), t0), t0, &past{seen: map[string]time.Time{}}}
}

func (w *world) see(typ timeline.Type, n int) {
	for i := range n {
		w.e.Observe(rec(typ, fmt.Sprint("t", counter, i), w.now), w.now)
	}
}

// after lets time pass and says what changed, as words.
func (w *world) after(d time.Duration) string {
	w.t.Helper()
	w.now = w.now.Add(d)
	got, err := w.e.Evaluate(w.t.Context(), w.now, w.past, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	var words []string
	for _, f := range got {
		s := string(f.Track.State)
		if f.Track.Condition != "" {
			s = f.Track.Condition + " " + s
		}
		words = append(words, s)
	}
	return strings.Join(words, ", ")
}

func (w *world) want(d time.Duration, want string) {
	w.t.Helper()
	if got := w.after(d); got != want {
		w.t.Errorf("at %v: %q, want %q", w.now.Sub(t0), got, want)
	}
}

func TestFailureRate(t *testing.T) {
	w := newWorld(t, `
rules:
  - {name: r, kind: failure_rate, above: 20%, clear: 0.1, min_samples: 10, window: 5m, for: 1m, keep: 30s}
`)
	w.see(timeline.TaskFailed, 9)
	w.want(10*time.Second, "") // too few
	w.see(timeline.TaskFailed, 1)
	w.want(10*time.Second, "pending")
	w.want(50*time.Second, "")
	w.want(10*time.Second, "firing")
	w.see(timeline.TaskCompleted, 60) // 14 %: between clear and above
	w.want(10*time.Second, "")
	w.see(timeline.TaskCompleted, 40)
	w.want(10*time.Second, "")
	w.want(20*time.Second, "") // not for long enough yet
	w.want(10*time.Second, "resolved")
	w.want(10*time.Minute, "")
	w.see(timeline.TaskFailed, 20)
	w.want(time.Second, "pending")
	w.see(timeline.TaskCompleted, 300)
	w.want(time.Second, "resolved") // it never fired
	if f := w.e.Findings(); len(f) != 0 {
		t.Errorf("findings %+v", f)
	}
}

// Of the shortest window nothing is missed between two rounds, wherever in a slot it
// was.
func TestTheShortestWindowIsSeenByTheNextRound(t *testing.T) {
	for at := range 10 {
		w := newWorld(t, "rules: [{name: a, kind: lost_tasks, above: 0, window: 10s}]")
		w.want(time.Duration(at)*time.Second, "")
		w.see(timeline.TaskLost, 1)
		w.want(5*time.Second, "firing")
		w.want(16*time.Second, "resolved")
	}
}

func TestAnEventThatComesAgainCountsOnce(t *testing.T) {
	w := newWorld(t, "rules: [{name: r, kind: failure_rate, above: 0.5, min_samples: 5}]")
	r := rec(timeline.TaskFailed, "t", t0)
	for range 100 {
		w.e.Observe(r, t0)
	}
	w.want(time.Second, "")
}

func TestConsecutiveFailuresAcrossCollectors(t *testing.T) {
	const text = "rules: [{name: r, kind: consecutive_failures, failures: 4}]"
	a, b := newWorld(t, text), newWorld(t, text)
	for i := range 2 {
		a.e.Observe(rec(timeline.TaskFailed, fmt.Sprint("a", i), t0.Add(time.Duration(i)*time.Second)), t0)
		b.e.Observe(rec(timeline.TaskFailed, fmt.Sprint("b", i), t0.Add(time.Duration(i)*time.Second+1)), t0)
	}
	a.want(time.Second, "") // it has seen two of them
	bytes, err := b.e.Export(t0, 0)
	if err != nil {
		t.Fatal(err)
	}
	share, err := ParseShare(bytes)
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.e.Evaluate(t.Context(), t0.Add(2*time.Second), a.past, []*Share{share})
	if err != nil || len(got) != 2 && len(got) != 1 || got[len(got)-1].Track.State != timeline.AlertFiring {
		t.Fatalf("%+v %v", got, err)
	}
	// The next one that decides goes on where the first one stopped.
	bytes, _ = a.e.Export(t0, 0)
	if share, err = ParseShare(bytes); err != nil {
		t.Fatal(err)
	}
	b.e.Adopt([]*Share{share})
	own, _ := a.e.Export(t0, 0)
	as, _ := ParseShare(own)
	if got, err = b.e.Evaluate(t.Context(), t0.Add(3*time.Second), b.past, []*Share{as}); err != nil || len(got) != 0 {
		t.Errorf("%+v %v", got, err)
	}
	if f := b.e.Findings(); len(f) != 1 || f[0].Track.AlertID() != a.e.Findings()[0].Track.AlertID() {
		t.Errorf("findings %+v", f)
	}
	b.see(timeline.TaskCompleted, 1)
	b.now = t0.Add(4 * time.Second)
	b.e.Observe(rec(timeline.TaskCompleted, "ok", b.now), b.now)
	if got, err = b.e.Evaluate(t.Context(), b.now, b.past, []*Share{as}); err != nil || len(got) != 1 || got[0].Track.State != timeline.AlertResolved {
		t.Errorf("%+v %v", got, err)
	}
}

func TestMissedRun(t *testing.T) {
	w := newWorld(t, `
rules:
  - name: nightly
    kind: missed_run
    match: {type: payment}
    schedule: "0 * * * *"
    grace: 5m
    finish_within: 20m
`)
	start := func(typ timeline.Type, task string) { w.e.Observe(rec(typ, task, w.now), w.now) }
	w.want(30*time.Minute, "")
	w.want(29*time.Minute, "")
	w.want(time.Minute, "") // 06:00: due
	w.want(4*time.Minute, "")
	w.want(2*time.Minute, "never_started firing")
	start(timeline.TaskStarted, "n1")
	w.want(time.Minute, "never_started resolved")
	w.want(15*time.Minute, "")
	w.want(5*time.Minute, "late firing")
	start(timeline.TaskFailed, "n1")
	w.want(time.Minute, "late resolved") // that it failed is another alert
	w.want(31*time.Minute, "")           // 06:59
	start(timeline.TaskStarted, "n2")    // a little early
	w.want(10*time.Minute, "")
}

func TestMissedPeriod(t *testing.T) {
	w := newWorld(t, "rules: [{name: r, kind: missed_run, match: {queue: q1}, every: 10m, grace: 1m}]")
	w.see(timeline.TaskStarted, 1)
	w.want(11*time.Minute, "")
	w.want(time.Second, "never_started firing")
	w.see(timeline.TaskStarted, 1)
	w.want(time.Second, "never_started resolved")
}

func TestNewAndRegressedErrors(t *testing.T) {
	w := newWorld(t, "rules: [{name: r, kind: new_error, window: 1h, quiet: 7d}]")
	fail := func(fp string) {
		r := rec(timeline.AttemptFailed, "t", w.now)
		r.Error.Fingerprint, r.Error.Kind, r.Error.Message = []byte(fp), []byte("http_503"), []byte("no")
		w.e.Observe(r, w.now)
	}
	w.past.seen["fp1:old"], w.past.seen["fp1:back"] = t0.Add(-time.Hour), t0.Add(-8*24*time.Hour)
	fail("fp1:old")
	fail("fp1:back")
	fail("fp1:new")
	w.want(time.Second, "new firing, regressed firing")
	fail("fp1:new")
	w.want(time.Second, "")
	w.want(time.Hour, "new resolved, regressed resolved")
	fail("fp1:new")
	w.want(time.Second, "")
	w.past.err = errors.New("ClickHouse is away")
	fail("fp1:newer")
	if _, err := w.e.Evaluate(t.Context(), w.now, w.past, nil); err == nil {
		t.Error("no error")
	}
	w.past.err = nil
	w.want(time.Second, "new firing")
}

func TestGaugesSilenceAndLag(t *testing.T) {
	w := newWorld(t, `
rules:
  - {name: depth, kind: dead_letters, above: 10, match: {queue: "q*"}, by: queue}
  - {name: growth, kind: dead_letter_growth, above: 3, window: 10m}
  - {name: wait, kind: oldest_pending, above: 15m}
  - {name: lost, kind: lost_tasks, above: 0, window: 5m}
  - {name: quiet, kind: silent, above: 5m, by: [agent]}
  - {name: stall, kind: stalled_ingest, above: 1m}
`)
	l := match.Labels{match.Namespace: "default", match.Queue: "q1"}
	w.past.letters = []Gauge{{Labels: l, Count: 11}, {Labels: match.Labels{match.Queue: "other"}, Count: 99}}
	w.past.pending = []Gauge{{Labels: l, Count: 2, Oldest: t0.Add(-time.Hour)}}
	w.past.lag = 2 * time.Minute
	w.see(timeline.MovedToDLQ, 4)
	w.see(timeline.TaskLost, 1)
	w.see(timeline.TaskStarted, 1)
	w.want(time.Second, "firing, firing, firing, firing, firing")
	w.past.letters, w.past.pending, w.past.lag = nil, nil, 0
	w.want(5*time.Minute+20*time.Second, "resolved, resolved, resolved, firing, resolved")
	w.see(timeline.TaskStarted, 1)
	w.see(timeline.DLQResolved, 2)
	w.want(time.Second, "resolved, resolved") // the growth by what was resolved
}

func TestOtherRulesTakeOver(t *testing.T) {
	w := newWorld(t, "rules: [{name: a, kind: failure_rate, above: 0.5, min_samples: 2}, {name: b, kind: lost_tasks, above: 0}]")
	w.see(timeline.TaskFailed, 5)
	w.see(timeline.TaskLost, 1)
	w.want(time.Second, "firing, firing")
	w.e.Replace(rules(t, "rules: [{name: a, kind: failure_rate, above: 0.4, min_samples: 2}]"))
	w.want(time.Second, "resolved") // b is gone, a goes on with what it counted
	b, err := w.e.Export(w.now, 0)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseShare(b)
	if err != nil {
		t.Fatal(err)
	}
	again := New(rules(t, "rules: [{name: a, kind: failure_rate, above: 0.4, min_samples: 2}]"), w.now)
	again.Import(s)
	w.e = again
	w.want(time.Second, "")
	if f := again.Findings(); len(f) != 1 || f[0].Track.State != timeline.AlertFiring || !again.began.Equal(t0) {
		t.Errorf("after a restart: %+v", f)
	}
}

func TestGroupsAreBounded(t *testing.T) {
	w := newWorld(t, "rules: [{name: a, kind: failure_rate, above: 0.5, min_samples: 1, by: user}]")
	for i := range maxGroups + 100 {
		r := rec(timeline.TaskFailed, "t", w.now)
		r.UserID = []byte(fmt.Sprint("u", i))
		w.e.Observe(r, w.now)
	}
	if n := w.e.Overflow(); n != 100 {
		t.Errorf("%d overflowed", n)
	}
	if _, err := w.e.Export(w.now, 0); err != nil {
		t.Error(err)
	}
}

func TestAlertOfAFinding(t *testing.T) {
	w := newWorld(t, `
rules:
  - {name: r, kind: failure_rate, above: 0.5, min_samples: 1, by: queue, title: "{{.Queue}} is bad", text: "{{.Error.Message}}", severity: critical, runbook: "https://x/y"}
`)
	w.see(timeline.TaskFailed, 1)
	w.after(time.Second)
	f := w.e.Findings()
	if len(f) != 1 {
		t.Fatal(f)
	}
	a := f[0].Alert()
	if a.Title != "q1 is bad" || !strings.Contains(a.Text, "1 of 1 runs failed") || !strings.Contains(a.Text, "template failed") ||
		a.Severity != timeline.AlertCritical || a.Queue != "q1" || a.Runbook != "https://x/y" || a.Value != 1 {
		t.Errorf("%+v", a)
	}
}

func BenchmarkObserve(b *testing.B) {
	w := newWorld(b, `
rules:
  - {name: a, kind: failure_rate, above: 0.5, by: queue}
  - {name: b, kind: consecutive_failures, failures: 5, by: type}
  - {name: c, kind: silent, above: 5m, by: agent, match: {type: "pay*"}}
`)
	r := rec(timeline.TaskCompleted, "t", t0)
	for b.Loop() {
		counter++
		r.ID = timeline.ID{8: byte(counter), 9: byte(counter >> 8), 10: byte(counter >> 16)}
		r.OccurredAt += 1_000_000
		w.e.Observe(r, t0.Add(time.Hour))
	}
}
