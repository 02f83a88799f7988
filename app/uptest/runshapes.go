package uptest

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/internal/proctest"
	"github.com/tasktrail/tasktrail/timeline"
)

// Runner is what a runner's test brings for RunShapes.
type Runner interface {
	// Enqueue hands a task of the shape to the runner through Tasktrail's client
	// side, and returns its task's id.
	Enqueue(t testing.TB, s Shape) string
	// Work starts a worker as a process, which works until it is killed. All of them
	// have the same spool.
	Work(t testing.TB) *proctest.Process
}

// Differences are what a runner really does otherwise; what they leave out is the same
// for all.
type Differences struct {
	// Without are shapes that its tasks cannot have, and why.
	Without map[string]string
	// Patches are edits that say in the words of its inputs what a shape's Patch says.
	Patches map[string]string
	// LostOnResume: that a worker died is on record once another takes its task, and
	// no sooner: nobody beats a heart for it.
	LostOnResume bool
}

// Different is a Runner with differences.
type Different interface{ Differences() Differences }

// RunShapes has tasks of every shape live under a runner and an up whose Redis can
// be emptied, and fails where a timeline is not the shape's.
func RunShapes(t *testing.T, u *Up, emptyRedis func(), r Runner) {
	rs := &shapesRun{t: t, u: u, ids: map[string]string{}}
	var differs Differences
	if d, ok := r.(Different); ok {
		differs = d.Differences()
	}
	shapes := Shapes(t)
	for name, why := range differs.Without {
		if !slices.ContainsFunc(shapes, func(s Shape) bool { return s.Name == name }) {
			t.Fatalf("no shape is called %q, which is left out since %s", name, why)
		}
	}
	shapes = slices.DeleteFunc(shapes, func(s Shape) bool { return differs.Without[s.Name] != "" })
	for i, s := range shapes {
		if patch := differs.Patches[s.Name]; patch != "" {
			shapes[i].Patch = patch
		}
	}
	worker := r.Work(t)
	for _, s := range shapes {
		rs.ids[s.Name] = r.Enqueue(t, s)
	}
	with := func(then Then) []Shape {
		return slices.DeleteFunc(slices.Clone(shapes), func(s Shape) bool { return s.Then != then })
	}
	for _, s := range with(ThenNothing) {
		rs.lived(s, s.Life)
	}
	for _, s := range with(ThenRetry) {
		rs.lived(s, before(s, "r2 "))
		rs.retry(s)
		rs.lived(s, s.Life)
	}
	for _, s := range with(ThenCancel) {
		rs.lived(s, before(s, "r1 cancel_requested"))
		rs.ask(http.MethodPost, "/tasks/"+url.PathEscape(rs.ids[s.Name])+"/cancel", `{"reason":"not wanted any more"}`)
		rs.lived(s, s.Life)
		rs.stopped(s)
	}
	for _, s := range with(ThenRetryUnserved) {
		rs.lived(s, before(s, "r2 "))
	}
	for _, s := range with(ThenKill) {
		rs.lived(s, before(s, "r1 task_lost"))
	}
	worker.Kill()
	for _, s := range with(ThenKill) {
		end := slices.Index(s.Life, "r1 task_lost") + 1
		if differs.LostOnResume {
			end--
		}
		rs.lived(s, s.Life[:end])
	}
	for _, s := range with(ThenRetryUnserved) {
		rs.retry(s)
	}
	emptyRedis()
	r.Work(t)
	for _, s := range slices.Concat(with(ThenRetryUnserved), with(ThenKill)) {
		rs.lived(s, s.Life)
	}
	for _, s := range shapes { // and nothing came after
		if got, err := u.Life(rs.ids[s.Name]); err != nil || !slices.Equal(got, s.Life) {
			t.Errorf("%s: in the end %s (%v), want %s", s.Name, strings.Join(got, ", "), err, strings.Join(s.Life, ", "))
		}
	}
	if n, err := u.SQL("SELECT count() = uniqExact(event_id) FROM events FINAL FORMAT TSV"); err != nil || n != "1" {
		t.Errorf("some event is stored twice: %q, %v", n, err)
	}
}

type shapesRun struct {
	t   *testing.T
	u   *Up
	ids map[string]string // by shape
}

// before is a shape's life up to what happens from outside.
func before(s Shape, prefix string) []string {
	end := slices.IndexFunc(s.Life, func(e string) bool { return strings.HasPrefix(e, prefix) })
	return s.Life[:end]
}

// shapeWithin bounds each step of a life. The longest is a runner's wait for the
// lease of a worker that died.
const shapeWithin = 3 * time.Minute

func (rs *shapesRun) lived(s Shape, life []string) {
	rs.t.Helper()
	proctest.Eventually(rs.t, shapeWithin, s.Name+" lived "+strings.Join(life, ", "), func() (bool, string) {
		got, err := rs.u.Life(rs.ids[s.Name])
		return err == nil && slices.Equal(got, life), fmt.Sprint(strings.Join(got, ", "), err)
	})
}

func (rs *shapesRun) ask(method, path, body string) {
	rs.t.Helper()
	if code, err := rs.u.Call(method, path, body, nil); err != nil || code != http.StatusAccepted {
		rs.t.Fatalf("%s %s: %d, %v", method, path, code, err)
	}
}

// retry has an operator retry the one dead letter of the shape's task.
func (rs *shapesRun) retry(s Shape) {
	rs.t.Helper()
	var page struct {
		Data []timeline.DeadLetter `json:"data"`
	}
	proctest.Eventually(rs.t, 10*time.Second, s.Name+" has one dead letter, pending and critical", func() (bool, string) {
		_, err := rs.u.Call(http.MethodGet, "/failed-tasks?task_id="+url.QueryEscape(rs.ids[s.Name]), "", &page)
		return err == nil && len(page.Data) == 1 && page.Data[0].Status == timeline.DeadLetterPending &&
			page.Data[0].AlertSeverity == timeline.AlertCritical, fmt.Sprintf("%+v %v", page.Data, err)
	})
	body := `{"reason":"the service is well again"`
	if s.Patch != "" {
		body += `,"input_patch":` + s.Patch
	}
	rs.ask(http.MethodPost, "/failed-tasks/"+page.Data[0].ID.String()+"/retry", body+"}")
}

// stopped checks the proof of a cancel.
func (rs *shapesRun) stopped(s Shape) {
	rs.t.Helper()
	var page struct {
		Data []timeline.Event `json:"data"`
	}
	_, err := rs.u.Call(http.MethodGet, "/tasks/"+url.PathEscape(rs.ids[s.Name])+"/timeline?types=task_cancelled", "", &page)
	if err != nil || len(page.Data) != 1 || page.Data[0].StopProof != s.Proof || page.Data[0].Operator == nil || page.Data[0].Operator.Reason != "not wanted any more" {
		rs.t.Errorf("%s: %+v, %v; want the proof %q and the operator's reason", s.Name, page.Data, err, s.Proof)
	}
}
