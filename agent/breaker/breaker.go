package breaker

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// maxQueuedChanges bounds the changes that wait for a listener which is busy
// with an earlier one; the oldest give way.
const maxQueuedChanges = 64

// Key names a breaker.
type Key struct {
	Namespace string `json:"namespace"`
	Provider  string `json:"provider"`
}

// Breaker is the circuit breaker of one provider. It is safe for concurrent use.
// A nil *Breaker lets every call through.
type Breaker struct {
	key      Key
	cfg      Config
	base     time.Time // all other moments are durations since
	onChange func(StateChange)

	// calm is the closed state while that is the state, else nil: the whole of
	// what a call through a closed breaker looks at.
	calm atomic.Pointer[closed]
	view atomic.Pointer[timeline.Breaker]

	mu       sync.Mutex
	cur      state
	gen      uint64
	probes   uint64 // probes handed out so far; the number of each is its tag
	openings int    // in a row, without a closing between
	last     StateChange

	queue      []StateChange
	untold     uint64 // changes that gave way in the queue
	delivering bool
}

// state is one of *closed, *open and *halfOpen; its methods are called with
// Breaker.mu held.
type state interface {
	name() timeline.BreakerState
	acquire(b *Breaker, at time.Duration) (Permit, bool)
	blocked(at time.Duration) bool
}

// New returns a closed breaker, or an error that names every fault of cfg.
// onChange, which may be nil, is told of every change of state, see
// [SetConfig.OnChange]. now is the present by the clock that later calls use.
func New(key Key, cfg Config, now time.Time, onChange func(StateChange)) (*Breaker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("breaker of %q: %w", key.Provider, err)
	}
	return newBreaker(key, cfg.WithDefaults(), now, onChange), nil
}

// newBreaker is New for a configuration that is complete and valid.
func newBreaker(key Key, cfg Config, now time.Time, onChange func(StateChange)) *Breaker {
	b := &Breaker{key: key, cfg: cfg, base: now, onChange: onChange}
	c := newClosed(&b.cfg, 0)
	b.cur = c
	b.calm.Store(c)
	b.view.Store(&timeline.Breaker{Provider: key.Provider, State: timeline.BreakerClosed})
	return b
}

// Key returns whose breaker it is; the zero Key for a nil breaker.
func (b *Breaker) Key() Key {
	if b == nil {
		return Key{}
	}
	return b.key
}

// Acquire asks to make a call at now. It returns false while the breaker is
// open, and while it is half-open and its probe taken. When the open time is
// over, the first to ask becomes the probe: see [Permit.Probe].
func (b *Breaker) Acquire(now time.Time) (Permit, bool) {
	if b == nil {
		return Permit{}, true
	}
	at := now.Sub(b.base)
	if c := b.calm.Load(); c != nil {
		return Permit{b: b, calm: c, start: at}, true
	}
	b.mu.Lock()
	defer b.unlock()
	b.expire(at)
	return b.cur.acquire(b, at)
}

// Blocked reports whether Acquire would refuse at now. It takes no probe.
func (b *Breaker) Blocked(now time.Time) bool {
	if b == nil || b.calm.Load() != nil {
		return false
	}
	b.mu.Lock()
	defer b.unlock()
	at := now.Sub(b.base)
	b.expire(at)
	return b.cur.blocked(at)
}

// State returns the state without looking at the clock: an open breaker is open
// until somebody probes. It is one atomic load; empty for a nil breaker.
func (b *Breaker) State() timeline.BreakerState {
	if b == nil {
		return ""
	}
	return b.view.Load().State
}

// Describe returns provider and state as attempt events carry them, with
// OpenUntil while the breaker is open. The value is shared by everybody who asks
// and must not be changed; it does not allocate. It is nil for a nil breaker.
func (b *Breaker) Describe() *timeline.Breaker {
	if b == nil {
		return nil
	}
	return b.view.Load()
}

