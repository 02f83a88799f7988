package readmodel

import (
	"math"
	"slices"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// UsualTasks is how many of the latest completed tasks of a type tell how long its
// attempts usually take.
const UsualTasks = 200

// Usual is how long the attempts of a type usually take: those that succeeded, of
// its latest completed tasks.
type Usual struct {
	Type string `json:"type"`
	// Tasks is how many tasks were looked at, the oldest created at Since.
	Tasks int       `json:"tasks"`
	Since time.Time `json:"since,omitzero"`
	// Attempts is the distribution of their durations.
	Attempts ExecutionTime `json:"attempts"`
}

// Add counts a task, given by all of its events.
func (u *Usual) Add(events []timeline.Event, durations []time.Duration) []time.Duration {
	snap, ok := timeline.Fold(events)
	if !ok || snap.State != timeline.StateCompleted {
		return durations
	}
	u.Tasks++
	if u.Since.IsZero() || snap.CreatedAt.Before(u.Since) {
		u.Since = snap.CreatedAt
	}
	for _, a := range timeline.FoldAttempts(events) {
		if a.Outcome == timeline.OutcomeSuccess {
			durations = append(durations, a.Duration.Duration())
		}
	}
	return durations
}

// ExecutionTimeOf is the distribution of durations, which it sorts.
func ExecutionTimeOf(durations []time.Duration) ExecutionTime {
	n := len(durations)
	if n == 0 {
		return ExecutionTime{}
	}
	slices.Sort(durations)
	var sum float64
	for _, d := range durations {
		sum += float64(d)
	}
	at := func(q float64) timeline.Millis {
		return timeline.Millis(durations[max(int(math.Ceil(q*float64(n)))-1, 0)])
	}
	return ExecutionTime{Count: int64(n), Average: timeline.Millis(sum / float64(n)), P50: at(0.5), P95: at(0.95), P99: at(0.99)}
}
