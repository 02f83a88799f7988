package query

import (
	"net/http"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// A history without a step has about a hundred, begins with a whole one and ends
// with the last whole minute.
func TestHistorySteps(t *testing.T) {
	h := start(t)
	h.fill()
	for target, want := range map[string]time.Duration{
		"": time.Minute, "?window=15m": time.Minute, "?window=6h": 5 * time.Minute, "?window=24h": 15 * time.Minute, "?window=7d": 2 * time.Hour,
		"?window=30d": 12 * time.Hour, "?window=6h&step=1h": time.Hour, "?window=1m": time.Minute, "?step=1d": 24 * time.Hour,
	} {
		var got readmodel.History
		h.get("/tasks/monitoring/history"+target, "reader").want(http.StatusOK).json(&got)
		if got.Step.Duration() != want || len(got.Points) < 1 || len(got.Points) > 110 {
			t.Errorf("%q: %d steps of %v, want %v", target, len(got.Points), got.Step.Duration(), want)
		}
		if got.From.Unix()%int64(want/time.Second) != 0 || got.To.Unix()%60 != 0 || !got.Points[0].At.Equal(got.From) {
			t.Errorf("%q: from %v to %v", target, got.From, got.To)
		}
	}
}

func TestHistoryTellsTypesApart(t *testing.T) {
	h := start(t, func(_ *Config, d *Deps) { d.Now = func() time.Time { return at.Add(10 * time.Minute) } })
	h.fill()
	var all, none, mine readmodel.History
	h.get("/tasks/monitoring/history?window=1h", "reader").want(http.StatusOK).json(&all)
	h.get("/tasks/monitoring/history?window=1h&type=mail", "reader").want(http.StatusOK).json(&none)
	h.get("/tasks/monitoring/history?window=1h", "user").want(http.StatusOK).json(&mine)
	if len(all.Types) != 1 || all.Types[0].Type != "payment" || all.Total.Completed != 1 || all.Total.Failed != 2 || all.Total.Cancelled != 1 || all.Total.DeadLetters != 2 {
		t.Errorf("of all: %+v, %+v", all.Total, all.Types)
	}
	if len(none.Types) != 1 || none.Total != (readmodel.Outcomes{}) {
		t.Errorf("of a type without tasks: %+v", none.Total)
	}
	if mine.Total.Failed != 1 || mine.Total.DeadLetters != 1 {
		t.Errorf("of one user: %+v", mine.Total)
	}
}
