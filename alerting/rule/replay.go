package rule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tasktrail/tasktrail/alerting/match"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// replayStep is how often rules are evaluated in a replay; where one has so short a
// window that something could pass between two steps, it is each slot.
const replayStep = 15 * time.Second

// History gives events that are stored.
type History interface {
	// Replay calls each with the events of the types within [from, to), by
	// occurred_at. What it hands over is valid during the call alone.
	Replay(ctx context.Context, from, to time.Time, types []timeline.Type, each func(*wire.Record) error) error
	// LastSeen gives when an error was last seen before a time, zero for never.
	LastSeen(ctx context.Context, namespace, fingerprint string, before time.Time) (time.Time, error)
}

// ErrNotReplayable: a rule of this kind is about the moment alone.
var ErrNotReplayable = errors.New("stalled_ingest can't be tried on the past: it measures how far a collector is behind right now")

// Firing is an alert that would have been.
type Firing struct {
	Alert timeline.Alert `json:"alert"`
	// HeldAt is when the rule began to hold, FiredAt when somebody would have been
	// called, EndedAt when it would have been over, zero where it still fires.
	HeldAt  time.Time `json:"held_at"`
	FiredAt time.Time `json:"fired_at"`
	EndedAt time.Time `json:"ended_at,omitzero"`
}

// Result is what a replay came to.
type Result struct {
	Firings []Firing `json:"firings"`
	Events  int64    `json:"events"`
	// Held counts, by rule, how often it held and was over before it fired.
	Held map[string]int `json:"held,omitempty"`
}

// maxFirings bounds what a replay tells.
const maxFirings = 10_000

// Replay runs rules over the past: when would they have fired between from and
// to? They are warmed up with what came before, as far back as they look.
func Replay(ctx context.Context, rules []Rule, h History, from, to time.Time) (*Result, error) {
	back, step := time.Duration(0), replayStep
	var types []timeline.Type
	for i := range rules {
		r := &rules[i]
		if r.Kind == StalledIngest {
			return nil, fmt.Errorf("rule %s: %w", r.Name, ErrNotReplayable)
		}
		back = max(back, r.lookBack())
		if windowed(r.Kind) && r.Window < replayStep {
			step = slot
		}
		for _, t := range append(typesOf(r.Kind), foldTypes(r.Kind)...) {
			if !slices.Contains(types, t) {
				types = append(types, t)
			}
		}
	}
	p := &replay{History: h, engine: New(rules, from.Add(-back)), open: map[taskRun]folded{}, res: &Result{Held: map[string]int{}}, from: from, step: step, firing: map[timeline.ID]int{}}
	p.next = from.Add(-back).Truncate(step)
	err := h.Replay(ctx, from.Add(-back), to, types, func(r *wire.Record) error {
		p.res.Events++
		at := time.Unix(0, r.OccurredAt)
		if err := p.until(ctx, at); err != nil {
			return err
		}
		p.fold(r)
		p.engine.Observe(r, at)
		return nil
	})
	if err == nil {
		err = p.until(ctx, to)
	}
	// What was over before the time asked about was warming up.
	p.res.Firings = slices.DeleteFunc(p.res.Firings, func(f Firing) bool { return !f.EndedAt.IsZero() && !f.EndedAt.After(from) })
	return p.res, err
}

func windowed(k Kind) bool {
	return k == FailureRate || k == LostTasks || k == DeadLetterGrowth || k == NewError
}

// lookBack is how much of the past a rule has to know.
func (r *Rule) lookBack() time.Duration {
	switch r.Kind {
	case FailureRate, LostTasks, DeadLetterGrowth:
		return r.Window + r.For
	case NewError:
		return r.Window
	case MissedRun:
		if r.Schedule.Every > 0 {
			return r.Schedule.Every + r.Grace
		}
		return r.Grace + 24*time.Hour
	case DeadLetters, OldestPending:
		return 7 * 24 * time.Hour
	default:
		return 24 * time.Hour
	}
}

func foldTypes(k Kind) []timeline.Type {
	switch k {
	case DeadLetters:
		return []timeline.Type{timeline.MovedToDLQ, timeline.DLQRetryRequested, timeline.DLQResolved, timeline.DLQDiscarded, timeline.TaskCompleted}
	case OldestPending:
		return []timeline.Type{timeline.TaskCreated, timeline.TaskStarted, timeline.AttemptStarted, timeline.TaskCompleted, timeline.TaskFailed, timeline.TaskCancelled}
	}
	return nil
}

