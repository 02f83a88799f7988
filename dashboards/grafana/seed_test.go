package grafana_test

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/store"
	"github.com/tasktrail/tasktrail/store/storetest"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

// seed writes every life of a task, tasks that are not at their end, and what
// belongs to no task, in a database of its own. It returns the reader's address.
func seed(t *testing.T, now time.Time) (reader string, byTask map[string][]timeline.Event) {
	t.Helper()
	writer, reader := storetest.DSN(t)
	s, err := store.Open(t.Context(), store.Config{DSN: writer, ReaderDSN: reader})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("../../timeline/testdata/lives.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Lives map[string][]string `json:"lives"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Lives) < 11 {
		t.Fatalf("%d lives", len(file.Lives))
	}
	file.Lives["waits"] = []string{"r1 task_created"}
	file.Lives["runs"] = []string{"r1 task_created", "r1 task_started", "r1 a1 attempt_started"}
	file.Lives["retries"] = []string{"r1 task_created", "r1 task_started", "r1 a1 attempt_started", "r1 a1 attempt_failed", "r1 a1 task_retried"}
	file.Lives["lost"] = []string{"r1 task_created", "r1 task_started", "r1 a1 attempt_started", "r1 task_lost"}
	file.Lives["old"] = file.Lives["permanent"]

	byTask = map[string][]timeline.Event{}
	for i, name := range slices.Sorted(maps.Keys(file.Lives)) {
		task := timeline.Task{
			Namespace: "default", ID: name, Type: []string{"payment", "send_email"}[i%2], Queue: []string{"a", "b"}[i%2], Runner: "asynq", Agent: "worker-1",
			Provider: "bank", UserID: "ada", Amount: "700.25", Currency: "EUR", MaxAttempts: 2,
		}
		at := now.Add(-time.Minute)
		switch name {
		case "waits":
			at = now.Add(-20 * time.Minute)
		case "old":
			at = now.Add(-26 * time.Hour)
		}
		byTask[name] = life(t, task, file.Lives[name], at)
	}
	var all []timeline.Event
	for _, name := range slices.Sorted(maps.Keys(byTask)) {
		all = append(all, byTask[name]...)
	}
	late := timeline.Task{Namespace: "late", ID: "late", Type: "report", Queue: "c", Agent: "worker-9", Provider: "crm"}
	write(t, s, now, life(t, late, file.Lives["success"], now.Add(-10*time.Minute))...)
	gap := timeline.Event{
		Task: timeline.Task{Namespace: "default"}, ID: ids.Next(now), Type: timeline.Tombstone, Severity: timeline.Tombstone.Severity(), SourceID: "source-permanent", SourceSeq: 90,
		OccurredAt: now.Add(-time.Minute), Gap: &timeline.Gap{From: 80, To: 89, Reason: "disk_full"},
	}
	setting := timeline.NewSettingEvent("default", timeline.Setting{Kind: "silence", ID: "night", Version: 1, Body: []byte(`{}`)},
		timeline.Operator{Actor: "ada", Reason: "maintenance"}, now.Add(-time.Minute))
	write(t, s, now, append(all, gap, setting)...)
	// The rollups are of before the copies, but for the slot of long ago, which no
	// copy changes.
	if err := s.Rollup(t.Context(), now.Add(-48*time.Hour)); err != nil {
		t.Fatal(err)
	}
	// The same events by another collector, whose answer was lost.
	write(t, s, now, slices.Concat(byTask["retry_then_success"], byTask["exhausted_after_2"])...)
	return reader, byTask
}

var ids timeline.IDGenerator

func write(t *testing.T, s *store.Store, now time.Time, events ...timeline.Event) {
	t.Helper()
	records := make([][]byte, len(events))
	for i := range events {
		records[i] = wire.AppendLogRecord(nil, &events[i])
	}
	frame := wire.AppendFrame(nil, wire.Envelope{IngestedAt: now.Add(-5 * time.Second), Namespace: events[0].Namespace},
		wire.AppendExportRequest(nil, wire.Resource{}, records))
	if err := s.WriteFrames(t.Context(), "seed-"+ids.Next(now).String(), [][]byte{frame}); err != nil {
		t.Fatal(err)
	}
}

// life makes the events of a life, each a millisecond after the one before.
func life(t *testing.T, task timeline.Task, script []string, at time.Time) []timeline.Event {
	t.Helper()
	var events []timeline.Event
	seqs, attempts := map[int]uint64{}, map[int]int{}
	letter := 0
	for i, line := range script {
		e := timeline.Event{Task: task, SourceID: "source-" + task.ID, SourceSeq: uint64(i + 1), OccurredAt: at.Add(time.Duration(i) * time.Millisecond)}
		for word := range strings.FieldsSeq(line) {
			if typ, ok := timeline.ParseType(word); ok {
				e.Type = typ
				continue
			}
			n, err := strconv.Atoi(word[1:])
			if err != nil {
				t.Fatalf("line %q: word %q", line, word)
			}
			if word[0] == 'r' {
				e.Run = n
			} else {
				e.Attempt = n
			}
		}
		e.ID, e.Severity = ids.Next(e.OccurredAt), e.Type.Severity()
		e.TraceID = timeline.TraceID{1, byte(len(task.ID)), task.ID[0], byte(e.Run)}
		seqs[e.Run]++
		e.Seq = seqs[e.Run]
		fails := func() {
			e.Attempts, e.Reason = attempts[e.Run], timeline.FailExhausted
			e.Error = &timeline.Error{
				Class: timeline.ClassRetryable, Kind: "http_503", Message: "service unavailable", Code: "503", HTTPStatus: 503,
				Fingerprint: "fp1:" + task.ID,
			}
			if attempts[e.Run] == 0 && e.Type != timeline.AttemptFailed {
				e.Reason = timeline.FailCircuitOpen
			}
		}
		switch e.Type {
		case timeline.AttemptStarted:
			attempts[e.Run]++
		case timeline.AttemptSuccess:
			e.Duration = timeline.Millis(40 * time.Millisecond)
		case timeline.AttemptFailed:
			fails()
			e.Duration, e.Reason, e.Attempts = timeline.Millis(20*time.Millisecond), "", 0
		case timeline.TaskRetried:
			e.Retry = &timeline.Retry{NextAttempt: e.Attempt + 1, Delay: timeline.Millis(time.Second), Reason: timeline.RetryBackoff}
		case timeline.CircuitBreakerOpened:
			e.Breaker = &timeline.Breaker{Provider: task.Provider, State: timeline.BreakerOpen, Why: "failure_rate", Calls: 10, Failures: 6, OpenUntil: at.Add(30 * time.Second)}
		case timeline.TaskFailed:
			fails()
		case timeline.MovedToDLQ:
			fails()
			letter = e.Run
			e.DeadLetter = &timeline.DeadLetterRef{ID: timeline.DeadLetterID(task.Namespace, task.ID, e.Run), AlertSeverity: timeline.AlertCritical, Requeueable: true}
		case timeline.TaskCompleted:
			e.Attempts, e.Duration = attempts[e.Run], timeline.Millis(60*time.Millisecond)
		case timeline.DLQRetryRequested, timeline.DLQResolved, timeline.DLQDiscarded:
			e.DeadLetter = &timeline.DeadLetterRef{ID: timeline.DeadLetterID(task.Namespace, task.ID, letter)}
		}
		events = append(events, e)
	}
	return events
}
