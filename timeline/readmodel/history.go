package readmodel

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// What bounds a history.
const (
	// HistoryMinute is the least step: outcomes are kept by the minute.
	HistoryMinute = time.Minute
	// MaxHistoryPoints bounds how many steps a window has.
	MaxHistoryPoints = 500
	// MaxHistoryTypes bounds how many types are listed, the busiest first.
	MaxHistoryTypes = 100
)

// HistoryQuery asks for what came to its end from From until To, both multiples of a
// minute, in steps that are multiples of a minute too and begin at multiples of
// themselves since the epoch.
type HistoryQuery struct {
	From, To time.Time
	Step     time.Duration
	// Type narrows the points down to the tasks of one type; empty for all.
	Type string
}

// HistoryStep is the beginning of the step that a time lies in.
func HistoryStep(at time.Time, step time.Duration) time.Time {
	seconds := int64(step / time.Second)
	return time.Unix(at.Unix()/seconds*seconds, 0).UTC()
}

// Outcomes is what runs and attempts came to within a time.
type Outcomes struct {
	Completed   int64 `json:"completed_runs"`
	Failed      int64 `json:"failed_runs"`
	Cancelled   int64 `json:"cancelled_runs"`
	Lost        int64 `json:"lost_runs"`
	DeadLetters int64 `json:"dead_letters"`
	// FailureRate is failed / (failed + completed) runs, 0..1.
	FailureRate    float64       `json:"failure_rate"`
	FailedAttempts int64         `json:"failed_attempts"`
	Execution      ExecutionTime `json:"execution_time"`
}

// HistoryPoint is one step, which begins at At. The last one ends with the history.
type HistoryPoint struct {
	At time.Time `json:"at"`
	Outcomes
}

// HistoryType is one type of task over the whole of a history.
type HistoryType struct {
	Type string `json:"type"`
	Outcomes
}

// History is how a namespace did over a time, oldest step first and none left out.
type History struct {
	From time.Time `json:"from"`
	// To is the end of the last whole minute: what is still filling up would look
	// like a fall.
	To   time.Time       `json:"to"`
	Step timeline.Millis `json:"step_ms"`
	// Type is the one the points are of; empty for all.
	Type   string         `json:"type,omitempty"`
	Points []HistoryPoint `json:"points"`
	// Total is of all points, Types of each type whichever was asked for.
	Total Outcomes      `json:"total"`
	Types []HistoryType `json:"types"`
}

// HistorySums are the sums of a part of a history, which add up.
type HistorySums struct {
	Completed, Failed, Cancelled, Lost, DeadLetters uint64
	Attempts, FailedAttempts, DurationSum           uint64
	// Durations counts attempts by [DurationBucket].
	Durations map[uint16]uint64
}

// HistoryRow is what happened to tasks of a type in some part of the step that At
// lies in.
type HistoryRow struct {
	At   time.Time
	Type string
	HistorySums
}

// Add adds another part.
func (s *HistorySums) Add(o *HistorySums) {
	s.Completed += o.Completed
	s.Failed += o.Failed
	s.Cancelled += o.Cancelled
	s.Lost += o.Lost
	s.DeadLetters += o.DeadLetters
	s.Attempts += o.Attempts
	s.FailedAttempts += o.FailedAttempts
	s.DurationSum += o.DurationSum
	if s.Durations == nil {
		s.Durations = make(map[uint16]uint64, len(o.Durations))
	}
	for k, n := range o.Durations {
		s.Durations[k] += n
	}
}

func (s *HistorySums) outcomes() Outcomes {
	o := Outcomes{
		Completed: int64(s.Completed), Failed: int64(s.Failed), Cancelled: int64(s.Cancelled), Lost: int64(s.Lost),
		DeadLetters: int64(s.DeadLetters), FailedAttempts: int64(s.FailedAttempts),
	}
	if ended := s.Completed + s.Failed; ended > 0 {
		o.FailureRate = float64(s.Failed) / float64(ended)
	}
	if s.Attempts > 0 {
		at := func(q float64) timeline.Millis {
			return BucketQuantile(s.Durations, DurationBuckets, s.Attempts, q)
		}
		o.Execution = ExecutionTime{
			Count: int64(s.Attempts), Average: timeline.Millis(float64(s.DurationSum) / float64(s.Attempts)), P50: at(0.5), P95: at(0.95), P99: at(0.99),
		}
	}
	return o
}

