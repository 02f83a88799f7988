package breaker

import (
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

func TestHalfOpenReleasedProbeGoesToTheNext(t *testing.T) {
	b, c, changes := start(t, Config{})
	fail(t, b, c, 5)
	c.pass(30 * time.Second)
	first := mustAcquire(t, b, c)
	first.Ignore(time.Second)
	first.Ignore(time.Second) // twice is once
	second := mustAcquire(t, b, c)
	if !second.Probe() || second.HalfOpened() != nil {
		t.Fatalf("the second probe: %+v", second)
	}
	if change := first.Success(time.Second); change != nil {
		t.Fatalf("a permit that was given back led to %+v", change)
	}
	wantState(t, b, timeline.BreakerHalfOpen)
	if change := second.Failure(time.Second); change == nil || change.Why != WhyProbeFailed || change.Generation != 3 {
		t.Fatalf("the second probe's failure led to %+v", change)
	}
	if len(*changes) != 3 {
		t.Fatalf("changes %+v", *changes)
	}
}

func TestHalfOpenSlowProbeIsTooLate(t *testing.T) {
	b, c, _ := start(t, Config{ProbeTimeout: time.Second})
	fail(t, b, c, 5)
	c.pass(30 * time.Second)
	// Nobody noticed that it was overdue before it answered; it is all the same.
	if change := mustAcquire(t, b, c).Success(time.Second); change != nil {
		t.Fatalf("a probe at its timeout led to %+v", change)
	}
	wantState(t, b, timeline.BreakerOpen)
	if s := b.Snapshot(c.now); s.Why != WhyProbeTimeout || s.Openings != 2 {
		t.Fatalf("snapshot %+v", s)
	}
}
