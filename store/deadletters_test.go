package store_test

import (
	"errors"
	"testing"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// While a batch is written its tables fill one after another, in an order of the
// server's own: who sees a dead letter in the list may ask for it at once.
func TestAListedDeadLetterIsFoundBeforeItsIDsTableFills(t *testing.T) {
	s := open(t)
	write(t, s, live(t, timeline.Task{ID: "task", UserID: "ada"}, lives(t)["permanent"])...)
	if err := s.Change(t.Context(), "TRUNCATE TABLE dead_letter_ids"); err != nil {
		t.Fatal(err)
	}
	list, err := s.DeadLetters(t.Context(), everything, readmodel.DeadLetterFilter{}, readmodel.Page{Limit: 1})
	if err != nil || len(list.Rows) != 1 {
		t.Fatalf("%d rows, %v", len(list.Rows), err)
	}
	id := list.Rows[0].ID
	if d, err := s.DeadLetter(t.Context(), everything, id); err != nil || d.ID != id || d.Task.ID != "task" {
		t.Errorf("%+v, %v", d, err)
	}
	for name, scope := range map[string]readmodel.Scope{"another user": {Namespace: "default", UserID: "eve"}, "another namespace": {Namespace: "other"}} {
		if _, err := s.DeadLetter(t.Context(), scope, id); !errors.Is(err, readmodel.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