// DurationBuckets is how many buckets of a history a doubling of a duration has: a
// quantile is off by half a bucket, which is 2.2 %.
const DurationBuckets = 16

// DurationBucket is the bucket that a duration falls into.
func DurationBucket(d time.Duration) uint16 {
	return uint16(DurationBuckets * math.Log2(float64(max(d, 0))+1))
}

// BucketQuantile returns the middle of the bucket that holds a quantile of n
// durations, counted in buckets of which a doubling has perDoubling.
func BucketQuantile(buckets map[uint16]uint64, perDoubling float64, n uint64, q float64) timeline.Millis {
	rank := uint64(math.Ceil(q * float64(n)))
	keys := make([]uint16, 0, len(buckets))
	for k := range buckets {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var seen uint64
	for _, k := range keys {
		if seen += buckets[k]; seen >= rank {
			return timeline.Millis(math.Exp2((float64(k)+0.5)/perDoubling) - 1)
		}
	}
	return 0
}

// HistoryOf puts the parts of a history together.
func HistoryOf(q HistoryQuery, rows []HistoryRow) History {
	h := History{From: q.From, To: q.To, Step: timeline.Millis(q.Step), Type: q.Type, Points: []HistoryPoint{}, Types: []HistoryType{}}
	var total HistorySums
	points, types := map[int64]*HistorySums{}, map[string]*HistorySums{}
	for i := range rows {
		r := &rows[i]
		sumsOf(types, r.Type).Add(&r.HistorySums)
		if q.Type != "" && r.Type != q.Type {
			continue
		}
		sumsOf(points, HistoryStep(r.At, q.Step).UnixNano()).Add(&r.HistorySums)
		total.Add(&r.HistorySums)
	}
	h.Total = total.outcomes()
	for at := q.From; at.Before(q.To); at = at.Add(q.Step) {
		p := HistoryPoint{At: at}
		if s := points[at.UnixNano()]; s != nil {
			p.Outcomes = s.outcomes()
		}
		h.Points = append(h.Points, p)
	}
	for name, s := range types {
		h.Types = append(h.Types, HistoryType{Type: name, Outcomes: s.outcomes()})
	}
	busy := func(t *HistoryType) int64 { return t.Completed + t.Failed + t.Cancelled + t.Lost }
	slices.SortFunc(h.Types, func(a, b HistoryType) int {
		return cmp.Or(cmp.Compare(busy(&b), busy(&a)), cmp.Compare(b.Execution.Count, a.Execution.Count), cmp.Compare(a.Type, b.Type))
	})
	h.Types = h.Types[:min(len(h.Types), MaxHistoryTypes)]
	return h
}

func sumsOf[K comparable](all map[K]*HistorySums, key K) *HistorySums {
	s := all[key]
	if s == nil {
		s = &HistorySums{}
		all[key] = s
	}
	return s
}

// TaskHistory is what a task's events add to a history. A run that comes to the same
// end twice within a minute counts once.
func TaskHistory(q HistoryQuery, events []timeline.Event) []HistoryRow {
	type end struct {
		kind   timeline.Type
		run    int
		minute time.Time
	}
	snap, _ := timeline.Fold(events)
	seen, ids := map[end]bool{}, map[timeline.ID]bool{}
	var rows []HistoryRow
	for i := range events {
		e := &events[i]
		r := HistoryRow{At: e.OccurredAt.UTC().Truncate(HistoryMinute), Type: snap.Type}
		if ids[e.ID] || e.OccurredAt.Before(q.From) || !e.OccurredAt.Before(q.To) {
			continue
		}
		ids[e.ID] = true
		switch e.Type {
		case timeline.AttemptSuccess, timeline.AttemptFailed:
			r.Attempts, r.DurationSum = 1, uint64(e.Duration.Duration())
			r.Durations = map[uint16]uint64{DurationBucket(e.Duration.Duration()): 1}
			if e.Type == timeline.AttemptFailed {
				r.FailedAttempts = 1
			}
			rows = append(rows, r)
			continue
		case timeline.TaskCompleted:
			r.Completed = 1
		case timeline.TaskFailed:
			r.Failed = 1
		case timeline.TaskCancelled:
			r.Cancelled = 1
		case timeline.TaskLost:
			r.Lost = 1
		case timeline.MovedToDLQ:
			r.DeadLetters = 1
		default:
			continue
		}
		if k := (end{e.Type, e.Run, r.At}); !seen[k] {
			seen[k] = true
			rows = append(rows, r)
		}
	}
	return rows
}
