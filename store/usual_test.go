package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

func TestHowLongAttemptsOfATypeUsuallyTake(t *testing.T) {
	s := open(t)
	var events []timeline.Event
	for i := range 40 {
		task := timeline.Task{Namespace: "default", ID: fmt.Sprintf("t%d", i), Type: []string{"mail", "payment"}[i%2], UserID: []string{"ada", "bob"}[i/20]}
		script := lives(t)["retry_then_success"]
		if i == 0 {
			script = lives(t)["permanent"] // never completed: tells nothing
		}
		events = append(events, live(t, task, script)...)
	}
	write(t, s, events...)
	ms := timeline.Millis(40 * time.Millisecond) // what a success takes in these lives
	for _, c := range []struct {
		scope readmodel.Scope
		kind  string
		tasks int
	}{
		{everything, "mail", 19}, {everything, "payment", 20}, {everything, "none", 0},
		{readmodel.Scope{Namespace: "default", UserID: "ada"}, "mail", 9}, {readmodel.Scope{Namespace: "other"}, "mail", 0},
	} {
		got, err := s.Usual(t.Context(), c.scope, c.kind)
		if err != nil {
			t.Fatal(err)
		}
		if got.Type != c.kind || got.Tasks != c.tasks || got.Attempts.Count != int64(c.tasks) {
			t.Errorf("%+v %s: %+v, want %d tasks", c.scope, c.kind, got, c.tasks)
		}
		if c.tasks > 0 && (got.Attempts.P50 != ms || got.Attempts.P95 != ms || got.Since.IsZero()) {
			t.Errorf("%+v %s: %+v", c.scope, c.kind, got)
		}
	}
}
