package timeline_test

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tasktrail/tasktrail/timeline"
)

var birth = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// elsewhere are the types an agent does not write: they carry no sequence.
var elsewhere = map[timeline.Type]bool{
	timeline.DLQRetryRequested: true, timeline.CancelRequested: true, timeline.TaskLost: true,
	timeline.DLQResolved: true, timeline.DLQDiscarded: true,
}

// life builds events from words such as "r1 a1 attempt_failed", step apart.
func life(t testing.TB, step time.Duration, words ...string) []timeline.Event {
	t.Helper()
	var out []timeline.Event
	seq := map[int]uint64{}
	begun := map[int]int{}
	for i, w := range words {
		e := timeline.Event{ID: timeline.DeriveID("test", w, fmt.Sprint(i)), Task: timeline.Task{Namespace: "default", ID: "t1", Type: "payment"},
			OccurredAt: birth.Add(time.Duration(i) * step)}
		for _, part := range strings.Fields(w) {
			switch {
			case part[0] == 'r' && len(part) == 2:
				e.Run = int(part[1] - '0')
			case part[0] == 'a' && len(part) == 2:
				e.Attempt = int(part[1] - '0')
			default:
				typ, ok := timeline.ParseType(part)
				if !ok {
					t.Fatalf("%q is not a type", part)
				}
				e.Type, e.Severity = typ, typ.Severity()
			}
		}
		if !elsewhere[e.Type] {
			seq[e.Run]++
			e.Seq, e.SourceID = seq[e.Run], "source"
		}
		switch e.Type {
		case timeline.AttemptStarted:
			begun[e.Run] = max(begun[e.Run], e.Attempt)
		case timeline.AttemptFailed:
			e.Error = &timeline.Error{Kind: "http_503", Message: fmt.Sprintf("r%d a%d", e.Run, e.Attempt)}
			e.Duration = timeline.Millis(step)
		case timeline.TaskRetried:
			e.Retry = &timeline.Retry{NextAttempt: e.Attempt + 1, Delay: timeline.Millis(time.Second), Reason: timeline.RetryBackoff}
		case timeline.TaskLost, timeline.TaskCompleted:
			e.Attempts = begun[e.Run]
		case timeline.TaskFailed:
			e.Reason, e.Attempts = timeline.FailExhausted, begun[e.Run]
		case timeline.MovedToDLQ:
			e.Reason = timeline.FailExhausted
			e.DeadLetter = &timeline.DeadLetterRef{ID: timeline.DeadLetterID("default", "t1", e.Run), AlertSeverity: timeline.AlertHigh}
		case timeline.DLQResolved, timeline.DLQRetryRequested, timeline.DLQDiscarded:
			r := max(e.Run-1, 1)
			if e.Type == timeline.DLQDiscarded {
				r = e.Run
			}
			e.DeadLetter = &timeline.DeadLetterRef{ID: timeline.DeadLetterID("default", "t1", r)}
		}
		out = append(out, e)
	}
	return out
}

func words(events []timeline.Event) []string {
	var out []string
	for _, e := range events {
		w := fmt.Sprintf("r%d ", e.Run)
		if e.Attempt > 0 {
			w += fmt.Sprintf("a%d ", e.Attempt)
		}
		out = append(out, w+e.Type.String())
	}
	return out
}

