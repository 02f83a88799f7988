package breaker

import (
	"sync"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

func TestClosedOpensOnFailureRate(t *testing.T) {
	b, c, _ := start(t, Config{ConsecutiveFailures: -1})
	// Nine calls, all but one failed, are too few for a rate.
	mustAcquire(t, b, c).Success(0)
	if change := fail(t, b, c, 8); change != nil {
		t.Fatalf("opened after nine calls: %+v", change)
	}
	change := fail(t, b, c, 1)
	if change == nil || change.Why != WhyFailureRate || change.Calls != 10 || change.Failures != 9 {
		t.Fatalf("the tenth call led to %+v", change)
	}
}

func TestClosedOpensExactlyAtTheRate(t *testing.T) {
	b, c, _ := start(t, Config{})
	for range 6 { // success and failure in turn: never two failures in a row
		mustAcquire(t, b, c).Success(0)
	}
	for i := range 6 {
		change := fail(t, b, c, 1)
		if opened := change != nil; opened != (i == 5) {
			t.Fatalf("failure %d of 6 beside 6 successes: %+v", i+1, change)
		}
		if i < 4 {
			b.cur.(*closed).consecutive.Store(0)
		}
	}
}

func TestClosedForgetsWhatLeftTheWindow(t *testing.T) {
	b, c, _ := start(t, Config{ConsecutiveFailures: -1})
	fail(t, b, c, 9)
	c.pass(9 * time.Second)
	if n := b.Snapshot(c.now).Calls; n != 9 {
		t.Fatalf("%d calls within the window, want 9", n)
	}
	c.pass(time.Second)
	if change := fail(t, b, c, 1); change != nil {
		t.Fatalf("calls older than the window opened it: %+v", change)
	}
	c.pass(time.Hour)
	if n := b.Snapshot(c.now).Calls; n != 0 {
		t.Fatalf("%d calls after an hour, want none", n)
	}
}

func TestClosedSuccessEndsARow(t *testing.T) {
	b, c, _ := start(t, Config{FailureRate: -1})
	for range 10 {
		fail(t, b, c, 4)
		mustAcquire(t, b, c).Success(0)
	}
	wantState(t, b, timeline.BreakerClosed)
	mustAcquire(t, b, c).Ignore(0)
	fail(t, b, c, 4)
	mustAcquire(t, b, c).Ignore(0) // says nothing, neither way
	if fail(t, b, c, 1) == nil {
		t.Fatal("five failures in a row did not open it")
	}
}

func TestClosedOpensOnSlowCalls(t *testing.T) {
	b, c, _ := start(t, Config{SlowCallRate: 0.5, SlowCallDuration: time.Second})
	for range 5 {
		mustAcquire(t, b, c).Success(time.Second - 1)
	}
	var change *StateChange
	for i := range 5 {
		if change != nil {
			t.Fatalf("opened by slow call %d: %+v", i, change)
		}
		change = mustAcquire(t, b, c).Success(time.Second)
	}
	if change == nil || change.Why != WhySlowCallRate || change.SlowCalls != 5 || change.Calls != 10 || change.Failures != 0 {
		t.Fatalf("five slow calls of ten led to %+v", change)
	}
}

func TestClosedIgnoredCallsAreNotCounted(t *testing.T) {
	b, c, _ := start(t, Config{})
	for range 100 {
		mustAcquire(t, b, c).Ignore(time.Hour)
	}
	if n := b.Snapshot(c.now).Calls; n != 0 {
		t.Fatalf("%d ignored calls were counted", n)
	}
}

func TestWindowCountsEveryCallOfMany(t *testing.T) {
	var w window
	w.init(10, time.Second, 0)
	const workers, calls = 8, 10000
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			for i := range calls {
				w.addSlow(time.Duration(i+worker)*100*time.Microsecond, oneCall|oneFailure)
			}
		})
	}
	wg.Wait()
	if n := w.counts(1001 * time.Millisecond); n.calls != workers*calls || n.failures != n.calls || n.slow != n.calls {
		t.Fatalf("%+v, want %d of each", n, workers*calls)
	}
}

func TestWindowTakesTimeThatGoesBack(t *testing.T) {
	var w window
	w.init(10, time.Second, 0)
	w.add(20*time.Second, oneCall)
	w.add(-time.Hour, oneCall)
	w.add(3*time.Second, oneCall)
	if n := w.counts(-time.Second); n.calls != 3 {
		t.Fatalf("%d calls, want 3", n.calls)
	}
}
