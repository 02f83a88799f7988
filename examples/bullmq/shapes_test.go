package bullmq

import (
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/tasktrail/tasktrail/app/uptest"
	"github.com/tasktrail/tasktrail/internal/proctest"
	"github.com/tasktrail/tasktrail/live/livetest"
)

// The usual lives of a task, under BullMQ: workers without an agent, reached by the
// URL of their queue, and a `tasktrail up` on another Redis than BullMQ's, which is
// emptied.
func TestShapes(t *testing.T) {
	t.Parallel()
	install(t)
	nerve := livetest.Start(t)
	s := &shop{t, uptest.Start(t, "--requeue-allow", "127.0.0.0/8", "--redis-url", nerve.URL()), livetest.Start(t).URL()}
	_, port, _ := strings.Cut(proctest.FreeAddrs(t, 1)[0], ":")
	secret := s.register("shapes", `{"url":"http://127.0.0.1:`+port+`/requeue"}`)
	uptest.RunShapes(t, s.up, nerve.RestartEmpty, &shapesRunner{s, []string{"REQUEUE_SECRET=" + secret, "REQUEUE_PORT=" + port}, 0})
}

type shapesRunner struct {
	shop     *shop
	env      []string
	enqueued int
}

func (r *shapesRunner) Differences() uptest.Differences {
	return uptest.Differences{LostOnResume: true}
}

func (r *shapesRunner) Enqueue(t testing.TB, s uptest.Shape) string {
	t.Helper()
	input, err := json.Marshal(s.Input)
	if err != nil {
		t.Fatal(err)
	}
	r.enqueued++
	id := "shape-" + strconv.Itoa(r.enqueued)
	attempts := 5
	if s.Input.MaxAttempts > 0 {
		attempts = s.Input.MaxAttempts
	}
	cmd := exec.CommandContext(t.Context(), "node", "enqueue.js", id, string(input))
	cmd.Env = append(append(os.Environ(), r.shop.env("shapes")...), "TYPE="+uptest.ShapeType, "ATTEMPTS="+strconv.Itoa(attempts),
		"DELAY_MS="+strconv.FormatInt(s.Delay.Milliseconds(), 10), "AMOUNT=120.00", "CURRENCY=USD", "USER_ID=user-7")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("enqueue %s: %v\n%s", s.Name, err, out)
	}
	return id
}

func (r *shapesRunner) Work(testing.TB) *proctest.Process {
	r.shop.Helper()
	// BullMQ takes a worker for dead once its lock is over; a busy machine must not end it.
	return r.shop.worker("shapes", append([]string{"WORK=./testdata/shapes.js", "LOCK_MS=8000"}, r.env...))
}
