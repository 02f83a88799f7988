package sidecar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/internal/spool"
	"github.com/tasktrail/tasktrail/timeline"
)

func testQueue(t testing.TB, dir string, change func(*queueConfig)) *queue {
	t.Helper()
	cfg := queueConfig{
		dir: dir, maxTasks: 100_000, maxEnded: 100_000, maxBytes: 1 << 30, keepDone: time.Hour, keepFault: time.Hour,
		logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	q, err := openQueue(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		q.stop()
		if err := q.log.Close(); err != nil && !errors.Is(err, spool.ErrClosed) {
			t.Errorf("close the queue: %v", err)
		}
	})
	return q
}

func put(t testing.TB, q *queue, id string, sp *spec) *entry {
	t.Helper()
	if sp == nil {
		sp = &spec{Type: "t", Queue: "q", CreatedAt: time.Now()}
	}
	if known, err := q.accept(t.Context(), id, sp); err != nil || known {
		t.Fatalf("accept %s: known %v, %v", id, known, err)
	}
	q.ready(id)
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.tasks[id]
}

func taken(t testing.TB, q *queue) *entry {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
	defer stop()
	e := q.next(ctx)
	if e == nil {
		t.Fatal("nothing is due")
	}
	return e
}

func finish(t testing.TB, q *queue, e *entry, s timeline.State) {
	t.Helper()
	if err := q.finish(t.Context(), e, &outcome{State: s, At: time.Now()}); err != nil {
		t.Fatal(err)
	}
}

func TestThoseSomebodyWaitsForGoFirst(t *testing.T) {
	q := testQueue(t, t.TempDir(), nil)
	for i := range 3 {
		put(t, q, fmt.Sprint("async", i), nil)
	}
	put(t, q, "sync", &spec{Type: "t", Queue: "q", Sync: true, CreatedAt: time.Now()})
	var order []string
	for range 4 {
		order = append(order, taken(t, q).id)
	}
	if got := strings.Join(order, " "); got != "sync async0 async1 async2" {
		t.Errorf("the order is %s", got)
	}
}

func TestBoundsOfTheQueue(t *testing.T) {
	q := testQueue(t, t.TempDir(), func(c *queueConfig) { c.maxTasks, c.maxEnded, c.maxBytes = 3, 2, 8*segmentBytes })
	for i := range 3 {
		put(t, q, fmt.Sprint(i), nil)
	}
	if _, err := q.accept(t.Context(), "more", &spec{Type: "t", Queue: "q"}); !errors.Is(err, errFull) {
		t.Errorf("a fourth of three: %v", err)
	}
	for range 3 {
		finish(t, q, taken(t, q), timeline.StateCompleted)
	}
	if q.tasks["0"] != nil || q.tasks["1"] == nil || q.tasks["2"] == nil {
		t.Error("want the two that ended last to be remembered")
	}
	// Failed tasks are kept for their retries: new ones find no room.
	large := &spec{Type: "t", Queue: "q", Input: timeline.Payload(`"` + strings.Repeat("x", 4<<20) + `"`)}
	var err error
	n := 0
	for ; err == nil && n < 20; n++ {
		if _, err = q.accept(t.Context(), fmt.Sprint("large", n), large); err == nil {
			q.ready(fmt.Sprint("large", n))
			q.cfg.maxEnded = 100
			finish(t, q, taken(t, q), timeline.StateFailed)
		}
	}
	if !errors.Is(err, errNoDisk) || n > 9 {
		t.Errorf("after %d: %v, want no room within half of the log", n, err)
	}
	for i := range timeline.MaxLiveQueues {
		_, _, err = q.intern(fmt.Sprint("queue", i))
	}
	if !errors.Is(err, errQueues) {
		t.Errorf("a thousand queues: %v", err)
	}
}

