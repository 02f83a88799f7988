package timeline

import (
	"cmp"
	"slices"
	"time"
)

// Outcome is how an attempt ended.
type Outcome string

// The outcomes of an attempt.
const (
	OutcomeRunning Outcome = "running"
	OutcomeSuccess Outcome = "success"
	OutcomeFailed  Outcome = "failed"
	OutcomeAborted Outcome = "aborted"
	// OutcomeLost: the worker died in the middle; the attempt counts.
	OutcomeLost Outcome = "lost"
)

// Attempt is one call of the executor, folded from the events of its task.
type Attempt struct {
	Run       int       `json:"run"`
	Number    int       `json:"attempt"`
	StartedAt time.Time `json:"started_at,omitzero"`
	EndedAt   time.Time `json:"ended_at,omitzero"`
	Duration  Millis    `json:"duration_ms,omitempty"`
	Outcome   Outcome   `json:"outcome"`
	Error     *Error    `json:"error,omitempty"`
	Breaker   *Breaker  `json:"breaker,omitempty"`
	// Wait is the decision that led to this attempt: how long it waited and why.
	Wait    *Retry  `json:"wait,omitempty"`
	Agent   string  `json:"agent,omitempty"`
	TraceID TraceID `json:"trace_id,omitzero"`
	SpanID  SpanID  `json:"span_id,omitzero"`
	// AbortReason says why an aborted attempt was stopped.
	AbortReason string `json:"abort_reason,omitempty"`
}

// FoldAttempts returns the attempts of one task, by run and number, from all its
// events in any order.
func FoldAttempts(events []Event) []Attempt {
	events = Ordered(events)
	type key struct{ run, n int }
	byKey := map[key]*Attempt{}
	waits := map[key]*Retry{}
	var lost []key          // attempts whose worker fell silent
	begun := map[int]int{}  // run → highest attempt that began so far
	ended := map[int]bool{} // run → it failed
	latest := 0
	get := func(e *Event) *Attempt {
		k := key{e.Run, e.Attempt}
		a := byKey[k]
		if a == nil {
			a = &Attempt{Run: e.Run, Number: e.Attempt, Outcome: OutcomeRunning}
			byKey[k] = a
		}
		return a
	}
	for i := range events {
		e := &events[i]
		if e.Type == TaskRetried && e.Retry != nil {
			waits[key{e.Run, max(e.Retry.NextAttempt, 1)}] = e.Retry
		}
		switch {
		case e.Type == TaskLost:
			n := stateAttempt(e)
			if n == 0 {
				n = begun[e.Run]
			}
			lost = append(lost, key{e.Run, n})
		case e.Type == TaskFailed:
			ended[e.Run] = true
		}
		latest = max(latest, e.Run)
		if e.Attempt == 0 {
			continue
		}
		switch e.Type {
		case AttemptStarted:
			a := get(e)
			a.StartedAt, a.Agent, a.TraceID, a.SpanID = e.OccurredAt, e.Agent, e.TraceID, e.SpanID
			if a.Outcome == OutcomeRunning {
				a.Breaker = e.Breaker
			}
			begun[e.Run] = max(begun[e.Run], e.Attempt)
		case AttemptSuccess:
			get(e).end(e, OutcomeSuccess)
		case AttemptFailed:
			get(e).end(e, OutcomeFailed)
		case AttemptAborted:
			a := get(e)
			a.end(e, OutcomeAborted)
			a.AbortReason = e.StopProof
		}
	}
	for _, k := range lost {
		if a := byKey[k]; a != nil && a.Outcome == OutcomeRunning {
			a.Outcome = OutcomeLost
		}
	}
	out := make([]Attempt, 0, len(byKey))
	for k, a := range byKey {
		a.Wait = waits[k]
		out = append(out, *a)
	}
	slices.SortFunc(out, func(a, b Attempt) int {
		return cmp.Or(cmp.Compare(a.Run, b.Run), cmp.Compare(a.Number, b.Number))
	})
	// An attempt that never ended while a later one began, or while its run was
	// given up, died with its worker.
	for i := range out {
		a := &out[i]
		later := i+1 < len(out) && out[i+1].Run == a.Run
		if a.Outcome == OutcomeRunning && (later || ended[a.Run] || a.Run < latest) {
			a.Outcome = OutcomeLost
		}
	}
	return out
}

func (a *Attempt) end(e *Event, outcome Outcome) {
	a.Outcome, a.EndedAt, a.Duration, a.Error = outcome, e.OccurredAt, e.Duration, e.Error
	if a.StartedAt.IsZero() && e.Duration > 0 {
		a.StartedAt = e.OccurredAt.Add(-e.Duration.Duration())
	}
	if e.Breaker != nil {
		a.Breaker = e.Breaker
	}
	if a.SpanID.IsZero() {
		a.TraceID, a.SpanID = e.TraceID, e.SpanID
	}
}
