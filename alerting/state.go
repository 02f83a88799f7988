package alerting

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// state is everything that outlives a restart. Each change is a record, and the
// state is what its records come to, the last one on each thing deciding. It is
// guarded by the lock of Alerting.
type state struct {
	tasks    map[taskKey]*taskEntry
	waiting  map[taskKey]*taskEntry // those of tasks with a Due
	breakers map[string]*breakerEntry
	alerts   map[timeline.ID]*timeline.Alert
	channels map[string]*channelState

	// save queues a record; nil while records are read.
	save func(record)
}

// taskKey is namespace, a NUL and id: one string, so that it can be looked up in
// a buffer.
type taskKey string

func keyOf(namespace, id string) taskKey { return taskKey(namespace + "\x00" + id) }

// record is one line of the journal; one of its fields is set.
type record struct {
	Task    *taskEntry      `json:"task,omitempty"`
	Breaker *breakerEntry   `json:"breaker,omitempty"`
	Alert   *timeline.Alert `json:"alert,omitempty"`
	Queued  *queued         `json:"queued,omitempty"`
	Done    *done           `json:"done,omitempty"`
	Channel *channelMark    `json:"channel,omitempty"`
}

// queued is a notification that waits for a channel.
type queued struct {
	Channel string `json:"channel"`
	// Seq rises within the channel.
	Seq uint64 `json:"seq"`
	Notification

	attempts int
	next     time.Time
	busy     bool
}

// done takes a notification off a channel's queue: it was delivered, refused or
// given up.
type done struct {
	Channel string `json:"channel"`
	Seq     uint64 `json:"seq"`
}

// channelMark says that a channel was disabled, and where it led then.
type channelMark struct {
	Name     string    `json:"name"`
	Target   string    `json:"target,omitempty"`
	Disabled string    `json:"disabled,omitempty"` // why; empty: it is not
	At       time.Time `json:"at,omitzero"`
}

// channelState is what waits for a channel, in order, and whether it takes it.
type channelState struct {
	queue []*queued
	seq   uint64
	mark  channelMark
}

func newState() *state {
	return &state{
		tasks: map[taskKey]*taskEntry{}, waiting: map[taskKey]*taskEntry{}, breakers: map[string]*breakerEntry{},
		alerts: map[timeline.ID]*timeline.Alert{}, channels: map[string]*channelState{},
	}
}

func (s *state) channel(name string) *channelState {
	c := s.channels[name]
	if c == nil {
		c = &channelState{}
		s.channels[name] = c
	}
	return c
}

// read takes one record of the journal.
func (s *state) read(b []byte) error {
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		return err
	}
	s.apply(r)
	return nil
}

// put changes the state and queues the change for the journal.
func (s *state) put(r record) {
	s.apply(r)
	if s.save != nil {
		s.save(r)
	}
}

func (s *state) apply(r record) {
	switch {
	case r.Task != nil:
		k := keyOf(r.Task.Namespace, r.Task.TaskID)
		s.tasks[k] = r.Task
		if r.Task.Due.IsZero() {
			delete(s.waiting, k)
		} else {
			s.waiting[k] = r.Task
		}
	case r.Breaker != nil:
		s.breakers[r.Breaker.key()] = r.Breaker
	case r.Alert != nil:
		s.alerts[r.Alert.ID] = r.Alert
	case r.Queued != nil:
		c := s.channel(r.Queued.Channel)
		c.seq = max(c.seq, r.Queued.Seq)
		c.queue = append(c.queue, r.Queued)
	case r.Done != nil:
		c := s.channel(r.Done.Channel)
		c.queue = slices.DeleteFunc(c.queue, func(q *queued) bool { return q.Seq == r.Done.Seq })
	case r.Channel != nil:
		s.channel(r.Channel.Name).mark = *r.Channel
	}
}

// records gives the whole state as records, for a rewrite of the journal.
func (s *state) records() ([][]byte, error) {
	var out [][]byte
	add := func(r record) error {
		b, err := json.Marshal(r)
		if err != nil {
			return err
		}
		out = append(out, b)
		return nil
	}
	for _, t := range s.tasks {
		if err := add(record{Task: t}); err != nil {
			return nil, err
		}
	}
	for _, b := range s.breakers {
		if err := add(record{Breaker: b}); err != nil {
			return nil, err
		}
	}
	for _, a := range s.alerts {
		if err := add(record{Alert: a}); err != nil {
			return nil, err
		}
	}
	for name, c := range s.channels {
		if c.mark.Name == "" {
			c.mark.Name = name
		}
		if err := add(record{Channel: &c.mark}); err != nil {
			return nil, err
		}
		for _, q := range c.queue {
			if err := add(record{Queued: q}); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

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
