package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// One user's first page, and that of a fingerprint, are in the order of the
// tasks, also where a task's first events name neither and others of it come in
// another batch.
func TestFirstPagesOfFewAmongMany(t *testing.T) {
	s := open(t)
	all := map[string][]timeline.Event{}
	var first, rest []timeline.Event
	for i := range 120 {
		script := lives(t)["retry_then_success"]
		if i%3 == 0 {
			script = lives(t)["permanent"]
		}
		task := timeline.Task{Namespace: "default", ID: fmt.Sprintf("t%03d", i), Type: "mail", Queue: "q"}
		if i%4 > 0 {
			task.UserID = "ada"
		}
		if i%6 == 0 {
			task.Metadata = map[string]string{"region": "eu", timeline.PaymentReference: "INV-7"}
		}
		events := live(t, task, script)
		for j := range events {
			// In an order that is not that of the ids, and with many at once.
			events[j].OccurredAt = events[j].OccurredAt.Add(-time.Duration(i*7%40) * time.Second)
			if i%5 == 0 && j < 2 {
				events[j].UserID, events[j].Metadata = "", nil
			}
			if i%5 == 0 && j >= 2 {
				// Long after it was created.
				events[j].OccurredAt = events[j].OccurredAt.Add(15 * time.Second)
			}
		}
		all[task.ID] = events
		first, rest = append(first, events[:2]...), append(rest, events[2:]...)
	}
	write(t, s, first...)
	write(t, s, rest...)
	for _, c := range []struct {
		name   string
		filter readmodel.TaskFilter
		scope  string
	}{
		{"a user", readmodel.TaskFilter{UserID: "ada"}, ""},
		{"a user's own", readmodel.TaskFilter{}, "ada"},
		{"a user's failed", readmodel.TaskFilter{UserID: "ada", States: []timeline.State{timeline.StateFailed}}, ""},
		{"a fingerprint", readmodel.TaskFilter{Fingerprints: []string{"fp1:abc"}}, ""},
		{"failed with a fingerprint", readmodel.TaskFilter{Fingerprints: []string{"fp1:abc"}, States: []timeline.State{timeline.StateFailed}}, ""},
		{"a user's of a fingerprint", readmodel.TaskFilter{Fingerprints: []string{"fp1:abc"}, UserID: "ada"}, ""},
		{"a payment's", readmodel.TaskFilter{PaymentReference: "INV-7"}, ""},
		{"a user's of a payment", readmodel.TaskFilter{PaymentReference: "INV-7"}, "ada"},
		{"a payment's failed", readmodel.TaskFilter{PaymentReference: "INV-7", States: []timeline.State{timeline.StateFailed}}, ""},
		{"another payment's", readmodel.TaskFilter{PaymentReference: "INV-8"}, ""},
		{"nobody's", readmodel.TaskFilter{UserID: "bob"}, ""},
	} {
		var want []timeline.Snapshot
		for _, events := range all {
			snap, _ := timeline.Fold(events)
			if c.filter.Matches(&snap, events) && (c.scope == "" || snap.UserID == c.scope) {
				want = append(want, snap)
			}
		}
		slices.SortFunc(want, func(a, b timeline.Snapshot) int {
			if d := b.CreatedAt.Compare(a.CreatedAt); d != 0 {
				return d
			}
			return strings.Compare(b.ID, a.ID)
		})
		for _, limit := range []int{3, 10, 50, 200} {
			list, err := s.Tasks(t.Context(), readmodel.Scope{Namespace: "default", UserID: c.scope}, c.filter, readmodel.Page{Limit: limit})
			if err != nil {
				t.Fatal(err)
			}
			n := min(limit, len(want))
			if len(list.Rows) != n || (list.Next != nil) != (len(want) > limit) {
				t.Errorf("%s, %d: %d rows of %d", c.name, limit, len(list.Rows), len(want))
				continue
			}
			for i := range n {
				if list.Rows[i].ID != want[i].ID {
					t.Errorf("%s, %d: row %d is %s, want %s", c.name, limit, i, list.Rows[i].ID, want[i].ID)
					break
				}
			}
		}
	}
}