// Expire gives up a probe that is overdue at now and returns the change, or nil.
// Acquire and Blocked do the same; call it where nobody may come for long.
func (b *Breaker) Expire(now time.Time) *StateChange {
	if b == nil || b.calm.Load() != nil {
		return nil
	}
	b.mu.Lock()
	defer b.unlock()
	return b.expire(now.Sub(b.base))
}

func (b *Breaker) expire(at time.Duration) *StateChange {
	h, ok := b.cur.(*halfOpen)
	if !ok || !h.overdue(at) {
		return nil
	}
	// It opens from the moment the probe ran out of time, not from when somebody
	// noticed: a breaker that nobody asked for long may be probed again at once.
	return b.toOpen(h.until, counts{calls: 1}, WhyProbeTimeout)
}

// trip opens the breaker, unless its state has changed since c.
func (b *Breaker) trip(c *closed, at time.Duration, n counts, why string) *StateChange {
	b.mu.Lock()
	defer b.unlock()
	if b.cur != state(c) {
		return nil
	}
	return b.toOpen(at, n, why)
}

// probed takes the result of the probe with the given tag.
func (b *Breaker) probed(tag uint64, at time.Duration, ok bool) *StateChange {
	b.mu.Lock()
	defer b.unlock()
	b.expire(at)
	h, is := b.cur.(*halfOpen)
	if !is || h.probe != tag {
		return nil
	}
	if ok {
		return b.toClosed(at)
	}
	return b.toOpen(at, counts{calls: 1, failures: 1}, WhyProbeFailed)
}

// released takes back the probe with the given tag without a verdict.
func (b *Breaker) released(tag uint64, at time.Duration) {
	b.mu.Lock()
	defer b.unlock()
	b.expire(at)
	if h, is := b.cur.(*halfOpen); is && h.probe == tag {
		h.probe = 0
	}
}

func (b *Breaker) toOpen(at time.Duration, n counts, why string) *StateChange {
	b.openings++
	o := &open{until: at + b.cfg.openTime(b.openings)}
	return b.change(at, o, n, why, b.base.Add(o.until))
}

func (b *Breaker) toHalfOpen(at time.Duration) *StateChange {
	return b.change(at, &halfOpen{}, counts{}, WhyOpenTimeOver, time.Time{})
}

func (b *Breaker) toClosed(at time.Duration) *StateChange {
	b.openings = 0
	return b.change(at, newClosed(&b.cfg, at), counts{calls: 1}, WhyProbeSucceeded, time.Time{})
}

func (b *Breaker) change(at time.Duration, to state, n counts, why string, until time.Time) *StateChange {
	b.gen++
	c := StateChange{
		Key: b.key, From: b.cur.name(), To: to.name(), Why: why, At: b.base.Add(at), OpenUntil: until, Generation: b.gen,
		Calls: n.calls, Failures: n.failures, SlowCalls: n.slow, Consecutive: n.consecutive,
	}
	b.cur, b.last = to, c
	calm, _ := to.(*closed)
	b.calm.Store(calm)
	b.view.Store(&timeline.Breaker{Provider: b.key.Provider, State: c.To, OpenUntil: until})
	if b.onChange != nil {
		if len(b.queue) == maxQueuedChanges {
			b.queue = append(b.queue[:0], b.queue[1:]...)
			b.untold++
		}
		b.queue = append(b.queue, c)
	}
	return &c
}

// unlock releases mu and hands waiting changes to the listener, in order and
// with no lock held. A change that comes up meanwhile, perhaps from within the
// listener, is handed on by whoever is at it already.
func (b *Breaker) unlock() {
	if len(b.queue) == 0 || b.delivering {
		b.mu.Unlock()
		return
	}
	b.delivering = true
	locked := true
	defer func() { // also on a panic or Goexit of the listener
		if !locked {
			b.mu.Lock()
		}
		b.delivering = false
		b.mu.Unlock()
	}()
	for len(b.queue) > 0 {
		c := b.queue[0]
		b.queue = append(b.queue[:0], b.queue[1:]...)
		b.mu.Unlock()
		locked = false
		b.onChange(c)
		b.mu.Lock()
		locked = true
	}
}
