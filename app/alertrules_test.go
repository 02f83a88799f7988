package app_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/alerting/channel/channeltest"
	"github.com/tasktrail/tasktrail/app/uptest"
	"github.com/tasktrail/tasktrail/internal/proctest"
	"github.com/tasktrail/tasktrail/timeline"
)

// rulesOfEveryKind are about queues of their own, so that none sees another's tasks.
const rulesOfEveryKind = `
rules:
  - {name: rate, kind: failure_rate, match: {queue: [rate, few]}, by: queue, above: 50%, min_samples: 4}
  - {name: in a row, kind: consecutive_failures, match: {queue: row}, failures: 3}
  - {name: many, kind: dead_letters, match: {queue: letters}, above: 1}
  - {name: more, kind: dead_letter_growth, match: {queue: letters}, above: 1}
  - {name: waiting, kind: oldest_pending, match: {queue: "wait*"}, above: 2s, by: queue}
  - {name: lost, kind: lost_tasks, match: {queue: lose}, above: 0, window: 10s}
  - {name: quiet, kind: silent, match: {agent: settle-1}, above: 7s, by: agent}
  - {name: import, kind: missed_run, match: {type: import}, every: 1m, finish_within: 1s}
  - {name: novel, kind: new_error, match: {queue: errors}, window: 10s, quiet: 1h}
  - {name: stalled, kind: stalled_ingest, above: 2s}
`

// ruleWatch is a running product whose alerts a receiver hears.
type ruleWatch struct {
	t    *testing.T
	up   *uptest.Up
	hook *channeltest.Receiver
	n    int
}

// event is the next event of a task; change, where there is one, says what is
// special.
func (w *ruleWatch) event(typ timeline.Type, task, queue string, change ...func(*timeline.Event)) timeline.Event {
	w.n++
	e := timeline.Event{
		ID: timeline.DeriveID("alert-rules", fmt.Sprint(w.n)), Type: typ, Severity: typ.Severity(), Run: 1, OccurredAt: time.Now().UTC(),
		Task: timeline.Task{Namespace: "default", ID: task, Type: "job", Queue: queue},
	}
	for _, c := range change {
		c(&e)
	}
	return e
}

// several are events of one type, each of a task of its own.
func (w *ruleWatch) several(n int, typ timeline.Type, queue string) (out []timeline.Event) {
	for range n {
		out = append(out, w.event(typ, fmt.Sprint(queue, "-", w.n), queue))
	}
	return out
}

// heard are the alerts that the receiver was told of: rule, condition, queue, state.
func (w *ruleWatch) heard() (out []string) {
	for _, al := range w.hook.Alerts() {
		out = append(out, strings.Join(strings.Fields(strings.Join([]string{al.Rule, al.Condition, al.Queue, string(al.State)}, " ")), " "))
	}
	return out
}

// hear waits until the receiver was told all of it; meanwhile runs between looks.
func (w *ruleWatch) hear(what string, meanwhile func(), want ...string) {
	w.t.Helper()
	began := time.Now()
	defer func() { w.t.Logf("%s after %v", what, time.Since(began)) }()
	proctest.Eventually(w.t, 40*time.Second, what, func() (bool, string) {
		if meanwhile != nil {
			meanwhile()
		}
		got, missing := w.heard(), []string{}
		for _, s := range want {
			if !slices.Contains(got, s) {
				missing = append(missing, s)
			}
		}
		return len(missing) == 0, fmt.Sprintf("missing %q of %q", missing, got)
	})
}

