package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

func TestPagesGoForthAndBack(t *testing.T) {
	s := open(t)
	var all []timeline.Event
	for i := range 25 {
		id := fmt.Sprintf("task-%02d", i)
		events := live(t, timeline.Task{Namespace: "default", ID: id, Type: "mail", Queue: "q"}, lives(t)["permanent"])
		for j := range events {
			// Five tasks share each instant: the id must break the tie.
			events[j].OccurredAt = events[j].OccurredAt.Add(time.Duration(i/5) * time.Second)
		}
		all = append(all, events...)
	}
	write(t, s, all...)
	tasks := walk(t, func(p readmodel.Page) (readmodel.List[string], error) {
		l, err := s.Tasks(t.Context(), everything, readmodel.TaskFilter{Types: []string{"mail"}}, p)
		return mapList(l, func(x timeline.Snapshot) string { return x.ID }), err
	})
	if tasks[0] != "task-24" || tasks[24] != "task-00" {
		t.Errorf("order of tasks: %v", tasks)
	}
	walk(t, func(p readmodel.Page) (readmodel.List[string], error) {
		l, err := s.DeadLetters(t.Context(), everything, readmodel.DeadLetterFilter{Statuses: []timeline.DeadLetterStatus{timeline.DeadLetterPending}}, p)
		return mapList(l, func(x timeline.DeadLetter) string { return x.ID.String() }), err
	})
}

func mapList[A, B any](l readmodel.List[A], f func(A) B) readmodel.List[B] {
	out := readmodel.List[B]{Next: l.Next, Prev: l.Prev}
	for _, r := range l.Rows {
		out.Rows = append(out.Rows, f(r))
	}
	return out
}

// walk goes through a list of 25 rows to its end and back, and returns it.
func walk(t *testing.T, read func(readmodel.Page) (readmodel.List[string], error)) []string {
	t.Helper()
	var forth [][]string
	var rows []string
	page := readmodel.Page{Limit: 4}
	var last readmodel.List[string]
	for {
		l, err := read(page)
		if err != nil {
			t.Fatal(err)
		}
		if (l.Prev == nil) != (len(forth) == 0) {
			t.Errorf("page %d: Prev is %v", len(forth), l.Prev)
		}
		forth = append(forth, l.Rows)
		rows = append(rows, l.Rows...)
		last = l
		if l.Next == nil {
			break
		}
		page.After = l.Next
	}
	seen := map[string]bool{}
	for _, r := range rows {
		seen[r] = true
	}
	if len(rows) != 25 || len(seen) != 25 {
		t.Fatalf("%d rows, %d different, want 25", len(rows), len(seen))
	}
	for i := len(forth) - 2; i >= 0; i-- {
		if last.Prev == nil {
			t.Fatalf("no way back from page %d", i+1)
		}
		l, err := read(readmodel.Page{Limit: 4, After: last.Prev, Backwards: true})
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(l.Rows) != fmt.Sprint(forth[i]) || l.Next == nil {
			t.Fatalf("page %d going back: %v, want %v", i, l.Rows, forth[i])
		}
		last = l
	}
	if last.Prev != nil {
		t.Errorf("the first page has a page before it: %v", last.Prev)
	}
	return rows
}

