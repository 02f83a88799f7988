package readmodel_test

import (
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

func TestWhatADeadLetterFilterSelects(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	d := timeline.DeadLetter{
		Task: timeline.Task{ID: "t", Type: "payment", Queue: "q", UserID: "u"}, Status: timeline.DeadLetterPending,
		Reason: timeline.FailExhausted, AlertSeverity: timeline.AlertHigh, CreatedAt: at,
		Error:    &timeline.Error{Message: "Bank is away", Fingerprint: "fp1:a"},
		Attempts: []timeline.Attempt{{Duration: timeline.Millis(time.Second)}, {Duration: timeline.Millis(3 * time.Second), TraceID: timeline.TraceID{7}}},
	}
	none := timeline.DeadLetter{Task: d.Task, Status: d.Status, CreatedAt: at}
	for name, c := range map[string]struct {
		f         readmodel.DeadLetterFilter
		yes, bare bool // whether the letter is selected, and one without attempts and error
	}{
		"all":            {readmodel.DeadLetterFilter{}, true, true},
		"text":           {readmodel.DeadLetterFilter{Text: "bANK"}, true, false},
		"trace":          {readmodel.DeadLetterFilter{TraceID: timeline.TraceID{7}}, true, false},
		"attempts":       {readmodel.DeadLetterFilter{MinAttempts: 2}, true, false},
		"more attempts":  {readmodel.DeadLetterFilter{MinAttempts: 3}, false, false},
		"longest":        {readmodel.DeadLetterFilter{MinDuration: 3 * time.Second, MaxDuration: 3 * time.Second}, true, false},
		"shorter":        {readmodel.DeadLetterFilter{MaxDuration: 2 * time.Second}, false, false},
		"fingerprint":    {readmodel.DeadLetterFilter{Fingerprints: []string{"x", "fp1:a"}}, true, false},
		"user":           {readmodel.DeadLetterFilter{UserID: "u", TaskID: "t", Queues: []string{"q"}, Types: []string{"payment"}}, true, true},
		"another user":   {readmodel.DeadLetterFilter{UserID: "v"}, false, false},
		"created":        {readmodel.DeadLetterFilter{Created: readmodel.Range{From: at, To: at.Add(1)}}, true, true},
		"created before": {readmodel.DeadLetterFilter{Created: readmodel.Range{To: at}}, false, false},
		"severity":       {readmodel.DeadLetterFilter{Severities: []timeline.AlertSeverity{timeline.AlertHigh}}, true, false},
		"status":         {readmodel.DeadLetterFilter{Statuses: []timeline.DeadLetterStatus{timeline.DeadLetterResolved}}, false, false},
	} {
		if got := c.f.Matches(&d); got != c.yes {
			t.Errorf("%s: %v", name, got)
		}
		if got := c.f.Matches(&none); got != c.bare {
			t.Errorf("%s, without attempts: %v", name, got)
		}
	}
}
