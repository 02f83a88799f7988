package chaos

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/internal/proctest"
)

var withClocks = flag.Bool("clocks", false, "have the clocks of processes jump too: compiles them once more, with a time of day that the test sets")

// clocks are the times of day of the processes that have one of their own.
type clocks struct{ up, second, sidecar, asynq, river *proctest.Clock }

func newClocks(t *testing.T) clocks {
	t.Helper()
	return clocks{
		up: proctest.NewClock(t), second: proctest.NewClock(t), sidecar: proctest.NewClock(t), asynq: proctest.NewClock(t), river: proctest.NewClock(t),
	}
}

// build compiles a command, with a clock where they jump.
func (c clocks) build(t *testing.T, pkg string) string {
	t.Helper()
	if *withClocks {
		return proctest.BuildWithClock(t, pkg)
	}
	return proctest.Build(t, pkg)
}

func (c clocks) tasktrail(t *testing.T) string {
	t.Helper()
	return c.build(t, "./cmd/tasktrail")
}

// right has every clock be the machine's again.
func (c clocks) right() {
	for _, one := range []*proctest.Clock{c.up, c.second, c.sidecar, c.asynq, c.river} {
		one.Set(0)
	}
}

// jumps is a clock that jumps, forward or back by up to most, and back after a while
// or, as often, at the end of the storm.
func jumps(name string, most time.Duration, of func(c clocks) *proctest.Clock) fault {
	return fault{"the clock of " + name + " jumps", 3 * time.Second, func(s *system) func() {
		off := time.Duration(s.rand.Int64N(int64(2*most))) - most
		stays := s.rand.IntN(2) == 0
		if !*withClocks {
			return func() {}
		}
		s.log(fmt.Sprintf("… by %v", off.Round(time.Second)))
		of(s.clocks).Set(off)
		return func() {
			if !stays {
				of(s.clocks).Set(0)
			}
		}
	}}
}