func lives(t testing.TB) map[string][]string {
	t.Helper()
	b, err := os.ReadFile("testdata/lives.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Lives map[string][]string }
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	return file.Lives
}

// What is folded from each of the usual lives: the state after every event, and
// at the end the attempts and the dead letters.
var folded = map[string]struct {
	states   string // one letter an event: pending, in_progress, retrying, completed, failed, canXelled, lost
	attempts string
	letters  string
}{
	"success":                          {"piiic", "r1a1 success", ""},
	"retry_then_success":               {"piiiriic", "r1a1 failed, r1a2 success", ""},
	"exhausted_after_2":                {"piiiriiff", "r1a1 failed, r1a2 failed", "r1 pending"},
	"permanent":                        {"piiiff", "r1a1 failed", "r1 pending"},
	"missing_callback":                 {"piiiff", "r1a1 failed", "r1 pending"},
	"trips_the_breaker":                {"piiiiff", "r1a1 failed", "r1 pending"},
	"arrives_while_open_then_recovers": {"piffriiicc", "r2a1 success", "r1 resolved by r2"},
	"manual_retry_succeeds":            {"piiiffrriiicc", "r1a1 failed, r2a1 success", "r1 resolved by r2"},
	"cancelled_while_running":          {"piiirx", "r1a1 aborted", ""},
	"worker_shut_down_then_resumed":    {"piiriic", "r1a1 aborted, r1a2 success", ""},
	"worker_died_then_resumed":         {"piiliic", "r1a1 lost, r1a2 success", ""},
}

func letter(s timeline.State) byte {
	if s == timeline.StateCancelled {
		return 'x'
	}
	return s[0]
}

func attemptWords(events []timeline.Event) string {
	var out []string
	for _, a := range timeline.FoldAttempts(events) {
		out = append(out, fmt.Sprintf("r%da%d %s", a.Run, a.Number, a.Outcome))
	}
	return strings.Join(out, ", ")
}

func letterWords(events []timeline.Event) string {
	var out []string
	for _, d := range timeline.FoldDeadLetters(events) {
		w := fmt.Sprintf("r%d %s", d.Run, d.Status)
		if d.NextRun > 0 {
			w += fmt.Sprintf(" by r%d", d.NextRun)
		}
		if !d.SupersededBy.IsZero() {
			w += " superseded"
		}
		out = append(out, w)
	}
	return strings.Join(out, ", ")
}

func TestLives(t *testing.T) {
	all := lives(t)
	if len(all) != len(folded) {
		t.Errorf("%d lives, %d are expected", len(all), len(folded))
	}
	for name, sequence := range all {
		t.Run(name, func(t *testing.T) {
			want, ok := folded[name]
			if !ok {
				t.Fatal("nothing is expected of this life")
			}
			events := life(t, time.Second, sequence...)
			if got := words(timeline.Ordered(events)); !slices.Equal(got, sequence) {
				t.Errorf("order %v", got)
			}
			var states []byte
			for n := range events {
				s, ok := timeline.Fold(events[:n+1])
				if !ok {
					t.Fatal("no snapshot")
				}
				states = append(states, letter(s.State))
			}
			if string(states) != want.states {
				t.Errorf("states %s, want %s", states, want.states)
			}
			if got := attemptWords(events); got != want.attempts {
				t.Errorf("attempts %q, want %q", got, want.attempts)
			}
			if got := letterWords(events); got != want.letters {
				t.Errorf("dead letters %q, want %q", got, want.letters)
			}
		})
	}
}

// Where a whole life falls into one instant of a coarse clock, the sequences
// still give its order. An operator's cancel has no place in that instant.
func TestLivesWithinOneInstant(t *testing.T) {
	for name, sequence := range lives(t) {
		if name == "cancelled_while_running" || name == "worker_died_then_resumed" {
			continue
		}
		events := life(t, 0, sequence...)
		slices.Reverse(events)
		if got := words(timeline.Ordered(events)); !slices.Equal(got, sequence) {
			t.Errorf("%s: order %v, want %v", name, got, sequence)
		}
	}
}

// Late, repeated and shuffled arrival gives the same fold.
func TestFoldsDoNotDependOnArrival(t *testing.T) {
	all := lives(t)
	var names []string
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	rapid.Check(t, func(rt *rapid.T) {
		sequence := all[rapid.SampledFrom(names).Draw(rt, "life")]
		step := rapid.SampledFrom([]time.Duration{0, time.Nanosecond, time.Second}).Draw(rt, "step")
		events := life(t, step, sequence...)
		arrived := rapid.Permutation(events).Draw(rt, "arrival")
		for range rapid.IntRange(0, 5).Draw(rt, "repeats") {
			arrived = append(arrived, rapid.SampledFrom(events).Draw(rt, "repeated"))
		}
		before := slices.Clone(arrived)

		wantSnapshot, _ := timeline.Fold(events)
		gotSnapshot, _ := timeline.Fold(arrived)
		if !reflect.DeepEqual(gotSnapshot, wantSnapshot) {
			rt.Fatalf("snapshot\n got %+v\nwant %+v", gotSnapshot, wantSnapshot)
		}
		if got, want := timeline.FoldAttempts(arrived), timeline.FoldAttempts(events); !reflect.DeepEqual(got, want) {
			rt.Fatalf("attempts\n got %+v\nwant %+v", got, want)
		}
		if got, want := timeline.FoldDeadLetters(arrived), timeline.FoldDeadLetters(events); !reflect.DeepEqual(got, want) {
			rt.Fatalf("dead letters\n got %+v\nwant %+v", got, want)
		}
		if got, want := timeline.Ordered(arrived), timeline.Ordered(events); !reflect.DeepEqual(got, want) {
			rt.Fatalf("order\n got %v\nwant %v", words(got), words(want))
		}
		if !reflect.DeepEqual(arrived, before) {
			rt.Fatal("the argument was changed")
		}
	})
}

// Compare must be a total order, whatever the events: antisymmetric and
// transitive, and equal only for the same event.
func TestCompareIsATotalOrder(t *testing.T) {
	event := rapid.Custom(func(t *rapid.T) timeline.Event {
		e := timeline.Event{
			Run: rapid.IntRange(1, 2).Draw(t, "run"), Attempt: rapid.IntRange(0, 2).Draw(t, "attempt"), Attempts: rapid.IntRange(0, 2).Draw(t, "attempts"),
			Seq: rapid.Uint64Range(0, 3).Draw(t, "seq"), SourceID: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "source"),
			Type:       rapid.SampledFrom(timeline.Types()).Draw(t, "type"),
			OccurredAt: birth.Add(time.Duration(rapid.IntRange(0, 1).Draw(t, "time"))),
		}
		e.ID[0] = rapid.Byte().Draw(t, "id")
		return e
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := event.Draw(t, "a"), event.Draw(t, "b"), event.Draw(t, "c")
		for name, compare := range map[string]func(a, b *timeline.Event) int{"Compare": timeline.Compare, "CompareState": timeline.CompareState} {
			if compare(&a, &b) != -compare(&b, &a) {
				t.Fatalf("%s is not antisymmetric", name)
			}
			if compare(&a, &b) <= 0 && compare(&b, &c) <= 0 && compare(&a, &c) > 0 {
				t.Fatalf("%s is not transitive", name)
			}
		}
		if timeline.Compare(&a, &b) == 0 && a.ID != b.ID {
			t.Fatal("two events compare equal")
		}
	})
}