// Every kind of rule, and what is always in force, goes from events over the real
// store to a call, and to another when it is over; and the same rules say of that
// past when they would have fired.
func TestEveryKindOfRuleOverTheRealStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	hook := channeltest.New(t, channeltest.SecretA)
	file := filepath.Join(dir, "rules.yaml")
	put := func(rules string) {
		channels := fmt.Sprintf("channels: [{name: hook, type: webhook, url: %q, secrets: [%q], allow_private: true, parallel: 4}]\n", hook.URL, channeltest.SecretA)
		if err := os.WriteFile(file, []byte(channels+rules), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("")
	// A collector that has counted for an hour: nothing of the import was heard of.
	kept, err := json.Marshal(map[string]time.Time{"at": time.Now(), "began": time.Now().Add(-time.Hour)})
	if err == nil {
		err = os.MkdirAll(filepath.Join(dir, "data", "alerting"), 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "data", "alerting", "rules.json"), kept, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	w := &ruleWatch{t: t, hook: hook, up: uptest.StartOn(t, filepath.Join(dir, "data"), "--alert-rules", file, "--lost-after", "2s")}
	failure := func(fingerprint string, at time.Time) func(*timeline.Event) {
		return func(e *timeline.Event) {
			e.Attempt, e.OccurredAt = 1, at.UTC()
			e.Error = &timeline.Error{Class: timeline.ClassRetryable, Kind: "http_503", Message: "no", Fingerprint: fingerprint}
		}
	}
	// An error of three hours ago, which only the store knows when the rules come.
	post(t, w.up, []timeline.Event{w.event(timeline.AttemptFailed, "old", "errors", failure("fp1:0001", time.Now().Add(-3*time.Hour)))})
	proctest.Eventually(t, 20*time.Second, "the store has the old error", func() (bool, string) {
		n, err := w.up.SQL("SELECT count() FROM failures WHERE fingerprint = 'fp1:0001'")
		return n == "1", fmt.Sprint(n, err)
	})
	put(rulesOfEveryKind)
	proctest.Eventually(t, 20*time.Second, "the rules in force", func() (bool, string) {
		var page struct{ Data []any }
		_, err := w.up.Call("GET", "/rules", "", &page)
		return len(page.Data) == 10, fmt.Sprint(len(page.Data), err)
	})

	letter := func(task, queue, amount string) timeline.Event {
		return w.event(timeline.MovedToDLQ, task, queue, func(e *timeline.Event) {
			e.Reason, e.Attempts, e.Amount, e.Currency = timeline.FailExhausted, 5, amount, "USD"
			e.DeadLetter = &timeline.DeadLetterRef{ID: timeline.DeadLetterID("default", task, 1)}
		})
	}
	breaker := func(state timeline.BreakerState) func(*timeline.Event) {
		return func(e *timeline.Event) {
			e.Provider = "bank"
			e.Breaker = &timeline.Breaker{Provider: "bank", State: state, Why: "consecutive_failures", Failures: 5, OpenUntil: time.Now().Add(time.Minute).UTC()}
		}
	}
	seq := uint64(0)
	from := func(source string) func(*timeline.Event) {
		return func(e *timeline.Event) { seq++; e.SourceID, e.SourceSeq = source, seq }
	}
	by := func(agent string) func(*timeline.Event) { return func(e *timeline.Event) { e.Agent = agent } }
	events := slices.Concat(
		w.several(4, timeline.TaskFailed, "rate"), w.several(3, timeline.TaskFailed, "few"), w.several(3, timeline.TaskFailed, "row"),
		[]timeline.Event{
			w.event(timeline.TaskStarted, "lose-1", "lose", from("worker-2")),
			letter("pay-1", "pay", "250"), letter("letter-1", "letters", ""), letter("letter-2", "letters", ""),
			w.event(timeline.CircuitBreakerOpened, "trips", "bank", from("worker-1"), breaker(timeline.BreakerOpen)),
			w.event(timeline.TaskCreated, "waits-1", "wait"), w.event(timeline.TaskStarted, "heard-1", "settle", by("settle-1")),
			w.event(timeline.AttemptFailed, "new", "errors", failure("fp1:0002", time.Now())),
			w.event(timeline.AttemptFailed, "again", "errors", failure("fp1:0001", time.Now())),
		},
	)
	post(t, w.up, events)
	w.hear("every rule fires", nil, "task_failed pay firing", "circuit_breaker_open bank firing", "rate rate firing", "in a row firing", "many firing", "more firing",
		"waiting wait firing", "lost firing", "quiet firing", "import never_started firing", "novel new firing", "novel regressed firing")
	for _, al := range hook.Alerts() {
		if al.TaskID == "pay-1" && (al.Severity != timeline.AlertCritical || al.ID != timeline.TaskAlertID("default", "pay-1")) {
			t.Errorf("%+v", al)
		}
	}

	// The engine stops where it is: what is accepted waits.
	engine := w.up.Engine()
	if err := syscall.Kill(engine, syscall.SIGSTOP); err != nil {
		t.Fatalf("stop the engine %d: %v", engine, err)
	}
	goOn := func() { _ = syscall.Kill(engine, syscall.SIGCONT) }
	t.Cleanup(goOn)
	post(t, w.up, w.several(1, timeline.TaskCreated, "else"))
	w.hear("the ingest is stalled", nil, "stalled firing")
	goOn()
	w.hear("the ingest goes on", nil, "stalled resolved")

	// All goes well again, but for the import, which has started and does not end.
	importing := func(e *timeline.Event) { e.Task.Type = "import" }
	post(t, w.up, slices.Concat(
		w.several(5, timeline.TaskCompleted, "rate"), w.several(1, timeline.TaskCompleted, "row"),
		[]timeline.Event{
			w.event(timeline.TaskCompleted, "pay-1", "pay", func(e *timeline.Event) { e.Run = 2 }),
			w.event(timeline.CircuitBreakerClosed, "trips", "bank", from("worker-1"), breaker(timeline.BreakerClosed)),
			w.event(timeline.TaskStarted, "waits-1", "wait"), w.event(timeline.TaskStarted, "import-1", "imports", importing),
		},
	))
	for _, id := range []string{"letter-1", "letter-2"} {
		if _, err := w.up.Call("POST", "/failed-tasks/"+timeline.DeadLetterID("default", id, 1).String()+"/discard", `{"reason":"a test"}`, nil); err != nil {
			t.Fatal(err)
		}
	}
	w.hear("every rule's alert is over, and the import is late", func() {
		post(t, w.up, []timeline.Event{w.event(timeline.AttemptStarted, "heard-1", "settle", by("settle-1"))})
	}, "task_failed pay resolved", "circuit_breaker_open bank resolved", "rate rate resolved", "in a row resolved", "many resolved", "more resolved",
		"waiting wait resolved", "lost resolved", "quiet resolved", "import never_started resolved", "novel new resolved", "novel regressed resolved",
		"import late firing")
	post(t, w.up, []timeline.Event{w.event(timeline.TaskCompleted, "import-1", "imports", importing)})
	w.hear("the import has ended", nil, "import late resolved")

	for _, s := range w.heard() {
		if strings.Contains(s, "few") {
			t.Errorf("three runs are too small a sample: %q", s)
		}
	}
	hook.Check(t)

	// The same rules over what the store keeps: all but the one about this moment.
	out, err := w.up.Run("alerts", "test", file, "--since", "7d", "--output", "json")
	said, body, _ := strings.Cut(out, "{")
	if err != nil || !strings.Contains(said, "rule stalled: stalled_ingest can't be tried on the past") {
		t.Fatalf("%v\n%s", err, out)
	}
	var past struct {
		Firings []struct{ Alert timeline.Alert }
	}
	if err := json.Unmarshal([]byte("{"+body), &past); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	would := map[string]bool{}
	for _, f := range past.Firings {
		would[strings.TrimSpace(f.Alert.Rule+" "+f.Alert.Condition)] = true
	}
	for _, rule := range []string{
		"rate", "in a row", "many", "more", "waiting", "lost", "quiet", "import never_started", "novel new", "novel regressed",
	} { // the import was late for a moment only, between two steps of the trial
		if !would[rule] {
			t.Errorf("the trial does not tell of %s: %v", rule, slices.Sorted(maps.Keys(would)))
		}
	}
}
