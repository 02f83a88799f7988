// Package sidekiq holds the tests of the example beside it, which is Ruby.
package sidekiq

import (
	"fmt"
	"testing"

	"github.com/tasktrail/tasktrail/app/uptest"
	"github.com/tasktrail/tasktrail/live/livetest"
)

func TestMain(m *testing.M) { uptest.Main(m) }

// open starts the example's programs beside a real Redis and a real `tasktrail up`.
func open(t *testing.T, queue, jobs string, up ...string) *uptest.Scripts {
	return &uptest.Scripts{
		Up: uptest.Start(t, append(up, "--requeue-allow", "127.0.0.0/8")...), Redis: livetest.Start(t).URL(), Queue: queue,
		// A busy machine must not take a process that works for dead.
		Env:      []string{"JOBS=" + jobs, "LEASE_SECONDS=10"},
		Enqueuer: []string{"ruby", "enqueue.rb"}, Worker: []string{"testdata/work.sh"}, Ready: "Booting Sidekiq",
	}
}

func TestAFullTimelineAndTheWayBack(t *testing.T) {
	t.Parallel()
	uptest.RunBank(t, open(t, "orders", "testdata/shapes"), uptest.Bank{
		Input:    func(order, fails int) string { return fmt.Sprintf(`{"order":%d,"fails":%d}`, order, fails) },
		Recorded: func(order, fails int) string { return fmt.Sprintf(`{"args":[{"order":%d,"fails":%d}]}`, order, fails) },
		Patch:    `{"args":[{"order":44}]}`, Runner: "sidekiq", Kind: "BankError",
	})
}

// The usual lives of a task, under Sidekiq, and a `tasktrail up` on another Redis than
// Sidekiq's, which is emptied.
func TestShapes(t *testing.T) {
	t.Parallel()
	nerve := livetest.Start(t)
	s := open(t, "shapes", "testdata/shapes", "--redis-url", nerve.URL())
	s.Register(t, "")
	s.Type = "Payment"
	s.Differ = uptest.Differences{
		LostOnResume: true,
		Patches:      map[string]string{"permanent, then edited and retried": `{"args":[{"plans":[["ok"]]}]}`},
	}
	uptest.RunShapes(t, s.Up, nerve.RestartEmpty, s)
}
