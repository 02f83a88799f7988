package alerting

import (
	"cmp"
	"slices"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// bounds are how much a state may hold.
type bounds struct {
	tasks, alerts int
	keepResolved  time.Duration
}

// prune forgets what is over, and past the bounds the oldest of the rest. It
// returns how much was forgotten that was not over. Nothing is written: the next
// rewrite leaves it out, and until then a restart forgets it again.
func (s *state) prune(now time.Time, b bounds) (early int) {
	for k, t := range s.tasks {
		if t.Due.IsZero() && t.over() && now.Sub(t.UpdatedAt) > b.keepResolved {
			delete(s.tasks, k)
		}
	}
	for id, a := range s.alerts {
		if a.State == timeline.AlertResolved && now.Sub(a.UpdatedAt) > b.keepResolved {
			delete(s.alerts, id)
		}
	}
	for k, br := range s.breakers {
		if br.Alert.IsZero() && now.Sub(br.UpdatedAt) > b.keepResolved {
			delete(s.breakers, k)
		}
	}
	early += trim(s.tasks, b.tasks, func(t *taskEntry) (bool, time.Time) { return t.over(), t.UpdatedAt }, func(k taskKey) { delete(s.waiting, k) })
	early += trim(s.breakers, b.tasks, func(b *breakerEntry) (bool, time.Time) { return b.Alert.IsZero(), b.UpdatedAt }, nil)
	early += trim(s.alerts, b.alerts, func(a *timeline.Alert) (bool, time.Time) { return a.State == timeline.AlertResolved, a.UpdatedAt }, nil)
	for id := range s.told {
		if s.alerts[id] == nil {
			delete(s.told, id)
		}
	}
	s.pruneSettings(now, b)
	return early
}

// trim brings a map a tenth below its bound once it is past it, what is over
// first and then the oldest.
func trim[K comparable, V any](m map[K]V, most int, of func(V) (over bool, at time.Time), also func(K)) (early int) {
	if len(m) <= most {
		return 0
	}
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b K) int {
		overA, atA := of(m[a])
		overB, atB := of(m[b])
		if overA != overB {
			if overA {
				return -1
			}
			return 1
		}
		return cmp.Compare(atA.UnixNano(), atB.UnixNano())
	})
	for _, k := range keys[:len(m)-(most-most/10)] {
		if over, _ := of(m[k]); !over {
			early++
		}
		delete(m, k)
		if also != nil {
			also(k)
		}
	}
	return early
}
