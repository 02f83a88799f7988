package rule

import (
	"context"
	"time"

	"github.com/tasktrail/tasktrail/alerting/match"
)

// Past answers what can't be counted from events as they come by.
type Past interface {
	// DeadLetters gives how many dead letters are pending, by the labels of by and
	// the namespace.
	DeadLetters(ctx context.Context, by []match.Field) ([]Gauge, error)
	// Pending gives since when the oldest task waits for its first attempt, by the
	// labels.
	Pending(ctx context.Context, by []match.Field) ([]Gauge, error)
	// LastSeen gives when an error was last seen before a time, zero for never.
	LastSeen(ctx context.Context, namespace, fingerprint string, before time.Time) (time.Time, error)
	// IngestLag is how old the oldest event is that was accepted and is not stored.
	IngestLag(ctx context.Context) (time.Duration, error)
}

// Gauge is a number of tasks that share labels, and since when the oldest is
// there.
type Gauge struct {
	Labels match.Labels
	Count  int64
	Oldest time.Time
}

// asked are the labels that a rule has to be told gauges by.
func (r *Rule) asked() []match.Field {
	var by []match.Field
	for _, f := range match.TaskFields() {
		if f == match.Namespace || r.Match.Has(f) {
			by = append(by, f)
			continue
		}
		for _, b := range r.By {
			if b == f {
				by = append(by, f)
			}
		}
	}
	return by
}
