package breaker

import (
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

func TestOpenBlocksUntilItsTime(t *testing.T) {
	b, c, _ := start(t, Config{OpenFor: time.Minute})
	fail(t, b, c, 5)
	for range 59 {
		c.pass(time.Second)
		if !b.Blocked(c.now) {
			t.Fatal("not blocked while open")
		}
		if _, ok := b.Acquire(c.now); ok {
			t.Fatal("a permit while open")
		}
	}
	c.pass(time.Second)
	if b.Blocked(c.now) {
		t.Fatal("blocked when the open time is over")
	}
	wantState(t, b, timeline.BreakerOpen) // asking takes no probe
	if p := mustAcquire(t, b, c); !p.Probe() || p.HalfOpened().Why != WhyOpenTimeOver {
		t.Fatal("the first caller is no probe")
	}
}
