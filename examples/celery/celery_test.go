// Package celery holds the tests of the example beside it, which is Python.
package celery

import (
	"fmt"
	"os/exec"
	"testing"

	"github.com/tasktrail/tasktrail/app/uptest"
	"github.com/tasktrail/tasktrail/internal/proctest"
	"github.com/tasktrail/tasktrail/live/livetest"
)

func TestMain(m *testing.M) { uptest.Main(m) }

// open starts the example's programs beside a real Redis and a real `tasktrail up`.
func open(t *testing.T, queue, tasks string, up ...string) *uptest.Scripts {
	python := python(t)
	return &uptest.Scripts{
		Up: uptest.Start(t, append(up, "--requeue-allow", "127.0.0.0/8")...), Redis: livetest.Start(t).URL(), Queue: queue,
		Env: []string{
			"PYTHON=" + python, "PYTHONPATH=.:testdata", "PYTHONDONTWRITEBYTECODE=1", "TASKS=" + tasks,
		},
		Enqueuer: []string{python, "enqueue.py"}, Worker: []string{"testdata/work.sh"}, Ready: " ready.",
	}
}

// python is an interpreter that has Celery: the first of the path may be another than
// the system's, whose packages it is in.
func python(t *testing.T) string {
	var said []byte
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		out, err := exec.CommandContext(t.Context(), name, "-c", "import celery, redis").CombinedOutput()
		if err == nil {
			return name
		}
		said = append(said, out...)
	}
	t.Fatalf("no Python with Celery and redis (Debian: apt-get install python3-celery python3-redis):\n%s", said)
	return ""
}

func TestAFullTimelineAndTheWayBack(t *testing.T) {
	t.Parallel()
	uptest.RunBank(t, open(t, "orders", "tasks"), uptest.Bank{
		Input: func(order, fails int) string { return fmt.Sprintf(`{"order":%d,"fails":%d}`, order, fails) },
		Recorded: func(order, fails int) string {
			return fmt.Sprintf(`{"args":[],"kwargs":{"order":%d,"fails":%d}}`, order, fails)
		},
		Patch: `{"kwargs":{"fails":null,"order":44}}`, Runner: "celery", Kind: "BankError",
	})
}

// The usual lives of a task, under Celery, and a `tasktrail up` on another Redis than
// Celery's, which is emptied.
func TestShapes(t *testing.T) {
	t.Parallel()
	nerve := livetest.Start(t)
	s := open(t, "shapes", "shapes", "--redis-url", nerve.URL())
	s.Register(t, "")
	s.Differ = uptest.Differences{
		LostOnResume: true,
		Patches:      map[string]string{"permanent, then edited and retried": `{"kwargs":{"plans":[["ok"]]}}`},
	}
	uptest.RunShapes(t, s.Up, nerve.RestartEmpty, &impatient{s})
}

// impatient is a service whose first worker keeps its tasks, however busy the machine
// is, and whose next ones take what a worker that died has left at once.
type impatient struct{ *uptest.Scripts }

func (s *impatient) Work(t testing.TB) *proctest.Process {
	p := s.Scripts.Work(t)
	s.Env = append(s.Env, "VISIBILITY_SECONDS=1")
	return p
}
