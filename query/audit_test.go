package query

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/tasktrail/tasktrail/query/querytest"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// TestEveryChangeIsOnRecord asks every route that changes something and reads what
// is said of it.
func TestEveryChangeIsOnRecord(t *testing.T) {
	h := start(t)
	h.fill()
	h.operations()
	calls := 0
	for _, r := range (&Server{}).apiRoutes() {
		if r.mutates {
			h.do(r.method, concrete(r), "admin", "{}")
			calls++
		}
	}
	read := func(query string) []readmodel.AuditRecord {
		t.Helper()
		var page listBody[readmodel.AuditRecord]
		h.get("/audit?limit=200"+query, "admin").want(200).json(&page)
		return page.Data
	}
	all := read("")
	if len(all) != calls {
		t.Errorf("%d records of %d calls", len(all), calls)
	}
	for _, a := range all {
		if a.Actor != "key:admin" || a.RequestID == "" || a.Remote == "" || a.Result == "" || a.Status == 0 || a.At.IsZero() || a.Namespace != "default" {
			t.Errorf("%+v", a)
		}
	}
	h.post("/tasks/done/cancel", "operator", `{"reason":"no \"more\""}`).want(409)
	h.post("/tasks/theirs/retry", "operator", `{"reason":"again"}`).want(202)
	h.post("/tasks/failed/retry", "reader", "").want(403)
	for query, want := range map[string]int{
		"&actor=key:operator": 2, "&actor=key:reader": 1, "&actor=key:reader&result=accepted": 0, "&result=forbidden": 1,
		"&actor=key:operator&result=accepted": 1, "&target=theirs": 1, "&from=2199-01-01T00:00:00Z": 0,
		"&actor=key:operator&action=" + url.QueryEscape("POST /tasks/:id/retry"): 1,
	} {
		if got := read(query); len(got) != want {
			t.Errorf("%s: %d records, want %d: %+v", query, len(got), want, got)
		}
	}
	if got := read("&target=theirs")[0]; got.Reason != "again" || got.Status != 202 || got.Result != "accepted" {
		t.Errorf("%+v", got)
	}
	if strings.Count(h.log.String(), `"msg":"audit"`) != calls+3 {
		t.Error("the log does not say the same")
	}
}

// A record that cannot be written takes nothing from the answer, and is counted.
func TestARecordThatIsLostIsCounted(t *testing.T) {
	h := start(t)
	h.operations()
	h.store.Set(func(s *querytest.Store) { s.WriteErr = errors.New("the disk is full") })
	h.do("DELETE", base+"/session", "admin", "").want(204)
	if a := h.do("GET", "/metrics", "", "").want(200); !strings.Contains(string(a.body), metricUnaudited+" 1") {
		t.Error("it is not counted")
	}
}
