package store_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// Tasks that are older than the table of payment references are found by theirs
// after the next migration, whatever they look like; so are those of a migration
// that was stopped in the middle.
func TestOldTasksAreFoundByTheirPayment(t *testing.T) {
	s := open(t)
	long := func(n int) string { return strings.Repeat("é", n/2) + strings.Repeat("x", n%2) }
	references := []string{"1", "INV-7", "a b\nc\x00d", long(122), long(123), long(124), long(125), long(126), long(127), long(128), long(129), long(255), long(256), long(511), long(512), long(513), long(3000)}
	var first, rest []timeline.Event
	for i, reference := range references {
		// In every record of the run, as an agent writes it.
		task := timeline.Task{Namespace: "default", ID: fmt.Sprintf("t%02d", i), Type: "payment", Queue: "q"}
		task.Metadata = map[string]string{"a": "task.metadata.payment_reference", "payment_references": "INV-8", timeline.PaymentReference: reference, "z": "1"}
		events := live(t, task, lives(t)["retry_then_success"])
		for j := range events {
			events[j].Metadata = task.Metadata
		}
		first, rest = append(first, events[:3]...), append(rest, events[3:]...)
	}
	write(t, s, first...)
	write(t, s, rest...)
	write(t, s, live(t, timeline.Task{Namespace: "default", ID: "unpaid", Type: "mail", Queue: "q", Metadata: map[string]string{"payment_references": "1"}},
		lives(t)["success"][1:])...)
	check := func(when string, found bool) {
		t.Helper()
		for i, reference := range references {
			want := []string{fmt.Sprintf("t%02d", i)}
			if !found || len(reference) > 512 { // the writer notes none so long
				want = nil
			}
			list, err := s.Tasks(t.Context(), everything, readmodel.TaskFilter{PaymentReference: reference}, readmodel.Page{Limit: 10})
			var got []string
			for _, task := range list.Rows {
				got = append(got, task.ID)
			}
			if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s, %d bytes: %v (%v), want %v", when, len(reference), got, err, want)
			}
		}
	}
	check("as the writer notes them", true)
	const again = "ALTER TABLE schema_version DELETE WHERE version_id >= 2 SETTINGS mutations_sync = 1"
	for _, sql := range []string{"DROP TABLE audit_mv SYNC", "DROP TABLE audit SYNC", "TRUNCATE TABLE reference_tasks", again} {
		if err := s.Change(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	check("of before", false)
	for i, when := range []string{"migrated", "migrated twice"} {
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		check(when, true)
		if n := s.CountRows(t)["reference_tasks"]; n > uint64(15*(i+1)) {
			t.Errorf("%s: %d rows, want one a task each time", when, n)
		}
		if err := s.Change(t.Context(), again); err != nil {
			t.Fatal(err)
		}
	}
}
