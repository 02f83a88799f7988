package alerting

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// maxSources bounds the processes whose breakers for one provider are told
// apart.
const maxSources = 1_000

// breakerEntry is the circuit breakers of one provider, one for each process.
type breakerEntry struct {
	Namespace string                   `json:"namespace"`
	Provider  string                   `json:"provider"`
	Sources   map[string]sourceBreaker `json:"sources"`
	// Alert is the one that fires, zero where none does.
	Alert     timeline.ID `json:"alert,omitzero"`
	UpdatedAt time.Time   `json:"updated_at"`
}

// sourceBreaker is one process's breaker as its last event left it.
type sourceBreaker struct {
	Open bool `json:"open,omitempty"`
	// At is the time of the event, Until when the breaker lets a probe through.
	At    time.Time `json:"at"`
	Until time.Time `json:"until,omitzero"`
}

func (b *breakerEntry) key() string { return b.Namespace + "\x00" + b.Provider }

func (b *breakerEntry) open() (n int) {
	for _, s := range b.Sources {
		if s.Open {
			n++
		}
	}
	return n
}

// breakerOpen raises a critical alert when the first of a provider's breakers
// opens and resolves it when the last one is closed again, or has expired with
// its process.
type breakerOpen struct{ expiry time.Duration }

func (breakerOpen) wants(_ *state, r *wire.Record) bool {
	switch r.Type {
	case timeline.CircuitBreakerOpened, timeline.CircuitBreakerHalfOpened, timeline.CircuitBreakerClosed:
		return true
	}
	return false
}

func (o breakerOpen) observe(s *state, e *timeline.Event, now time.Time) []timeline.Alert {
	provider := e.Provider
	if e.Breaker != nil {
		provider = cmp.Or(e.Breaker.Provider, provider)
	}
	before := s.breakers[(&breakerEntry{Namespace: e.Namespace, Provider: provider}).key()]
	b := &breakerEntry{Namespace: e.Namespace, Provider: provider, Sources: map[string]sourceBreaker{}}
	if before != nil {
		*b = *before
		b.Sources = maps.Clone(before.Sources)
	}
	was, known := b.Sources[e.SourceID]
	if known && !e.OccurredAt.After(was.At) {
		return nil // it comes again, or late
	}
	next := sourceBreaker{Open: e.Type != timeline.CircuitBreakerClosed, At: e.OccurredAt, Until: e.OccurredAt}
	if e.Type == timeline.CircuitBreakerOpened && e.Breaker != nil && e.Breaker.OpenUntil.After(e.OccurredAt) {
		next.Until = e.Breaker.OpenUntil
	}
	if next.Open && o.expired(next, now) {
		next.Open = false // read long after: there is nothing left to call for
	}
	if !known && len(b.Sources) >= maxSources {
		forgetOldest(b.Sources)
	}
	b.Sources[e.SourceID] = next
	b.UpdatedAt = later(e.OccurredAt, b.UpdatedAt)
	switch open := b.open(); {
	case open > 0 && b.Alert.IsZero():
		a := o.alert(e, provider)
		b.Alert = a.ID
		s.put(record{Breaker: b})
		return []timeline.Alert{a}
	case open == 0 && !b.Alert.IsZero():
		return o.resolve(s, b, e.OccurredAt, "closed: "+provider+" answers again")
	default:
		s.put(record{Breaker: b})
		return nil
	}
}

func forgetOldest(m map[string]sourceBreaker) {
	oldest := slices.MinFunc(slices.Collect(maps.Keys(m)), func(a, b string) int {
		if m[a].Open != m[b].Open {
			if m[b].Open {
				return -1
			}
			return 1
		}
		return m[a].At.Compare(m[b].At)
	})
	delete(m, oldest)
}

// expired reports whether a breaker's process is gone: it would have probed.
func (o breakerOpen) expired(b sourceBreaker, now time.Time) bool {
	return !now.Before(b.Until.Add(o.expiry))
}

func (o breakerOpen) due(s *state, now time.Time) []timeline.Alert {
	var out []timeline.Alert
	for _, before := range s.breakers {
		if before.Alert.IsZero() {
			continue
		}
		var gone []string
		ended := time.Time{}
		for source, b := range before.Sources {
			if b.Open && o.expired(b, now) {
				gone = append(gone, source)
				if at := b.Until.Add(o.expiry); at.After(ended) {
					ended = at
				}
			}
		}
		if len(gone) == 0 {
			continue
		}
		b := *before
		b.Sources = maps.Clone(before.Sources)
		for _, source := range gone {
			delete(b.Sources, source)
		}
		b.UpdatedAt = later(ended, b.UpdatedAt)
		if b.open() == 0 {
			out = append(out, o.resolve(s, &b, ended, "expired: the process that opened it gives no sign of life")...)
		} else {
			s.put(record{Breaker: &b})
		}
	}
	return out
}

func (o breakerOpen) resolve(s *state, b *breakerEntry, at time.Time, text string) []timeline.Alert {
	a := s.alerts[b.Alert]
	b.Alert = timeline.ID{}
	s.put(record{Breaker: b})
	if a == nil || a.State != timeline.AlertFiring {
		return nil
	}
	end := *a
	end.State, end.EndsAt, end.UpdatedAt, end.Text = timeline.AlertResolved, at, later(at, a.UpdatedAt), text
	return []timeline.Alert{end}
}

func (o breakerOpen) alert(e *timeline.Event, provider string) timeline.Alert {
	a := timeline.Alert{
		// The event that opened it makes this incident's id: the next one has another.
		ID:   timeline.DeriveID("alert", RuleBreakerOpen, e.Namespace, provider, e.ID.String()),
		Rule: RuleBreakerOpen, Severity: timeline.AlertCritical, State: timeline.AlertFiring,
		Title: "circuit breaker of " + provider + " is open", Namespace: e.Namespace, Queue: e.Queue, Agent: e.Agent, Provider: provider,
		StartsAt: e.OccurredAt, UpdatedAt: e.OccurredAt,
	}
	if b := e.Breaker; b != nil && b.Why != "" {
		a.Text = strings.ReplaceAll(b.Why, "_", " ")
		if b.Calls > 0 {
			a.Text += fmt.Sprintf(": %d of %d calls failed", b.Failures, b.Calls)
		} else if b.Consecutive > 0 {
			a.Text += ": " + plural(b.Consecutive, "failure")
		}
	}
	return a
}