// Whatever happens to tasks, and however often the log is compacted or read again
// meanwhile, what is known of them is what happened.
func TestCompactionAndRestartsLoseNothing(t *testing.T) {
	dir := t.TempDir()
	q := testQueue(t, dir, nil)
	rng := rand.New(rand.NewPCG(1, 2))
	type fact struct {
		state entryState
		run   int
		input string
		// cancelled: a cancel waits for its effect.
		cancelled bool
	}
	facts := map[string]fact{}
	check := func(when string) {
		t.Helper()
		var b spool.Batch
		var r record
		for id, want := range facts {
			e := q.tasks[id]
			if e == nil || int(e.run) != want.run {
				t.Fatalf("%s: %s is %+v, want %+v", when, id, e, want)
			}
			if e.state != want.state && !(want.state == stateWaiting && e.state == stateRetrying) {
				t.Fatalf("%s: %s is %v, want %v", when, id, e.state.public(), want.state.public())
			}
			if want.state != stateCompleted {
				if err := q.read(e, taskPlace, opTask, &b, &r); err != nil || string(r.Spec.Input) != want.input {
					t.Fatalf("%s: %s: input %.20q, %v", when, id, r.Spec.Input, err)
				}
			}
			if want.state.ended() {
				if err := q.read(e, endPlace, opEnd, &b, &r); err != nil || r.End.Error != id {
					t.Fatalf("%s: %s: end %+v, %v", when, id, r.End, err)
				}
			}
		}
		var live int64
		open := 0
		for _, e := range q.tasks {
			live += e.bytes()
			if !e.state.ended() {
				open++
			}
			if by, ok := q.cancelOf(e); ok != facts[e.id].cancelled || ok && by.Reason != e.id {
				t.Fatalf("%s: %s: cancelled %v by %+v, want %v", when, e.id, ok, by, facts[e.id].cancelled)
			}
		}
		for _, c := range q.cancels {
			live += int64(c.at.size)
		}
		if live != q.live || open != q.open || len(q.tasks) != len(facts) {
			t.Fatalf("%s: %d bytes and %d open counted, %d and %d there; %d tasks, want %d", when, q.live, q.open, live, open, len(q.tasks), len(facts))
		}
	}
	end := func(id string, s timeline.State) {
		e := q.tasks[id]
		q.mu.Lock()
		q.heapOf(e).remove(e)
		q.mu.Unlock()
		if err := q.finish(t.Context(), e, &outcome{State: s, Error: id, At: time.Now()}); err != nil {
			t.Fatal(err)
		}
		f := facts[id]
		f.state, f.cancelled = stateOf(s), false
		facts[id] = f
	}
	for n := range 1500 {
		id := fmt.Sprint("t", rng.IntN(200))
		f, known := facts[id]
		switch {
		case !known:
			f = fact{state: stateWaiting, run: 1, input: fmt.Sprintf(`"%d %s"`, n, strings.Repeat("x", rng.IntN(40_000)))}
			put(t, q, id, &spec{Type: "t", Queue: "q", Input: timeline.Payload(f.input), CreatedAt: time.Now()})
			facts[id] = f
		case f.state == stateWaiting && rng.IntN(4) == 0:
			if err := q.cancel(t.Context(), id, f.run, timeline.Operator{Actor: "a", Reason: id}); err != nil {
				t.Fatal(err)
			}
			f.cancelled = true
			facts[id] = f
		case f.state == stateWaiting && rng.IntN(3) > 0:
			e := q.tasks[id]
			q.mu.Lock()
			q.heapOf(e).remove(e)
			q.mu.Unlock()
			q.again(e, time.Hour, nil, nil)
		case f.state == stateWaiting:
			end(id, []timeline.State{timeline.StateCompleted, timeline.StateFailed, timeline.StateCancelled}[rng.IntN(3)])
		case f.state == stateFailed || f.state == stateCancelled:
			f = fact{state: stateWaiting, run: f.run + 1, input: fmt.Sprintf(`"%d"`, n)}
			if err := q.restart(t.Context(), id, f.run, &spec{Type: "t", Queue: "q", Input: timeline.Payload(f.input)}); err != nil {
				t.Fatal(err)
			}
			facts[id] = f
		}
		switch {
		case n%150 == 100:
			if err := q.compact(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			check("after a compaction")
		case n%190 == 120:
			q.stop()
			if err := q.log.Close(); err != nil {
				t.Fatal(err)
			}
			q = testQueue(t, dir, nil)
			check("after a restart")
		}
	}
	check("at the end")
	if q.stats.copied == 0 {
		t.Error("compaction copied nothing")
	}
}

// A task that was forgotten does not come back, whichever of its records
// compaction turned over first.
func TestWhatIsForgottenDoesNotRunAgain(t *testing.T) {
	dir := t.TempDir()
	q := testQueue(t, dir, nil)
	put(t, q, "old", nil)
	finish(t, q, taken(t, q), timeline.StateFailed)
	put(t, q, "other", nil)
	if err := q.compact(t.Context(), true); err != nil { // the record of the task now stands behind that of its end
		t.Fatal(err)
	}
	q.mu.Lock()
	q.cfg.keepFault = 0
	q.trim(time.Now())
	q.mu.Unlock()
	var b spool.Batch
	var r record
	at := q.cursor.Position()
	for range 2 { // as much of the log as holds the end and not the task
		if err := q.turnOver(t.Context(), at, at+1, &b, &r); err != nil {
			t.Fatal(err)
		}
		at = q.cursor.Position()
	}
	q.stop()
	if err := q.log.Close(); err != nil {
		t.Fatal(err)
	}
	q = testQueue(t, dir, nil)
	if e := q.tasks["old"]; e != nil {
		t.Errorf("it is back, %v", e.state.public())
	}
	if e := q.tasks["other"]; e == nil || e.state != stateWaiting {
		t.Errorf("the other is %+v", e)
	}
}

// A wait that was written down by a clock two hours ahead is no longer than it was.
func TestAClockThatIsSetBackPutsNothingOff(t *testing.T) {
	dir := t.TempDir()
	q := testQueue(t, dir, nil)
	q.began = q.began.Add(2 * time.Hour)
	put(t, q, "soon", nil)
	put(t, q, "later", nil)
	for _, delay := range []time.Duration{10 * time.Millisecond, time.Hour} { // in the order of put
		q.again(taken(t, q), delay, nil, nil)
	}
	q.stop()
	if err := q.log.Close(); err != nil {
		t.Fatal(err)
	}
	q = testQueue(t, dir, nil)
	if e := taken(t, q); e.id != "soon" {
		t.Errorf("%s had its turn", e.id)
	}
	if left := time.Until(time.Unix(0, q.tasks["later"].due)); left < 50*time.Minute || left > time.Hour {
		t.Errorf("the other waits for %v, want an hour", left)
	}
}

func TestASecondSidecarOnTheSameDirectorySaysSo(t *testing.T) {
	dir := t.TempDir()
	testQueue(t, dir, nil)
	if _, err := openQueue(queueConfig{dir: dir, maxBytes: 1 << 30, logger: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "another tasktrail agent") {
		t.Errorf("%v", err)
	}
}

func FuzzRecord(f *testing.F) {
	r := record{Op: opTask, ID: "x", Run: 1, Spec: &spec{Type: "t", Queue: "q", Timeout: time.Second}}
	b, err := r.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"op":"end","id":"x","run":1,"end":{"state":"failed"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r record
		if r.decode(b) != nil {
			return
		}
		q := &queue{tasks: map[string]*entry{}, names: map[string]string{}, depth: map[string]int{}, cfg: queueConfig{logger: slog.New(slog.DiscardHandler), maxEnded: 1}}
		q.fold(&r, place{at: 1, seq: 1, size: 1})
		q.settleReplay(time.Now())
		if _, err := r.encode(); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
	})
}

func FuzzTaskRequest(f *testing.F) {
	f.Add([]byte(`{"task_id":"x","type":"t","callback_url":"http://a/","input":{"n":1},"timeout":"30s","deadline":"2026-01-31T12:00:00Z"}`))
	f.Add([]byte(`{"task_id":"x","type":"t","timeout":1e9}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		id, s, err := parseTask(b, time.Now())
		if err != nil {
			if p := asProblem(err); p.Code == codeInternal {
				t.Fatalf("%q: %v is no fault of the caller", b, err)
			}
			return
		}
		r := record{Op: opTask, ID: id, Run: 1, Spec: s}
		frame, err := r.encode()
		if err != nil {
			t.Fatalf("%q: accepted and not written: %v", b, err)
		}
		var back record
		if err := back.decode(frame); err != nil || back.ID != id || back.Spec.Type != s.Type || back.Spec.Timeout != s.Timeout {
			t.Fatalf("%q: written as %s, read as %+v, %v", b, frame, back.Spec, err)
		}
	})
}