func TestFiltersAndScopes(t *testing.T) {
	s := open(t)
	want := everyLife(t)
	write(t, s, flatten(want)...)
	ctx := t.Context()
	page := readmodel.Page{Limit: 200}
	count := func(scope readmodel.Scope, f readmodel.TaskFilter) int {
		t.Helper()
		l, err := s.Tasks(ctx, scope, f, page)
		if err != nil {
			t.Fatal(err)
		}
		return len(l.Rows)
	}
	nasty := `'; DROP TABLE events; --\` + "\t\n\x00\u20ac{x:String}%_"
	for _, c := range []struct {
		name string
		f    readmodel.TaskFilter
		want int
	}{
		{"all", readmodel.TaskFilter{}, 11},
		{"queue", readmodel.TaskFilter{Queues: []string{"a"}}, 6},
		{"two queues", readmodel.TaskFilter{Queues: []string{"a", "b", nasty}}, 11},
		{"type", readmodel.TaskFilter{Types: []string{"nope", nasty}}, 0},
		{"agent", readmodel.TaskFilter{Agents: []string{"worker-1"}, Providers: []string{"bank"}, Runners: []string{"asynq"}}, 11},
		{"user", readmodel.TaskFilter{UserID: "user-0"}, 4},
		{"text in id", readmodel.TaskFilter{Text: "THEN_SUCC"}, 1},
		{"text in error", readmodel.TaskFilter{Text: "Unavailable"}, 4},
		{"nasty text", readmodel.TaskFilter{Text: nasty}, 0},
		{"attempts", readmodel.TaskFilter{MinAttempts: 2}, 4},
		{"duration", readmodel.TaskFilter{MinDuration: 50 * time.Millisecond}, 6},
		{"updated", readmodel.TaskFilter{Updated: readmodel.Range{From: start.Add(time.Hour)}}, 0},
		{"active", readmodel.TaskFilter{Active: true}, 0},
		{"trace", readmodel.TaskFilter{TraceID: timeline.TraceID{1}}, 0},
		{"created", readmodel.TaskFilter{Created: readmodel.Range{From: start, To: start.Add(time.Second)}}, 11},
		{"created and updated", readmodel.TaskFilter{Created: readmodel.Range{To: start.Add(time.Second)}, Updated: readmodel.Range{From: start.Add(time.Hour)}}, 0},
		{"error text", readmodel.TaskFilter{ErrorText: "UNAVAILABLE"}, 4},
		{"error text that an id has", readmodel.TaskFilter{ErrorText: "THEN_SUCC"}, 0},
		{"severity", readmodel.TaskFilter{Severities: []timeline.AlertSeverity{timeline.AlertHigh}}, 4},
		{"another severity", readmodel.TaskFilter{Severities: []timeline.AlertSeverity{timeline.AlertCritical}}, 0},
		{"reason", readmodel.TaskFilter{Reasons: []timeline.FailureReason{timeline.FailExhausted}}, 4},
		{"another reason", readmodel.TaskFilter{Reasons: []timeline.FailureReason{timeline.FailPoison}}, 0},
		{"fingerprint", readmodel.TaskFilter{Fingerprints: []string{"fp1:abc"}}, 4},
		{"another fingerprint", readmodel.TaskFilter{Fingerprints: []string{"fp1:nope", nasty}}, 0},
		{"at most", readmodel.TaskFilter{MaxDuration: 59 * time.Millisecond}, -1},
		{"between", readmodel.TaskFilter{MinDuration: 60 * time.Millisecond, MaxDuration: 60 * time.Millisecond}, 6},
	} {
		if c.want < 0 {
			c.want = 0
			for _, events := range want {
				if snap, _ := timeline.Fold(events); c.f.Matches(&snap, events) {
					c.want++
				}
			}
		}
		if got := count(everything, c.f); got != c.want {
			t.Errorf("%s: %d tasks, want %d", c.name, got, c.want)
		}
	}
	one := readmodel.Scope{Namespace: "default", UserID: "user-0"}
	if got := count(one, readmodel.TaskFilter{}); got != 4 {
		t.Errorf("a user sees %d tasks, want 4", got)
	}
	if got := count(one, readmodel.TaskFilter{UserID: "user-1"}); got != 0 {
		t.Errorf("a user sees %d tasks of another", got)
	}
	if got := count(readmodel.Scope{Namespace: "other"}, readmodel.TaskFilter{}); got != 0 {
		t.Errorf("another namespace sees %d tasks", got)
	}
	for name, events := range want {
		_, err := s.Timeline(ctx, one, name)
		if mine := events[0].UserID == "user-0"; mine != (err == nil) || !mine && !errors.Is(err, readmodel.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
		for _, d := range timeline.FoldDeadLetters(events) {
			if _, err := s.DeadLetter(ctx, one, d.ID); (events[0].UserID == "user-0") != (err == nil) {
				t.Errorf("dead letter of %s: %v", name, err)
			}
		}
	}
	letters, err := s.DeadLetters(ctx, one, readmodel.DeadLetterFilter{}, page)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range letters.Rows {
		if d.UserID != "user-0" {
			t.Errorf("a user sees the dead letter of %s", d.UserID)
		}
	}
	for name, f := range map[string]readmodel.DeadLetterFilter{
		"severity":    {Severities: []timeline.AlertSeverity{timeline.AlertHigh}},
		"reason":      {Reasons: []timeline.FailureReason{timeline.FailExhausted}},
		"queues":      {Queues: []string{"a", "b"}, Types: []string{"payment"}, Agents: []string{"worker-1"}, Providers: []string{"bank"}},
		"created":     {Created: readmodel.Range{From: start, To: start.Add(time.Minute)}},
		"everything":  {},
		"fingerprint": {Fingerprints: []string{"fp1:abc"}},
	} {
		l, err := s.DeadLetters(ctx, everything, f, page)
		if err != nil {
			t.Fatal(err)
		}
		n := 6
		if name == "fingerprint" {
			n = 5 // one arrived at an open breaker and has no error
		}
		if len(l.Rows) != n {
			t.Errorf("%s: %d dead letters, want %d", name, len(l.Rows), n)
		}
	}
	if l, err := s.DeadLetters(ctx, everything, readmodel.DeadLetterFilter{Text: nasty}, page); err != nil || len(l.Rows) != 0 {
		t.Errorf("nasty text: %d dead letters, %v", len(l.Rows), err)
	}
	if _, err := s.Timeline(ctx, everything, nasty); !errors.Is(err, readmodel.ErrNotFound) {
		t.Errorf("nasty id: %v", err)
	}
	if _, err := s.DeadLetter(ctx, everything, timeline.ID{1}); !errors.Is(err, readmodel.ErrNotFound) {
		t.Errorf("unknown dead letter: %v", err)
	}
}

func TestErrorsAreGroupedByFingerprint(t *testing.T) {
	s := open(t)
	want := everyLife(t)
	write(t, s, flatten(want)...)
	write(t, s, flatten(want)...)
	l, err := s.Errors(t.Context(), everything, readmodel.ErrorFilter{Seen: readmodel.Range{From: start.Add(-time.Minute)}}, readmodel.Page{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Rows) != 1 {
		t.Fatalf("%d groups", len(l.Rows))
	}
	var attempts, letters int64
	for _, e := range flatten(want) {
		if e.Error != nil && e.Type == timeline.AttemptFailed {
			attempts++
		}
		if e.Error != nil && e.Type == timeline.MovedToDLQ {
			letters++
		}
	}
	g := l.Rows[0]
	if g.Count != attempts || g.DeadLetters != letters || g.Fingerprint != "fp1:abc" || g.Sample.Kind != "http_503" ||
		g.Sample.HTTPStatus != 503 || fmt.Sprint(g.Queues) != "[a b]" || g.FirstSeen.IsZero() || g.SampleTask == "" {
		t.Errorf("%s, want %d attempts and %d letters", asJSON(t, g), attempts, letters)
	}
	var over, byType, byTypeLetters int64
	for _, n := range g.Counts {
		over += n
	}
	for _, c := range g.ByType {
		byType, byTypeLetters = byType+c.Count, byTypeLetters+c.DeadLetters
	}
	if len(g.Counts) != readmodel.ErrorBuckets || over != attempts || byType != attempts || byTypeLetters != letters || len(g.ByType) != 2 {
		t.Errorf("over time %v, by type %+v", g.Counts, g.ByType)
	}
	one, err := s.Errors(t.Context(), readmodel.Scope{Namespace: "default", UserID: "nobody"}, readmodel.ErrorFilter{}, readmodel.Page{Limit: 10})
	if err != nil || len(one.Rows) != 0 {
		t.Errorf("nobody sees %d groups, %v", len(one.Rows), err)
	}
	for _, c := range []struct {
		filter readmodel.ErrorFilter
		want   int
	}{
		{readmodel.ErrorFilter{Among: []string{"fp1:abc", "fp1:other"}}, 1}, {readmodel.ErrorFilter{Among: []string{"fp1:other"}}, 0},
		{readmodel.ErrorFilter{Among: []string{}}, 0}, {readmodel.ErrorFilter{Without: []string{"fp1:other"}}, 1}, {readmodel.ErrorFilter{Without: []string{"fp1:abc"}}, 0},
	} {
		if l, err := s.Errors(t.Context(), everything, c.filter, readmodel.Page{Limit: 10}); err != nil || len(l.Rows) != c.want {
			t.Errorf("%+v: %d groups, %v", c.filter, len(l.Rows), err)
		}
	}
}

func TestUnansweredRetries(t *testing.T) {
	s := open(t)
	script := lives(t)["manual_retry_succeeds"]
	answered := live(t, timeline.Task{Namespace: "default", ID: "answered"}, script)
	unanswered := live(t, timeline.Task{Namespace: "default", ID: "unanswered"}, script[:7])
	write(t, s, append(answered, unanswered...)...)
	write(t, s, unanswered...)
	got, err := s.UnansweredRetries(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Task.ID != "unanswered" || got[0].Run != 2 || got[0].Type != timeline.DLQRetryRequested ||
		got[0].Operator == nil || got[0].Namespace != "default" {
		t.Errorf("got %s", asJSON(t, got))
	}
	if got, err := s.UnansweredRetries(t.Context(), time.Hour); err != nil || len(got) != 0 {
		t.Errorf("%d older than an hour, %v", len(got), err)
	}
	letters, err := s.DeadLetters(t.Context(), everything, readmodel.DeadLetterFilter{Statuses: []timeline.DeadLetterStatus{timeline.DeadLetterRetrying}}, readmodel.Page{Limit: 10})
	if err != nil || len(letters.Rows) != 1 || letters.Rows[0].NextRun != 2 {
		t.Errorf("retrying: %d, %v", len(letters.Rows), err)
	}
}

func TestBreakersShowWhileTheyAreBelieved(t *testing.T) {
	s := open(t)
	write(t, s, flatten(everyLife(t))...)
	h, err := s.Health(t.Context(), everything, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if len(h.ActiveBreakers) != 1 || h.ActiveBreakers[0].Provider != "bank" || h.ActiveBreakers[0].State != timeline.BreakerOpen ||
		h.ActiveBreakers[0].Failures != 6 || !h.ActiveBreakers[0].OpenUntil.Equal(start.Add(30*time.Second)) {
		t.Fatalf("breakers: %s", asJSON(t, h.ActiveBreakers))
	}
	one, err := s.Health(t.Context(), readmodel.Scope{Namespace: "default", UserID: "user-1"}, time.Hour)
	if err != nil || len(one.ActiveBreakers) != 0 || len(one.Queues) != 0 {
		t.Errorf("a user's health: %s, %v", asJSON(t, one), err)
	}
	closed := live(t, timeline.Task{Namespace: "default", ID: "closes", Provider: "bank"}, []string{"r1 a1 circuit_breaker_closed"})
	closed[0].OccurredAt, closed[0].SourceSeq = start.Add(10*time.Second), 1000
	old := live(t, timeline.Task{Namespace: "default", ID: "old", Provider: "gone"}, []string{"r1 a1 circuit_breaker_opened"})
	old[0].OccurredAt = start.Add(-time.Hour)
	old[0].Breaker = &timeline.Breaker{Provider: "gone", State: timeline.BreakerOpen, OpenUntil: start.Add(-59 * time.Minute)}
	write(t, s, closed[0], old[0])
	h, err = s.Health(t.Context(), everything, time.Hour)
	if err != nil || len(h.ActiveBreakers) != 0 {
		t.Errorf("breakers: %s, %v", asJSON(t, h.ActiveBreakers), err)
	}
}
