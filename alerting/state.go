package alerting

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/tasktrail/tasktrail/alerting/channel"
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
	// told is what each channel was last told of an alert.
	told     map[timeline.ID]map[string]*told
	channels map[string]*channelState
	settings map[settingKey]*setting

	// revision counts the changes of alerts and of what holds them back.
	revision uint64
	// maxLog bounds the deliveries kept of a channel.
	maxLog int
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
	Forget  *timeline.ID    `json:"forget,omitempty"`
	Told    *told           `json:"told,omitempty"`
	Queued  *queued         `json:"queued,omitempty"`
	Tried   *tried          `json:"tried,omitempty"`
	Done    *done           `json:"done,omitempty"`
	Channel *channelMark    `json:"channel,omitempty"`
	Setting *setting        `json:"setting,omitempty"`
}

// told is the last thing that a channel was told of an alert.
type told struct {
	Channel string              `json:"channel"`
	Alert   timeline.ID         `json:"alert"`
	State   timeline.AlertState `json:"state"`
	// Updated is the alert's time then, At when it was told, Round how often the same
	// was told before.
	Updated  time.Time              `json:"updated"`
	At       time.Time              `json:"at"`
	Round    int                    `json:"round,omitempty"`
	Severity timeline.AlertSeverity `json:"severity,omitzero"`
}

// queued is a notification that waits for a channel, or was delivered.
type queued struct {
	Channel string `json:"channel"`
	// Seq rises within the channel.
	Seq uint64 `json:"seq"`
	channel.Notification
	// Tries are the last attempts, Count how many there were.
	Tries []try `json:"tries,omitempty"`
	Count int   `json:"count,omitempty"`

	status DeliveryStatus
	doneAt time.Time
	next   time.Time
	busy   bool
}

// try is one attempt at a delivery.
type try struct {
	At     time.Time       `json:"at"`
	Took   timeline.Millis `json:"took_ms"`
	Status int             `json:"http_status,omitempty"`
	Error  string          `json:"error,omitempty"`
}

// maxTries bounds the attempts that are remembered of one delivery.
const maxTries = 20

// tried adds an attempt.
type tried struct {
	Channel string `json:"channel"`
	Seq     uint64 `json:"seq"`
	Try     try    `json:"try"`
}

// done takes a notification off a channel's queue and puts it into its log.
type done struct {
	Channel string         `json:"channel"`
	Seq     uint64         `json:"seq"`
	Status  DeliveryStatus `json:"status,omitempty"`
	At      time.Time      `json:"at,omitzero"`
}

// channelMark says how a channel does: since when it fails, whether it was
// disabled, and where it led then.
type channelMark struct {
	Name         string    `json:"name"`
	Target       string    `json:"target,omitempty"`
	Disabled     string    `json:"disabled,omitempty"` // why; empty: it is not
	At           time.Time `json:"at,omitzero"`
	FailingSince time.Time `json:"failing_since,omitzero"`
}

// channelState is what waits for a channel, in order, what was delivered, the
// latest last, and how it does.
type channelState struct {
	queue []*queued
	log   []*queued
	seq   uint64
	mark  channelMark
}

func newState(maxLog int) *state {
	return &state{
		tasks: map[taskKey]*taskEntry{}, waiting: map[taskKey]*taskEntry{}, breakers: map[string]*breakerEntry{},
		alerts: map[timeline.ID]*timeline.Alert{}, told: map[timeline.ID]map[string]*told{},
		channels: map[string]*channelState{}, settings: map[settingKey]*setting{}, maxLog: maxLog,
	}
}

func (s *state) channel(name string) *channelState {
	c := s.channels[name]
	if c == nil {
		c = &channelState{mark: channelMark{Name: name}}
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
	if r.Alert != nil || r.Forget != nil || r.Setting != nil || r.Breaker != nil {
		s.revision++
	}
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
	case r.Forget != nil:
		delete(s.alerts, *r.Forget)
		delete(s.told, *r.Forget)
	case r.Told != nil:
		m := s.told[r.Told.Alert]
		if m == nil {
			m = map[string]*told{}
			s.told[r.Told.Alert] = m
		}
		m[r.Told.Channel] = r.Told
	case r.Queued != nil:
		c := s.channel(r.Queued.Channel)
		c.seq = max(c.seq, r.Queued.Seq)
		c.queue = append(c.queue, r.Queued)
	case r.Tried != nil:
		c := s.channel(r.Tried.Channel)
		if i := slices.IndexFunc(c.queue, func(q *queued) bool { return q.Seq == r.Tried.Seq }); i >= 0 {
			c.queue[i].add(r.Tried.Try)
		}
	case r.Done != nil:
		s.settle(s.channel(r.Done.Channel), r.Done)
	case r.Channel != nil:
		s.channel(r.Channel.Name).mark = *r.Channel
	case r.Setting != nil:
		s.set(r.Setting)
	}
}

func (q *queued) add(t try) {
	q.Count++
	q.Tries = append(q.Tries, t)
	if len(q.Tries) > maxTries {
		q.Tries = q.Tries[1:]
	}
}

// settle moves a delivery from the queue to the log.
func (s *state) settle(c *channelState, d *done) {
	i := slices.IndexFunc(c.queue, func(q *queued) bool { return q.Seq == d.Seq })
	if i < 0 {
		return
	}
	q := c.queue[i]
	if i == 0 {
		c.queue[0] = nil
		c.queue = c.queue[1:]
	} else {
		c.queue = slices.Delete(c.queue, i, i+1)
	}
	if d.Status == "" {
		return // it gave way to one that says more
	}
	q.status, q.doneAt, q.busy = d.Status, d.At, false
	c.log = append(c.log, q)
	if len(c.log) > s.maxLog+s.maxLog/4 {
		c.log = slices.Clone(c.log[len(c.log)-s.maxLog:])
	}
}

// records gives the whole state as records, for a rewrite of the journal.
func (s *state) records() ([][]byte, error) {
	var out [][]byte
	var failed error
	add := func(r record) {
		b, err := json.Marshal(r)
		if err != nil {
			failed = err
			return
		}
		out = append(out, b)
	}
	for _, t := range s.tasks {
		add(record{Task: t})
	}
	for _, b := range s.breakers {
		add(record{Breaker: b})
	}
	for _, a := range s.alerts {
		add(record{Alert: a})
	}
	for id, m := range s.told {
		if s.alerts[id] == nil {
			continue
		}
		for _, t := range m {
			add(record{Told: t})
		}
	}
	for _, v := range s.settings {
		add(record{Setting: v})
	}
	for name, c := range s.channels {
		c.mark.Name = name
		add(record{Channel: &c.mark})
		for _, q := range c.log[max(0, len(c.log)-s.maxLog):] {
			add(record{Queued: q})
			add(record{Done: &done{name, q.Seq, q.status, q.doneAt}})
		}
		for _, q := range c.queue {
			add(record{Queued: q})
		}
	}
	return out, failed
}
