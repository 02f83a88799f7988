package store_test

import (
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

func breakerEvent(provider, source string, at time.Time, typ timeline.Type, state timeline.BreakerState, until time.Time) timeline.Event {
	return timeline.Event{
		ID: ids.Next(at), Type: typ, OccurredAt: at, SourceID: source, SourceSeq: uint64(at.UnixMilli()), Run: 1, Seq: 1,
		Task:    timeline.Task{ID: "task-of-" + provider, Type: "payment", Agent: "agent-" + source, Provider: provider},
		Breaker: &timeline.Breaker{Provider: provider, State: state, Why: "failure_rate", Calls: 10, Failures: 6, OpenUntil: until},
	}
}

func TestProvidersAndTheirHistory(t *testing.T) {
	s := open(t)
	at := time.Now().UTC().Add(-10 * time.Minute)
	opened, half, closed := timeline.CircuitBreakerOpened, timeline.CircuitBreakerHalfOpened, timeline.CircuitBreakerClosed
	events := []timeline.Event{
		breakerEvent("bank", "s1", at, opened, timeline.BreakerOpen, at.Add(30*time.Second)),
		breakerEvent("bank", "s1", at.Add(time.Minute), half, timeline.BreakerHalfOpen, time.Time{}),
		breakerEvent("bank", "s1", at.Add(2*time.Minute), closed, timeline.BreakerClosed, time.Time{}),
		breakerEvent("bank", "s2", at.Add(8*time.Minute), opened, timeline.BreakerOpen, at.Add(12*time.Minute)),
		breakerEvent("mail", "s1", at, opened, timeline.BreakerOpen, at.Add(30*time.Second)), // and silent since
		breakerEvent("crm", "s1", at.Add(-3*time.Hour), opened, timeline.BreakerOpen, at.Add(-2*time.Hour)),
		breakerEvent("crm", "s1", at.Add(-2*time.Hour), closed, timeline.BreakerClosed, time.Time{}),
	}
	for range 2 {
		write(t, s, events...)
	}
	list, err := s.Providers(t.Context(), everything, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 3 || list[0].Provider != "bank" || list[1].Provider != "crm" || list[2].Provider != "mail" {
		t.Fatalf("the worst first, then by name: %s", asJSON(t, list))
	}
	bank, crm, mail := list[0], list[1], list[2]
	if bank.State != timeline.BreakerOpen || !bank.Since.Equal(at.Add(8*time.Minute)) || bank.Opened != 2 || len(bank.Breakers) != 2 ||
		bank.Breakers[0].SourceID != "s2" || bank.Breakers[0].Agent != "agent-s2" || bank.Breakers[1].State != timeline.BreakerClosed {
		t.Errorf("bank: %s", asJSON(t, bank))
	}
	if mail.State != timeline.BreakerClosed || !mail.Breakers[0].Expired || mail.Breakers[0].State != timeline.BreakerOpen {
		t.Errorf("an open breaker whose process is gone: %s", asJSON(t, mail))
	}
	if crm.Opened != 0 || crm.State != timeline.BreakerClosed {
		t.Errorf("what was before the window: %s", asJSON(t, crm))
	}
	if list, err := s.Providers(t.Context(), readmodel.Scope{UserID: "u"}, time.Hour); err != nil || len(list) != 0 {
		t.Errorf("for one user: %s, %v", asJSON(t, list), err)
	}

	var states []timeline.BreakerState
	page := readmodel.Page{Limit: 3}
	for {
		got, err := s.ProviderHistory(t.Context(), everything, "bank", page)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range got.Rows {
			states = append(states, c.State)
			if c.TaskID != "task-of-bank" {
				t.Errorf("%+v", c)
			}
		}
		if got.Next == nil {
			break
		}
		page.After = got.Next
	}
	want := []timeline.BreakerState{timeline.BreakerOpen, timeline.BreakerClosed, timeline.BreakerHalfOpen, timeline.BreakerOpen}
	if len(states) != len(want) {
		t.Fatalf("history: %v", states)
	}
	for i := range want {
		if states[i] != want[i] {
			t.Errorf("history: %v", states)
		}
	}
}

// Dead letters that wait for a provider are counted at it until they are settled.
func TestProvidersCountWhatWaitsForThem(t *testing.T) {
	s := open(t)
	at := time.Now().UTC().Add(-time.Minute)
	write(t, s, breakerEvent("bank", "s1", at, timeline.CircuitBreakerOpened, timeline.BreakerOpen, at.Add(time.Hour)))
	letter := func(id string) timeline.Event {
		return timeline.Event{ID: ids.Next(at), Type: timeline.MovedToDLQ, OccurredAt: at, Run: 1, Seq: 3, SourceID: "s1", SourceSeq: 9, Reason: timeline.FailCircuitOpen,
			Task:       timeline.Task{ID: id, Type: "payment", Provider: "bank"},
			DeadLetter: &timeline.DeadLetterRef{ID: timeline.DeadLetterID("default", id, 1), AlertSeverity: timeline.AlertHigh}}
	}
	write(t, s, letter("a"), letter("b"))
	write(t, s, timeline.Event{ID: ids.Next(at), Type: timeline.DLQDiscarded, OccurredAt: at.Add(time.Second), Run: 1, Task: timeline.Task{ID: "b"},
		DeadLetter: &timeline.DeadLetterRef{ID: timeline.DeadLetterID("default", "b", 1)}, Operator: &timeline.Operator{Actor: "ada"}})
	list, err := s.Providers(t.Context(), everything, time.Hour)
	if err != nil || len(list) != 1 || list[0].DeadLetters != 1 {
		t.Errorf("%s, %v", asJSON(t, list), err)
	}
}
