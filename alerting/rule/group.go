package rule

import (
	"cmp"
	"hash/fnv"
	"slices"
	"time"

	"github.com/tasktrail/tasktrail/alerting/match"
)

const (
	// slot is the shortest time that is told apart.
	slot = 10 * time.Second
	// slotsPerWindow bounds the slots of a window; a longer one has longer slots.
	slotsPerWindow = 360
	// maxStreak bounds the failures in a row that a rule may ask for.
	maxStreak = 1_000
	// maxStarts bounds the runs that are remembered for a missed run.
	maxStarts = 200
	// maxGroups bounds the groups of one rule, maxErrors its fingerprints.
	maxGroups = 2_000
	maxErrors = 10_000
)

// group is what one rule counted of one group of tasks, on one collector. Groups
// of several collectors add up.
type group struct {
	Labels  match.Labels `json:"l"`
	Buckets []bucket     `json:"b,omitempty"`
	// Outcomes are the last runs that ended, by time.
	Outcomes []outcome `json:"o,omitempty"`
	// Last is when it was last heard of, in Unix nanoseconds.
	Last   int64           `json:"t,omitempty"`
	Starts []start         `json:"s,omitempty"`
	Errors map[string]seen `json:"e,omitempty"`
}

// bucket counts within one slot.
type bucket struct {
	At   int64 `json:"a"` // Unix seconds of its beginning
	Good int64 `json:"g,omitempty"`
	Bad  int64 `json:"n,omitempty"`
}

// outcome is how a run ended.
type outcome struct {
	At     int64  `json:"a"`
	ID     uint64 `json:"i"`
	Failed bool   `json:"f,omitempty"`
}

// start is a run of a declared schedule.
type start struct {
	At   int64  `json:"a"`
	ID   uint64 `json:"i"` // of task and run
	Task string `json:"k"`
	Done bool   `json:"d,omitempty"`
}

// seen is an error of one fingerprint.
type seen struct {
	// First and Last are of the time since it was new or came again, in Unix
	// nanoseconds; Before is when it was last seen before that, 0 for never.
	First  int64 `json:"f"`
	Last   int64 `json:"l"`
	Before int64 `json:"b,omitempty"`
	// Known: Before is true, not merely not looked up.
	Known  bool   `json:"k,omitempty"`
	Count  int64  `json:"c"`
	Kind   string `json:"y,omitempty"`
	Sample string `json:"m,omitempty"`
	Task   string `json:"t,omitempty"`
}

// slotOf is how long the slots of a window are.
func slotOf(window time.Duration) time.Duration {
	return max(slot, (window / slotsPerWindow).Truncate(time.Second))
}

func (g *group) add(at time.Time, window time.Duration, good, bad int64) {
	size := int64(slotOf(window) / time.Second)
	from := at.Unix() / size * size
	i, found := slices.BinarySearchFunc(g.Buckets, from, func(b bucket, t int64) int { return cmp.Compare(b.At, t) })
	if !found {
		g.Buckets = slices.Insert(g.Buckets, i, bucket{At: from})
		// A late event may stand before the window: the oldest slot goes.
		if len(g.Buckets) > slotsPerWindow+2 {
			g.Buckets = slices.Delete(g.Buckets, 0, 1)
			if i--; i < 0 {
				return
			}
		}
	}
	g.Buckets[i].Good += good
	g.Buckets[i].Bad += bad
}

// sum counts what happened within the window before now, and the whole of the slot
// that the window begins in: of a window as short as a slot less would be seen for a
// moment alone, and missed between two rounds.
func (g *group) sum(now time.Time, window time.Duration) (good, bad int64) {
	from := now.Add(-window - slotOf(window)).Unix()
	for _, b := range g.Buckets {
		if b.At > from && b.At <= now.Unix() {
			good += b.Good
			bad += b.Bad
		}
	}
	return good, bad
}

func (g *group) outcome(at int64, id uint64, failed bool, keep int) {
	i, found := slices.BinarySearchFunc(g.Outcomes, outcome{At: at, ID: id}, func(a, b outcome) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.ID, b.ID))
	})
	if found {
		return
	}
	g.Outcomes = slices.Insert(g.Outcomes, i, outcome{at, id, failed})
	if len(g.Outcomes) > keep {
		g.Outcomes = g.Outcomes[1:]
	}
}

// streak is how many of the last runs failed in a row.
func (g *group) streak() (n int) {
	for i := len(g.Outcomes) - 1; i >= 0 && g.Outcomes[i].Failed; i-- {
		n++
	}
	return n
}

func (g *group) started(at int64, id uint64, task string, done bool) {
	if i := slices.IndexFunc(g.Starts, func(s start) bool { return s.ID == id }); i >= 0 {
		g.Starts[i].Done = g.Starts[i].Done || done
		g.Starts[i].At = min(g.Starts[i].At, at)
		return
	}
	g.Starts = append(g.Starts, start{at, id, task, done})
	slices.SortFunc(g.Starts, func(a, b start) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.ID, b.ID)) })
	if len(g.Starts) > maxStarts {
		g.Starts = g.Starts[1:]
	}
}

// merge adds what another collector counted. g must be a copy.
func (g *group) merge(o *group, window time.Duration, streak int) {
	for _, b := range o.Buckets {
		g.add(time.Unix(b.At, 0), window, b.Good, b.Bad)
	}
	for _, x := range o.Outcomes {
		g.outcome(x.At, x.ID, x.Failed, streak)
	}
	for _, s := range o.Starts {
		g.started(s.At, s.ID, s.Task, s.Done)
	}
	g.Last = max(g.Last, o.Last)
	for fp, e := range o.Errors {
		if g.Errors == nil {
			g.Errors = map[string]seen{}
		}
		was, ok := g.Errors[fp]
		if !ok {
			g.Errors[fp] = e
			continue
		}
		was.Count += e.Count
		was.Last = max(was.Last, e.Last)
		if e.First < was.First {
			was.First, was.Before, was.Known, was.Sample, was.Task = e.First, e.Before, e.Known, e.Sample, e.Task
		}
		g.Errors[fp] = was
	}
}

func (g *group) clone() *group {
	c := *g
	c.Buckets, c.Outcomes, c.Starts = slices.Clone(g.Buckets), slices.Clone(g.Outcomes), slices.Clone(g.Starts)
	if g.Errors != nil {
		c.Errors = make(map[string]seen, len(g.Errors))
		for k, v := range g.Errors {
			c.Errors[k] = v
		}
	}
	return &c
}

func hashOf(words ...string) uint64 {
	h := fnv.New64a()
	for _, w := range words {
		_, _ = h.Write([]byte(w))
		_, _ = h.Write([]byte{0})
	}
	return h.Sum64()
}