// replay stands for what the store says now, as it was at the replay's time.
type replay struct {
	History
	engine *Engine
	open   map[taskRun]folded
	res    *Result
	from   time.Time
	next   time.Time
	step   time.Duration
	firing map[timeline.ID]int
}

type taskRun struct {
	namespace, task string
	letter          bool
}

type folded struct {
	labels match.Labels
	at     time.Time
}

// maxFolded bounds the tasks a replay follows; of more, gauges are too low.
const maxFolded = 2_000_000

func (p *replay) until(ctx context.Context, at time.Time) error {
	for ; !p.next.After(at); p.next = p.next.Add(p.step) {
		changes, err := p.engine.Evaluate(ctx, p.next, p, nil)
		if err != nil {
			return err
		}
		for i := range changes {
			p.note(&changes[i])
		}
	}
	return nil
}

func (p *replay) note(f *Finding) {
	t := &f.Track
	id := t.AlertID()
	switch t.State {
	case timeline.AlertFiring:
		if len(p.res.Firings) < maxFirings {
			p.firing[id] = len(p.res.Firings)
			p.res.Firings = append(p.res.Firings, Firing{Alert: f.Alert(), HeldAt: t.Since.UTC(), FiredAt: t.FiredAt.UTC()})
		}
	case timeline.AlertResolved:
		if t.FiredAt.IsZero() {
			if t.EndedAt.After(p.from) {
				p.res.Held[t.Rule]++
			}
			return
		}
		if i, ok := p.firing[id]; ok {
			p.res.Firings[i].EndedAt = t.EndedAt.UTC()
			p.res.Firings[i].Alert.State = timeline.AlertResolved
			delete(p.firing, id)
		}
	}
}

// fold keeps which tasks wait for their first attempt and which have a pending
// dead letter.
func (p *replay) fold(r *wire.Record) {
	labels := LabelsOf(r)
	pending := taskRun{labels[match.Namespace], string(r.TaskID), false}
	letter := taskRun{labels[match.Namespace], string(r.TaskID), true}
	set := func(k taskRun) {
		if _, ok := p.open[k]; !ok && len(p.open) < maxFolded {
			p.open[k] = folded{labels: labels, at: time.Unix(0, r.OccurredAt)}
		}
	}
	switch r.Type {
	case timeline.TaskCreated:
		set(pending)
	case timeline.TaskStarted, timeline.AttemptStarted, timeline.TaskFailed, timeline.TaskCancelled:
		delete(p.open, pending)
	case timeline.TaskCompleted:
		delete(p.open, pending)
		delete(p.open, letter)
	case timeline.MovedToDLQ:
		set(letter)
	case timeline.DLQRetryRequested, timeline.DLQResolved, timeline.DLQDiscarded:
		delete(p.open, letter)
	}
}

func (p *replay) gauges(letter bool, by []match.Field) ([]Gauge, error) {
	sums := map[match.Labels]*Gauge{}
	for k, f := range p.open {
		if k.letter != letter {
			continue
		}
		var key match.Labels
		key[match.Namespace] = f.labels[match.Namespace]
		for _, b := range by {
			key[b] = f.labels[b]
		}
		g := sums[key]
		if g == nil {
			g = &Gauge{Labels: key, Oldest: f.at}
			sums[key] = g
		}
		g.Count++
		if f.at.Before(g.Oldest) {
			g.Oldest = f.at
		}
	}
	out := make([]Gauge, 0, len(sums))
	for _, g := range sums {
		out = append(out, *g)
	}
	return out, nil
}

// DeadLetters implements [Past].
func (p *replay) DeadLetters(_ context.Context, by []match.Field) ([]Gauge, error) {
	return p.gauges(true, by)
}

// Pending implements [Past].
func (p *replay) Pending(_ context.Context, by []match.Field) ([]Gauge, error) {
	return p.gauges(false, by)
}

// IngestLag implements [Past]; rules that ask for it are refused before.
func (p *replay) IngestLag(context.Context) (time.Duration, error) { return 0, ErrNotReplayable }
