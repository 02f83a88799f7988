package timeline

import (
	"cmp"
	"slices"
)

// Compare gives the order of a timeline: run, then the time it occurred, then
// the sequence of its source, then the order of the vocabulary. Two events that
// compare equal are the same event.
func Compare(a, b *Event) int {
	if c := cmp.Compare(a.Run, b.Run); c != 0 {
		return c
	}
	if c := a.OccurredAt.Compare(b.OccurredAt); c != 0 {
		return c
	}
	if c := cmp.Compare(a.SourceID, b.SourceID); c != 0 {
		return c
	}
	if c := cmp.Compare(a.Seq, b.Seq); c != 0 {
		return c
	}
	if c := cmp.Compare(a.Type, b.Type); c != 0 {
		return c
	}
	return slices.Compare(a.ID[:], b.ID[:])
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
