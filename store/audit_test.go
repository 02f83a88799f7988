package store_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// audited makes the events of an audit trail.
func audited(t *testing.T, n int) []timeline.Event {
	t.Helper()
	var events []timeline.Event
	for i := range n {
		at := start.Add(time.Duration(i/2) * time.Millisecond)
		a := readmodel.AuditRecord{
			ID: ids.Next(at), At: at, Namespace: "default", Actor: fmt.Sprintf("key:%d", i%3), Action: "POST /tasks/:id/retry",
			Target: fmt.Sprintf(`a "task" <%d>`, i), Result: []string{"accepted", "forbidden"}[i%2], Status: 202, Reason: "because", RequestID: "r",
		}
		body, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		e := timeline.NewSettingEvent("default", timeline.Setting{Kind: timeline.SettingAudit, ID: a.ID.String(), Version: 1, Body: body}, timeline.Operator{Actor: a.Actor}, at)
		e.ID = a.ID
		events = append(events, e)
	}
	return events
}

func TestTheAuditTrail(t *testing.T) {
	s := open(t)
	events := audited(t, 30)
	write(t, s, events...)
	write(t, s, events...) // once more, in another batch
	if kept, err := s.Settings(t.Context(), "default", timeline.SettingAudit); err != nil || len(kept) != 0 {
		t.Errorf("%d stand among the settings, %v", len(kept), err)
	}
	for _, c := range []struct {
		filter readmodel.AuditFilter
		want   int
	}{
		{readmodel.AuditFilter{}, 30}, {readmodel.AuditFilter{Actor: "key:1"}, 10}, {readmodel.AuditFilter{Actor: "key:"}, 0},
		{readmodel.AuditFilter{Results: []string{"forbidden", "other"}}, 15}, {readmodel.AuditFilter{Target: `a "task" <7>`}, 1},
		{readmodel.AuditFilter{Action: "POST /tasks/:id/retry", Actor: "key:2", Results: []string{"accepted"}}, 5},
		{readmodel.AuditFilter{At: readmodel.Range{From: start.Add(10 * time.Millisecond)}}, 10},
	} {
		for _, limit := range []int{1, 4, 200} {
			var walked []readmodel.AuditRecord
			page := readmodel.Page{Limit: limit}
			for {
				list, err := s.Audit(t.Context(), "default", c.filter, page)
				if err != nil {
					t.Fatal(err)
				}
				walked = append(walked, list.Rows...)
				if list.Next == nil {
					break
				}
				page.After = list.Next
			}
			if len(walked) != c.want {
				t.Errorf("%+v by %d: %d records, want %d", c.filter, limit, len(walked), c.want)
			}
			for i := range walked {
				if !c.filter.Matches(&walked[i]) || walked[i].Reason != "because" || i > 0 && walked[i].At.After(walked[i-1].At) {
					t.Errorf("%+v by %d: %+v", c.filter, limit, walked[i])
				}
			}
		}
	}
	if list, err := s.Audit(t.Context(), "other", readmodel.AuditFilter{}, readmodel.Page{Limit: 10}); err != nil || len(list.Rows) != 0 {
		t.Errorf("another namespace: %d records, %v", len(list.Rows), err)
	}
}
