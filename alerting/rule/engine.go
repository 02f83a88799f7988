package rule

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/alerting/match"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

const (
	// clockSlack is how far ahead a writer's clock is believed.
	clockSlack = 5 * time.Minute
	// recentIDs bounds, twice over, the events whose copies are known.
	recentIDs = 1 << 16
)

// Engine watches events for a set of rules. It is safe for concurrent use.
type Engine struct {
	mu      sync.Mutex
	began   time.Time
	watches []*watch
	byType  [256][]*watch
	tracks  map[trackKey]*Track
	// evaluated is when rules were last decided on.
	evaluated time.Time
	// young and old hold the last events' ids: what comes again counts once.
	young, old map[uint64]struct{}
	overflow   uint64
}

// watch is one rule and what it has counted.
type watch struct {
	Rule
	key    string
	groups map[match.Labels]*group
}

// New makes an engine. began is since when it can know of what it should have
// heard: runs that were due before are not missed.
func New(rules []Rule, began time.Time) *Engine {
	e := &Engine{began: began, tracks: map[trackKey]*Track{}, young: map[uint64]struct{}{}}
	e.Replace(rules)
	return e
}

// key changes with what a rule counts: what was counted under another is of no
// use to it.
func (r *Rule) key() string {
	m, _ := r.Match.MarshalJSON() // a map of strings
	return fmt.Sprint(r.id(), "|", r.Kind, "|", string(m), "|", r.By, "|", slotOf(r.Window), "|", r.Schedule.Cron, r.Schedule.Every)
}

// Replace takes other rules into force. What those that stay have counted stays.
func (e *Engine) Replace(rules []Rule) {
	e.mu.Lock()
	defer e.mu.Unlock()
	was := map[string]*watch{}
	for _, w := range e.watches {
		was[w.key] = w
	}
	e.watches, e.byType = nil, [256][]*watch{}
	for _, r := range rules {
		w := &watch{Rule: r, key: r.key(), groups: map[match.Labels]*group{}}
		if old := was[w.key]; old != nil {
			w.groups = old.groups
		}
		e.watches = append(e.watches, w)
		for _, t := range typesOf(r.Kind) {
			e.byType[t] = append(e.byType[t], w)
		}
	}
}

// Rules lists the rules in force.
func (e *Engine) Rules() []Rule {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]Rule, len(e.watches))
	for i, w := range e.watches {
		out[i] = w.Rule
	}
	return out
}

// Overflow counts what was not counted because a rule had too many groups.
func (e *Engine) Overflow() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.overflow
}

// Observe counts an event. It keeps nothing of r.
func (e *Engine) Observe(r *wire.Record, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	watches := e.byType[r.Type]
	if len(watches) == 0 || e.again(r.ID) {
		return
	}
	at := time.Unix(0, r.OccurredAt)
	if at.After(now.Add(clockSlack)) {
		at = now
	}
	labels := LabelsOf(r)
	for _, w := range watches {
		if !w.about(&labels) {
			continue
		}
		key := w.groupOf(&labels)
		g := w.groups[key]
		if g == nil {
			if len(w.groups) >= maxGroups {
				e.overflow++
				continue
			}
			g = &group{Labels: key}
			w.groups[key] = g
		}
		w.count(g, r, at)
	}
}

// LabelsOf gives the labels of a record.
func LabelsOf(r *wire.Record) match.Labels {
	l := match.Labels{
		match.Namespace: string(r.Namespace), match.Type: string(r.TaskType), match.Queue: string(r.Queue),
		match.Provider: string(r.Provider), match.Agent: string(r.Agent), match.User: string(r.UserID),
		match.Task: string(r.TaskID), match.Reason: string(r.Reason),
	}
	if l[match.Namespace] == "" {
		l[match.Namespace] = timeline.DefaultNamespace
	}
	return l
}

// again reports whether an event was counted already, and remembers it.
func (e *Engine) again(id timeline.ID) bool {
	h := binary.LittleEndian.Uint64(id[8:]) ^ binary.LittleEndian.Uint64(id[:8])
	if _, ok := e.young[h]; ok {
		return true
	}
	if _, ok := e.old[h]; ok {
		return true
	}
	if len(e.young) >= recentIDs {
		e.old, e.young = e.young, make(map[uint64]struct{}, recentIDs)
	}
	e.young[h] = struct{}{}
	return false
}

func (w *watch) count(g *group, r *wire.Record, at time.Time) {
	g.Last = max(g.Last, at.UnixNano())
	failed := r.Type == timeline.TaskFailed
	switch w.Kind {
	case FailureRate:
		if failed {
			g.add(at, w.Window, 0, 1)
		} else {
			g.add(at, w.Window, 1, 0)
		}
	case ConsecutiveFailures:
		g.outcome(at.UnixNano(), hashOf(string(r.TaskID), strconv.Itoa(r.Run)), failed, w.streakKept())
	case LostTasks:
		g.add(at, w.Window, 0, 1)
	case DeadLetterGrowth:
		switch r.Type {
		case timeline.MovedToDLQ:
			g.add(at, w.Window, 0, 1)
		case timeline.DLQResolved, timeline.DLQDiscarded:
			g.add(at, w.Window, 1, 0)
		}
	case MissedRun:
		done := r.Type != timeline.TaskStarted
		if done {
			at = at.Add(-time.Duration(r.Duration))
		}
		g.started(at.UnixNano(), hashOf(string(r.TaskID), strconv.Itoa(r.Run)), string(r.TaskID), done)
	case NewError:
		w.failure(g, r, at.UnixNano())
	}
}

func (w *watch) streakKept() int { return int(min(w.Above, maxStreak)) + 2 }

func (w *watch) failure(g *group, r *wire.Record, at int64) {
	fp := string(r.Error.Fingerprint)
	if fp == "" {
		return
	}
	if g.Errors == nil {
		g.Errors = map[string]seen{}
	}
	s, ok := g.Errors[fp]
	switch {
	case !ok:
		if len(g.Errors) >= maxErrors {
			forgetOldestError(g.Errors)
		}
		s = seen{First: at, Last: at}
	case at-s.Last >= int64(w.Quiet):
		s = seen{First: at, Last: at, Before: s.Last, Known: true}
	}
	if s.Count == 0 {
		s.Kind, s.Task = string(r.Error.Kind), string(r.TaskID)
		s.Sample = string(r.Error.Message[:min(len(r.Error.Message), 300)])
	}
	s.Count++
	s.Last = max(s.Last, at)
	g.Errors[fp] = s
}

func forgetOldestError(m map[string]seen) {
	oldest, at := "", int64(0)
	for fp, s := range m {
		if oldest == "" || s.Last < at {
			oldest, at = fp, s.Last
		}
	}
	delete(m, oldest)
}
