package uptest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/internal/proctest"
	"github.com/tasktrail/tasktrail/timeline"
)

// Lived waits until the timeline of a task is what is wanted, in the words of the
// known lives.
func (u *Up) Lived(t testing.TB, id string, want ...string) {
	t.Helper()
	proctest.Eventually(t, time.Minute, id+" lived as planned", func() (bool, string) {
		life, err := u.Life(id)
		return err == nil && slices.Equal(life, want), fmt.Sprintf("%s, %v; want %s", strings.Join(life, ", "), err, strings.Join(want, ", "))
	})
}

// Task is a task as the API shows it.
func (u *Up) Task(t testing.TB, id string) timeline.Snapshot {
	t.Helper()
	var snap timeline.Snapshot
	if _, err := u.Call("GET", "/tasks/"+url.PathEscape(id), "", &snap); err != nil {
		t.Fatal(err)
	}
	return snap
}

// Retry asks for a retry of a task and returns the status and what was said.
func (u *Up) Retry(t testing.TB, id, body string) (int, string) {
	t.Helper()
	var got json.RawMessage
	status, err := u.Call("POST", "/tasks/"+url.PathEscape(id)+"/retry", body, &got)
	if err != nil {
		return status, err.Error()
	}
	return status, string(got)
}
