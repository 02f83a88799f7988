package app_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/app/uptest"
	"github.com/tasktrail/tasktrail/internal/proctest"
	"github.com/tasktrail/tasktrail/store/embedded"
	"github.com/tasktrail/tasktrail/store/storetest"
)

// A data directory that an earlier release filled, the oldest or the last, is
// brought up to date by the next start: every timeline, list and dead letter is
// there, what operators do to an old dead letter counts, and new tasks come beside
// the old ones.
func TestOldDataDirectoriesAreBroughtUpToDate(t *testing.T) {
	releases := storetest.Releases(t)
	for _, version := range []int{releases[0], releases[len(releases)-1]} {
		t.Run(fmt.Sprint("schema ", version), func(t *testing.T) { broughtUpToDate(t, version) })
	}
}

func broughtUpToDate(t *testing.T, version int) {
	u := uptest.Start(t)
	if err := u.Process.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	p, err := embedded.Start(t.Context(), storetest.Config(filepath.Join(u.DataDir, "clickhouse")))
	if err != nil {
		t.Fatal(err)
	}
	storetest.OldRelease(t, p.DSN(), version)
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}

	u.Restart()
	lives := uptest.Lives(t)
	states := map[string]int{}
	for name, want := range lives {
		life, err := u.Life(name)
		if err != nil || !slices.Equal(life, want) {
			t.Errorf("%s: %v, %v, want %v", name, life, err, want)
		}
		var task struct {
			State string `json:"state"`
		}
		if _, err := u.Call("GET", "/tasks/"+name, "", &task); err != nil {
			t.Error(err)
		}
		states[task.State]++
	}
	type list struct {
		Data []struct {
			ID     string `json:"id"`
			TaskID string `json:"task_id"`
			Status string `json:"status"`
		} `json:"data"`
	}
	for state, n := range states {
		var tasks list
		if _, err := u.Call("GET", "/tasks?limit=200&state="+state, "", &tasks); err != nil || len(tasks.Data) != n {
			t.Errorf("%d tasks are listed as %s (%v), want %d", len(tasks.Data), state, err, n)
		}
	}
	var pending list
	if _, err := u.Call("GET", "/failed-tasks?status=pending", "", &pending); err != nil || len(pending.Data) != states["failed"] {
		t.Fatalf("%d dead letters wait (%v), want %d", len(pending.Data), err, states["failed"])
	}
	var paid list
	if _, err := u.Call("GET", "/tasks?limit=200&payment_reference=INV-7", "", &paid); err != nil || (version > 1 && len(paid.Data) != len(lives)) {
		t.Errorf("%d tasks of their payment (%v), want %d", len(paid.Data), err, len(lives))
	}
	letter := pending.Data[0]
	if _, err := u.Call("POST", "/failed-tasks/"+letter.ID+"/discard", `{"reason":"paid by hand"}`, nil); err != nil {
		t.Error(err)
	}
	proctest.Eventually(t, 20*time.Second, "the old dead letter is discarded", func() (bool, string) {
		life, err := u.Life(letter.TaskID)
		return err == nil && life[len(life)-1] == "r1 dlq_discarded", letter.TaskID
	})
	if out, err := u.Run("verify"); err != nil {
		t.Errorf("verify: %v\n%s", err, out)
	}
}
