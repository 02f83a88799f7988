package bullmq

import (
	"testing"

	"github.com/tasktrail/tasktrail/app/uptest"
	"github.com/tasktrail/tasktrail/live/livetest"
)

// The usual lives of a task, under BullMQ: workers without an agent, reached by the
// URL of their queue, and a `tasktrail up` on another Redis than BullMQ's, which is
// emptied.
func TestShapes(t *testing.T) {
	t.Parallel()
	nerve := livetest.Start(t)
	// BullMQ takes a worker for dead once its lock is over; a busy machine must not end it.
	s := open(t, "shapes", []string{"--redis-url", nerve.URL()}, "WORK=./testdata/shapes.js", "LOCK_MS=8000")
	s.Register(t, "")
	s.Differ = uptest.Differences{LostOnResume: true}
	uptest.RunShapes(t, s.Up, nerve.RestartEmpty, s)
}
