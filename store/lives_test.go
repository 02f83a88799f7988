package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/store"
	"github.com/tasktrail/tasktrail/store/storetest"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

var everything = readmodel.Scope{Namespace: "default"}

// open returns a store on an empty, migrated database.
func open(tb testing.TB) *store.Store {
	tb.Helper()
	s := openUnmigrated(tb)
	if err := s.Migrate(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return s
}

func openUnmigrated(tb testing.TB) *store.Store {
	tb.Helper()
	writer, reader := storetest.DSN(tb)
	s, err := store.Open(tb.Context(), store.Config{DSN: writer, ReaderDSN: reader})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// lives are the usual lives of a task, by name: what happens, in order.
func lives(tb testing.TB) map[string][]string {
	tb.Helper()
	data, err := os.ReadFile("../timeline/testdata/lives.json")
	if err != nil {
		tb.Fatal(err)
	}
	var file struct {
		Lives map[string][]string `json:"lives"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		tb.Fatal(err)
	}
	if len(file.Lives) < 11 {
		tb.Fatalf("%d lives", len(file.Lives))
	}
	return file.Lives
}

// start is near now, so that windows that end now hold what happens in tests.
var start = time.Now().UTC().Add(-time.Minute).Truncate(time.Second)

var ids timeline.IDGenerator

// live makes the events of a life, each a millisecond after the one before.
func live(tb testing.TB, task timeline.Task, script []string) []timeline.Event {
	tb.Helper()
	var events []timeline.Event
	seqs := map[int]uint64{}
	attempts := map[int]int{}
	letter := 0
	for i, line := range script {
		e := timeline.Event{Task: task, SourceID: "source-1", SourceSeq: uint64(i + 1), OccurredAt: start.Add(time.Duration(i) * time.Millisecond)}
		for _, word := range strings.Fields(line) {
			if n, err := strconv.Atoi(word[1:]); err == nil && word[0] == 'r' {
				e.Run = n
			} else if err == nil && word[0] == 'a' {
				e.Attempt = n
			} else if t, ok := timeline.ParseType(word); ok {
				e.Type = t
			} else {
				tb.Fatalf("line %q: word %q", line, word)
			}
		}
		e.ID, e.Severity = ids.Next(e.OccurredAt), e.Type.Severity()
		seqs[e.Run]++
		e.Seq = seqs[e.Run]
		failure := &timeline.Error{Class: timeline.ClassRetryable, Kind: "http_503", Message: "service unavailable", Code: "503", HTTPStatus: 503, Fingerprint: "fp1:abc"}
		switch e.Type {
		case timeline.AttemptStarted:
			attempts[e.Run]++
		case timeline.AttemptSuccess:
			e.Duration = timeline.Millis(40 * time.Millisecond)
		case timeline.AttemptFailed:
			e.Duration, e.Error = timeline.Millis(20*time.Millisecond), failure
		case timeline.TaskRetried:
			e.Retry = &timeline.Retry{NextAttempt: e.Attempt + 1, Delay: timeline.Millis(time.Second), Reason: timeline.RetryBackoff}
		case timeline.CircuitBreakerOpened:
			e.Breaker = &timeline.Breaker{Provider: task.Provider, State: timeline.BreakerOpen, Why: "failure_rate", Calls: 10, Failures: 6, OpenUntil: start.Add(30 * time.Second)}
		case timeline.TaskFailed:
			e.Attempts, e.Reason = attempts[e.Run], timeline.FailExhausted
			if attempts[e.Run] > 0 {
				e.Error = failure
			}
		case timeline.MovedToDLQ:
			e.Attempts, e.Reason, letter = attempts[e.Run], timeline.FailExhausted, e.Run
			if attempts[e.Run] > 0 {
				e.Error = failure
			}
			e.DeadLetter = &timeline.DeadLetterRef{ID: timeline.DeadLetterID(task.Namespace, task.ID, e.Run), AlertSeverity: timeline.AlertHigh, Requeueable: true}
		case timeline.TaskCompleted:
			e.Attempts, e.Duration, e.Output = attempts[e.Run], timeline.Millis(60*time.Millisecond), timeline.Payload(`{"ok":true}`)
		case timeline.DLQRetryRequested:
			// An operator's: no agent counted it.
			e.SourceID, e.SourceSeq, e.Seq = "", 0, 0
			seqs[e.Run]--
			e.DeadLetter = &timeline.DeadLetterRef{ID: timeline.DeadLetterID(task.Namespace, task.ID, letter)}
			e.Operator = &timeline.Operator{Actor: "ada", Reason: "fixed"}
		case timeline.DLQResolved, timeline.DLQDiscarded:
			e.DeadLetter = &timeline.DeadLetterRef{ID: timeline.DeadLetterID(task.Namespace, task.ID, letter)}
		case timeline.TaskCreated:
			e.Input, e.Metadata = timeline.Payload(`{"to":"someone"}`), map[string]string{"k": "v", timeline.PaymentReference: "INV-7"}
		}
		events = append(events, e)
	}
	return events
}

// everyLife makes one task of each life; the task's id is the life's name.
func everyLife(tb testing.TB) map[string][]timeline.Event {
	tb.Helper()
	all := lives(tb)
	out := make(map[string][]timeline.Event, len(all))
	for i, name := range slices.Sorted(maps.Keys(all)) {
		out[name] = live(tb, timeline.Task{
			Namespace: "default", ID: name, Type: "payment", Queue: []string{"a", "b"}[i%2], Runner: "asynq", Agent: "worker-1",
			Provider: "bank", UserID: "user-" + strconv.Itoa(i%3), Amount: "12.50", Currency: "EUR", MaxAttempts: 2,
		}, all[name])
	}
	return out
}

// frame packs events as a collector's log holds them.
func frame(events ...timeline.Event) []byte {
	records := make([][]byte, len(events))
	for i := range events {
		records[i] = wire.AppendLogRecord(nil, &events[i])
	}
	return wire.AppendFrame(nil, wire.Envelope{IngestedAt: time.Now(), Namespace: "default"},
		wire.AppendExportRequest(nil, wire.Resource{}, records))
}

var batches atomic.Int64

// write sends events as one batch with a token of its own.
func write(tb testing.TB, s *store.Store, events ...timeline.Event) {
	tb.Helper()
	if err := s.WriteFrames(tb.Context(), fmt.Sprint("batch-", batches.Add(1)), [][]byte{frame(events...)}); err != nil {
		tb.Fatal(err)
	}
}

func flatten(byTask map[string][]timeline.Event) []timeline.Event {
	var all []timeline.Event
	for _, name := range slices.Sorted(maps.Keys(byTask)) {
		all = append(all, byTask[name]...)
	}
	return all
}

// asJSON compares what matters to readers, without the time of ingestion.
func asJSON(tb testing.TB, v any) string {
	tb.Helper()
	if events, ok := v.([]timeline.Event); ok {
		events = slices.Clone(events)
		for i := range events {
			events[i].IngestedAt = time.Time{}
		}
		v = events
	}
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

// checkFolds holds what the store answers against the folds of the events.
func checkFolds(t *testing.T, s *store.Store, want map[string][]timeline.Event) {
	t.Helper()
	ctx := t.Context()
	states := map[timeline.State]int64{}
	var letters []timeline.DeadLetter
	for name, events := range want {
		got, err := s.Timeline(ctx, everything, name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if g, w := asJSON(t, got), asJSON(t, timeline.Ordered(events)); g != w {
			t.Errorf("%s: timeline\n got %s\nwant %s", name, g, w)
		}
		wantSnap, _ := timeline.Fold(events)
		states[wantSnap.State]++
		snap, err := s.Task(ctx, everything, name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if g, w := asJSON(t, snap), asJSON(t, wantSnap); g != w {
			t.Errorf("%s: task\n got %s\nwant %s", name, g, w)
		}
		for _, d := range timeline.FoldDeadLetters(events) {
			letters = append(letters, d)
			full, err := s.DeadLetter(ctx, everything, d.ID)
			if err != nil {
				t.Fatalf("%s: dead letter of run %d: %v", name, d.Run, err)
			}
			if full.Status != d.Status || len(full.Attempts) != len(d.Attempts) || full.NextRun != d.NextRun || len(full.Input) == 0 {
				t.Errorf("%s: dead letter %s", name, asJSON(t, full))
			}
		}
	}
	for _, state := range timeline.States() {
		list, err := s.Tasks(ctx, everything, readmodel.TaskFilter{States: []timeline.State{state}}, readmodel.Page{Limit: 200})
		if err != nil {
			t.Fatal(err)
		}
		if int64(len(list.Rows)) != states[state] {
			t.Errorf("%d tasks are %s, want %d", len(list.Rows), state, states[state])
		}
	}
	byStatus := map[timeline.DeadLetterStatus]int{}
	for _, d := range letters {
		byStatus[d.Status]++
	}
	for _, status := range []timeline.DeadLetterStatus{timeline.DeadLetterPending, timeline.DeadLetterRetrying, timeline.DeadLetterResolved, timeline.DeadLetterSuperseded, timeline.DeadLetterDiscarded} {
		list, err := s.DeadLetters(ctx, everything, readmodel.DeadLetterFilter{Statuses: []timeline.DeadLetterStatus{status}}, readmodel.Page{Limit: 200})
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Rows) != byStatus[status] {
			t.Errorf("%d dead letters are %s, want %d", len(list.Rows), status, byStatus[status])
		}
	}
	h, err := s.Health(ctx, everything, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for state, n := range states {
		if h.Tasks[state] != n {
			t.Errorf("health: %d tasks %s, want %d", h.Tasks[state], state, n)
		}
	}
	if h.DeadLetters != int64(byStatus[timeline.DeadLetterPending]) {
		t.Errorf("health: %d dead letters, want %d", h.DeadLetters, byStatus[timeline.DeadLetterPending])
	}
	var attempts, failed, completed, lost int64
	for _, events := range want {
		for _, e := range timeline.Ordered(events) {
			switch e.Type {
			case timeline.AttemptSuccess, timeline.AttemptFailed:
				attempts++
			case timeline.TaskFailed:
				failed++
			case timeline.TaskCompleted:
				completed++
			case timeline.TaskLost:
				lost++
			}
		}
	}
	if h.Execution.Count != attempts || h.Failed != failed || h.Completed != completed || h.Lost != lost {
		t.Errorf("health: attempts %d failed %d completed %d lost %d, want %d %d %d %d",
			h.Execution.Count, h.Failed, h.Completed, h.Lost, attempts, failed, completed, lost)
	}
}

func TestEveryLifeFoldsAsItsEvents(t *testing.T) {
	s := open(t)
	want := everyLife(t)
	write(t, s, flatten(want)...)
	checkFolds(t, s, want)
}

func TestRepeatsAndDisorderChangeNothing(t *testing.T) {
	s := open(t)
	want := everyLife(t)
	all := flatten(want)
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for chunk := range slices.Chunk(all, 7) {
		write(t, s, chunk...)
	}
	// Another collector took the same events: other batches, other tokens.
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for chunk := range slices.Chunk(all, 11) {
		write(t, s, chunk...)
	}
	checkFolds(t, s, want)
}

func TestABatchWrittenTwiceIsThereOnce(t *testing.T) {
	s := open(t)
	want := everyLife(t)
	frames := [][]byte{frame(flatten(want)...)}
	for range 3 {
		if err := s.WriteFrames(context.Background(), "log:0-100", frames); err != nil {
			t.Fatal(err)
		}
	}
	checkFolds(t, s, want)
	for table, n := range s.CountRows(t) {
		if n == 0 && table != "gaps" {
			t.Errorf("%s is empty", table)
		}
	}
	total := uint64(len(flatten(want)))
	if n := s.CountRows(t)["events"]; n != total {
		t.Errorf("%d rows in events, want %d", n, total)
	}
}
