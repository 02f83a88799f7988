package breaker

import (
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// open is the state in which no call goes through until a moment has come.
type open struct{ until time.Duration }

func (o *open) name() timeline.BreakerState { return timeline.BreakerOpen }

// acquire makes the first caller after the open time the probe.
func (o *open) acquire(b *Breaker, at time.Duration) (Permit, bool) {
	if o.blocked(at) {
		return Permit{}, false
	}
	change := b.toHalfOpen(at)
	p, ok := b.cur.acquire(b, at)
	p.half = change
	return p, ok
}

func (o *open) blocked(at time.Duration) bool { return at < o.until }
