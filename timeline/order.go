package timeline

import (
	"cmp"
	"slices"
)

// Compare gives the order of a timeline: run, then the time it occurred. Where
// times are equal, events that an agent counted follow its sequence; what nobody
// counted (an operator's events, those of foreign SDKs) stands in the order of
// the vocabulary, what opens a run before and everything else after the counted
// ones. Two events that compare equal are the same event.
func Compare(a, b *Event) int {
	if c := cmp.Compare(a.Run, b.Run); c != 0 {
		return c
	}
	if c := a.OccurredAt.Compare(b.OccurredAt); c != 0 {
		return c
	}
	class := instantClass(a)
	if c := cmp.Compare(class, instantClass(b)); c != 0 {
		return c
	}
	if class == classCounted {
		if c := cmp.Or(cmp.Compare(a.SourceID, b.SourceID), cmp.Compare(a.Seq, b.Seq)); c != 0 {
			return c
		}
	}
	return cmp.Or(
		cmp.Compare(a.Type, b.Type),
		cmp.Compare(a.SourceID, b.SourceID),
		slices.Compare(a.ID[:], b.ID[:]),
	)
}

// The classes of events of one instant. A sequence orders the events of its
// source alone and the vocabulary all of them; taken pair by pair the two can
// contradict each other in a circle, so each rules a class of its own.
const (
	classOpening = iota
	classCounted
	classOther
)

func instantClass(e *Event) int {
	switch {
	case e.Seq > 0:
		return classCounted
	case e.Type == TaskCreated || e.Type == DLQRetryRequested:
		return classOpening
	default:
		return classOther
	}
}

// Ordered returns the events in timeline order, each once: copies of an event
// (the same id) and second task_created events of a run are dropped. The
// argument is left as it is.
func Ordered(events []Event) []Event {
	out := slices.Clone(events)
	slices.SortStableFunc(out, func(a, b Event) int { return Compare(&a, &b) })
	seen := make(map[ID]struct{}, len(out))
	created := map[int]bool{}
	return slices.DeleteFunc(out, func(e Event) bool {
		if _, dup := seen[e.ID]; dup && !e.ID.IsZero() {
			return true
		}
		seen[e.ID] = struct{}{}
		if e.Type == TaskCreated {
			if created[e.Run] {
				return true
			}
			created[e.Run] = true
		}
		return false
	})
}
