package rule

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/tasktrail/tasktrail/alerting/match"
	"github.com/tasktrail/tasktrail/timeline"
)

// Finding is what became of a rule for one group: it is pending, fires, or is
// resolved.
type Finding struct {
	Rule  *Rule
	Track Track
}

// trackKey names what a rule finds, across collectors and restarts.
type trackKey struct {
	rule      string
	labels    match.Labels
	condition string
	detail    string
}

// Track is how long a rule has held for a group.
type Track struct {
	Rule      string       `json:"rule"`
	Labels    match.Labels `json:"labels"`
	Condition string       `json:"condition,omitempty"`
	// Detail tells findings of one group apart: the fingerprint of an error.
	Detail string              `json:"detail,omitempty"`
	State  timeline.AlertState `json:"state"`
	// Since is when it began to hold, FiredAt when that was for long enough, ClearAt
	// since when it is over, EndedAt when that was for long enough.
	Since   time.Time `json:"since"`
	FiredAt time.Time `json:"fired_at,omitzero"`
	ClearAt time.Time `json:"clear_at,omitzero"`
	EndedAt time.Time `json:"ended_at,omitzero"`
	Value   float64   `json:"value"`
	Text    string    `json:"text,omitempty"`
	TaskID  string    `json:"task_id,omitempty"`
}

func (t *Track) key() trackKey { return trackKey{t.Rule, t.Labels, t.Condition, t.Detail} }

// AlertID is the id of the finding's alert, the same on every collector.
func (t *Track) AlertID() timeline.ID {
	words := []string{"alert", "rule", t.Rule, t.Condition, t.Detail}
	return timeline.DeriveID(append(words, t.Labels[:]...)...)
}

// track moves a rule's findings on by what was measured, and returns those that
// changed their state. The lock is held.
func (e *Engine) track(w *watch, readings []reading, now time.Time) (out []Finding) {
	measured := map[trackKey]bool{}
	step := func(k trackKey, r *reading) {
		t := e.tracks[k]
		if t == nil {
			if !r.holds || len(e.tracks) >= maxGroups*4 {
				return
			}
			t = &Track{Rule: w.id(), Labels: k.labels, Condition: k.condition, Detail: k.detail}
			e.tracks[k] = t
		}
		changed := t.step(w, r, now)
		if changed {
			rule := w.Rule
			out = append(out, Finding{&rule, *t})
		}
		if t.State == timeline.AlertResolved || t.State == "" {
			delete(e.tracks, k)
		}
	}
	for i := range readings {
		r := &readings[i]
		k := trackKey{w.id(), r.labels, r.condition, r.detail}
		measured[k] = true
		step(k, r)
	}
	// What is measured no more is over.
	for k := range e.tracks {
		if k.rule == w.id() && !measured[k] {
			step(k, &reading{labels: k.labels, over: true})
		}
	}
	slices.SortStableFunc(out, func(a, b Finding) int {
		return cmp.Or(strings.Compare(a.Track.Condition, b.Track.Condition), strings.Compare(a.Track.Detail, b.Track.Detail),
			slices.Compare(a.Track.Labels[:], b.Track.Labels[:]))
	})
	return out
}

// step is the state machine of one finding; it reports whether the state changed.
//
//	nothing ─holds─► pending ─for─► firing ─over, for keep─► resolved
//	                    └─holds no more─► nothing
//
// Between Clear and Above an alert that fires goes on, and nothing begins.
func (t *Track) step(w *watch, r *reading, now time.Time) (changed bool) {
	if r.text != "" {
		t.Value, t.Text = r.value, r.text
	}
	if r.taskID != "" {
		t.TaskID = r.taskID
	}
	switch t.State {
	case "":
		t.Since = now
		if !r.began.IsZero() && r.began.Before(now) {
			t.Since = r.began
		}
		t.State, changed = timeline.AlertPending, true
	case timeline.AlertPending:
		if !r.holds {
			t.State, t.EndedAt = timeline.AlertResolved, now
			return true
		}
	case timeline.AlertFiring:
		switch {
		case !r.over:
			t.ClearAt = time.Time{}
		case t.ClearAt.IsZero():
			t.ClearAt = now
			fallthrough
		default:
			if !now.Before(t.ClearAt.Add(w.Keep)) {
				t.State, t.EndedAt = timeline.AlertResolved, now
				return true
			}
		}
		return false
	}
	if t.State == timeline.AlertPending && !now.Before(t.Since.Add(w.For)) {
		t.State, t.FiredAt, changed = timeline.AlertFiring, now, true
	}
	return changed
}

// drop ends the findings of rules that are not in force any more.
func (e *Engine) drop(now time.Time) (out []Finding) {
	names := map[string]bool{}
	for _, w := range e.watches {
		names[w.id()] = true
	}
	for k, t := range e.tracks {
		if names[k.rule] {
			continue
		}
		t.State, t.EndedAt, t.Text = timeline.AlertResolved, now, "the rule is not in force any more"
		out = append(out, Finding{&Rule{Name: strings.TrimPrefix(k.rule, k.labels[match.Namespace]+"/"), Severity: timeline.AlertMedium}, *t})
		delete(e.tracks, k)
	}
	return out
}

// learn keeps what was asked about errors. The lock is held.
func (e *Engine) learn(j *job) {
	for labels, errs := range j.learned {
		g := j.w.groups[labels]
		if g == nil {
			continue
		}
		for fp, s := range errs {
			if own, ok := g.Errors[fp]; ok && own.First >= s.First {
				own.Known, own.Before = true, s.Before
				g.Errors[fp] = own
			}
		}
	}
}

// forget lets go of groups that have counted nothing for long. The lock is held.
func (e *Engine) forget(now time.Time) {
	for _, w := range e.watches {
		keep := max(w.Window, 24*time.Hour)
		switch w.Kind {
		case Silent:
			keep = silentFor + time.Duration(w.Above*float64(time.Second))
		case ConsecutiveFailures, MissedRun:
			keep = MaxWindow
		case NewError:
			keep = w.Quiet + w.Window
		}
		for k, g := range w.groups {
			if now.Sub(time.Unix(0, g.Last)) > keep {
				delete(w.groups, k)
			}
		}
	}
}

// Forget lets go of all findings: another collector decides.
func (e *Engine) Forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(e.tracks)
}
