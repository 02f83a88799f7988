package rule

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tasktrail/tasktrail/alerting/match"
	"github.com/tasktrail/tasktrail/timeline"
)

const (
	// early is how long before its due time a run may start and be that run.
	early = time.Minute
	// silentFor is how long a group that fell silent is called for; then it is taken
	// to be gone.
	silentFor = 7 * 24 * time.Hour
	// maxLookups bounds the errors whose past is asked for in one round.
	maxLookups = 200
)

// The conditions of rules that have several.
const (
	NeverStarted = "never_started"
	Late         = "late"
	FirstSeen    = "new"
	Regressed    = "regressed"
)

// reading is what a rule measured for one group.
type reading struct {
	labels    match.Labels
	condition string
	// detail is a further part of the alert's identity: a fingerprint.
	detail string
	value  float64
	// holds: it is past Above; over: at or below Clear. Neither between the two.
	holds, over bool
	text        string
	taskID      string
	// began is since when it holds, where that is known better than by asking.
	began time.Time
}

// Evaluate decides which rules hold at now, over what this engine and the others
// of the fleet counted, and returns what changed. What could not be asked of past
// leaves the rules concerned as they were; the error says so. ctx bounds the
// questions.
func (e *Engine) Evaluate(ctx context.Context, now time.Time, past Past, fleet []*Share) ([]Finding, error) {
	e.mu.Lock()
	jobs := make([]job, len(e.watches))
	for i, w := range e.watches {
		jobs[i] = job{w: w, groups: w.merged(fleet)}
	}
	began := e.began
	e.mu.Unlock()
	var errs []error
	for i := range jobs {
		j := &jobs[i]
		if j.readings, j.err = j.measure(ctx, now, began, past, fleet); j.err != nil {
			errs = append(errs, fmt.Errorf("rule %s: %w", j.w.Name, j.err))
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.evaluated = now
	var out []Finding
	for i := range jobs {
		if j := &jobs[i]; j.err == nil {
			e.learn(j)
			out = append(out, e.track(j.w, j.readings, now)...)
		}
	}
	out = append(out, e.drop(now)...)
	e.forget(now)
	return out, errors.Join(errs...)
}

type job struct {
	w        *watch
	groups   map[match.Labels]*group
	readings []reading
	err      error
	// learned are answers about errors, to be kept.
	learned map[match.Labels]map[string]seen
}

// merged gives copies of the groups, those of the fleet added.
func (w *watch) merged(fleet []*Share) map[match.Labels]*group {
	out := make(map[match.Labels]*group, len(w.groups))
	for k, g := range w.groups {
		out[k] = g.clone()
	}
	for _, s := range fleet {
		for _, g := range s.Groups[w.key] {
			if own := out[g.Labels]; own != nil {
				own.merge(g, w.Window, w.streakKept())
			} else if len(out) < maxGroups {
				out[g.Labels] = g.clone()
			}
		}
	}
	return out
}

func (j *job) measure(ctx context.Context, now, began time.Time, past Past, fleet []*Share) ([]reading, error) {
	w := j.w
	var out []reading
	level := func(labels match.Labels, value float64, text string) {
		out = append(out, reading{labels: labels, value: value, holds: value > w.Above, over: value <= w.Clear, text: text})
	}
	switch w.Kind {
	case FailureRate:
		for _, g := range j.groups {
			good, bad := g.sum(now, w.Window)
			if good+bad == 0 {
				continue
			}
			rate := float64(bad) / float64(good+bad)
			out = append(out, reading{
				labels: g.Labels, value: rate, holds: rate > w.Above && good+bad >= int64(w.MinSamples), over: rate <= w.Clear,
				text: fmt.Sprintf("%d of %d runs failed within %s (%.0f %%)", bad, good+bad, FormatDuration(w.Window), rate*100),
			})
		}
	case ConsecutiveFailures:
		for _, g := range j.groups {
			n := g.streak()
			level(g.Labels, float64(n), fmt.Sprintf("%d runs failed in a row", n))
		}
	case LostTasks:
		for _, g := range j.groups {
			_, n := g.sum(now, w.Window)
			level(g.Labels, float64(n), fmt.Sprintf("the heartbeats of %d tasks stopped within %s", n, FormatDuration(w.Window)))
		}
	case DeadLetterGrowth:
		for _, g := range j.groups {
			less, more := g.sum(now, w.Window)
			level(g.Labels, float64(more-less), fmt.Sprintf("%d dead letters more within %s", more-less, FormatDuration(w.Window)))
		}
	case Silent:
		for _, g := range j.silentGroups(began) {
			quiet := now.Sub(time.Unix(0, g.Last))
			if quiet > silentFor+time.Duration(w.Above*float64(time.Second)) {
				continue
			}
			level(g.Labels, quiet.Seconds(), "nothing was heard for "+quiet.Round(time.Second).String())
		}
	case MissedRun:
		return j.missed(now, began), nil
	case NewError:
		return j.newErrors(ctx, now, past)
	case DeadLetters, OldestPending:
		return j.gauges(ctx, now, past)
	case StalledIngest:
		lag, err := past.IngestLag(ctx)
		if err != nil {
			return nil, err
		}
		for _, s := range fleet {
			lag = max(lag, s.Lag)
		}
		level(match.Labels{match.Namespace: timeline.DefaultNamespace}, lag.Seconds(), "accepted events wait for ClickHouse since "+lag.Round(time.Second).String())
	}
	return out, nil
}

// home is the namespace of a rule about what may never have been heard of.
func (r *Rule) home() match.Labels {
	ns := timeline.DefaultNamespace
	if name, ok := r.Match.Single(match.Namespace); ok {
		ns = name
	}
	if r.Scope != "" {
		ns = r.Scope
	}
	return match.Labels{match.Namespace: ns}
}

// silentGroups adds to what was heard of what never was, where a rule is not
// split: then there is no doubt what should have been.
func (j *job) silentGroups(began time.Time) []*group {
	groups := slices.Collect(maps.Values(j.groups))
	if len(j.w.By) == 0 {
		if home := j.w.home(); j.groups[home] == nil {
			groups = append(groups, &group{Labels: home, Last: began.UnixNano()})
		}
	}
	return groups
}

func (j *job) missed(now, began time.Time) []reading {
	w := j.w
	groups := j.groups
	if home := w.home(); groups[home] == nil {
		groups[home] = &group{Labels: home}
	}
	var out []reading
	for _, g := range groups {
		due := began
		lastStart := time.Time{}
		if n := len(g.Starts); n > 0 {
			lastStart = time.Unix(0, g.Starts[n-1].At)
		}
		never := reading{labels: g.Labels, condition: NeverStarted, over: true}
		if w.Schedule.Every > 0 {
			if lastStart.After(due) {
				due = lastStart
			}
			due = due.Add(w.Schedule.Every)
			never.holds = now.After(due.Add(w.Grace))
		} else {
			from := began
			if lastStart.Add(early).After(from) {
				from = lastStart.Add(early)
			}
			due = w.Schedule.last(from, now.Add(-w.Grace))
			never.holds = !due.IsZero()
		}
		if never.over = !never.holds; never.holds {
			never.value, never.began = now.Sub(due).Seconds(), due.Add(w.Grace)
			never.text = "the run that was due at " + due.UTC().Format(time.RFC3339) + " did not start"
			if !lastStart.IsZero() {
				never.text += "; the last one started at " + lastStart.UTC().Format(time.RFC3339)
			}
		}
		out = append(out, never)
		if w.FinishWithin == 0 {
			continue
		}
		late := reading{labels: g.Labels, condition: Late, over: true}
		for _, s := range g.Starts {
			if took := now.Sub(time.Unix(0, s.At)); !s.Done && took > w.FinishWithin {
				late.holds, late.over, late.value, late.taskID = true, false, took.Seconds(), s.Task
				late.began = time.Unix(0, s.At).Add(w.FinishWithin)
				late.text = "the run that started at " + time.Unix(0, s.At).UTC().Format(time.RFC3339) + " has not ended within " + FormatDuration(w.FinishWithin)
			}
		}
		out = append(out, late)
	}
	return out
}

func (j *job) newErrors(ctx context.Context, now time.Time, past Past) ([]reading, error) {
	var out []reading
	lookups := 0
	for _, g := range j.groups {
		for fp, s := range g.Errors {
			if now.Sub(time.Unix(0, s.First)) > j.w.Window {
				continue
			}
			if !s.Known {
				if lookups++; lookups > maxLookups {
					continue // in the next round
				}
				before, err := past.LastSeen(ctx, g.Labels[match.Namespace], fp, time.Unix(0, s.First))
				if err != nil {
					return nil, err
				}
				s.Known, s.Before = true, 0
				if !before.IsZero() {
					s.Before = before.UnixNano()
				}
				if j.learned == nil {
					j.learned = map[match.Labels]map[string]seen{}
				}
				if j.learned[g.Labels] == nil {
					j.learned[g.Labels] = map[string]seen{}
				}
				j.learned[g.Labels][fp] = s
			}
			r := reading{labels: g.Labels, condition: FirstSeen, detail: fp, value: float64(s.Count), holds: true, taskID: s.Task, began: time.Unix(0, s.First)}
			if s.Before != 0 {
				if s.First-s.Before < int64(j.w.Quiet) {
					continue
				}
				r.condition = Regressed
			}
			r.text = fmt.Sprintf("%s: %s", s.Kind, s.Sample)
			out = append(out, r)
		}
	}
	return out, nil
}

func (j *job) gauges(ctx context.Context, now time.Time, past Past) ([]reading, error) {
	ask := past.DeadLetters
	if j.w.Kind == OldestPending {
		ask = past.Pending
	}
	got, err := ask(ctx, j.w.asked())
	if err != nil {
		return nil, err
	}
	sums := map[match.Labels]Gauge{}
	for _, g := range got {
		if !j.w.about(&g.Labels) {
			continue
		}
		key := j.w.groupOf(&g.Labels)
		s, ok := sums[key]
		if !ok && len(sums) >= maxGroups {
			continue
		}
		s.Labels = key
		s.Count += g.Count
		if s.Oldest.IsZero() || !g.Oldest.IsZero() && g.Oldest.Before(s.Oldest) {
			s.Oldest = g.Oldest
		}
		sums[key] = s
	}
	var out []reading
	for key, s := range sums {
		r := reading{labels: key, value: float64(s.Count), text: fmt.Sprintf("%d dead letters are pending", s.Count)}
		if j.w.Kind == OldestPending {
			wait := max(now.Sub(s.Oldest), 0)
			r.value, r.text = wait.Seconds(), fmt.Sprintf("%d tasks wait, the oldest for %s", s.Count, wait.Round(time.Second))
		}
		r.holds, r.over = r.value > j.w.Above, r.value <= j.w.Clear
		out = append(out, r)
	}
	return out, nil
}
