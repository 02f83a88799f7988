package breaker

import (
	"sync/atomic"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// closed is the state in which calls go through and are counted. Each closing
// makes a new one, so that whatever an earlier one's permits report ends up in a
// window nobody looks at any more.
type closed struct {
	cfg         *Config
	slow        time.Duration // 0: off
	window      window
	_           [64]byte // keeps what every failure writes apart from what every call reads
	consecutive atomic.Int64
}

func newClosed(cfg *Config, at time.Duration) *closed {
	c := &closed{cfg: cfg}
	if cfg.SlowCallRate > 0 {
		c.slow = cfg.SlowCallDuration
	}
	c.window.init(cfg.Buckets, cfg.BucketWidth, at)
	return c
}

func (c *closed) name() timeline.BreakerState { return timeline.BreakerClosed }

func (c *closed) acquire(b *Breaker, at time.Duration) (Permit, bool) {
	return Permit{b: b, calm: c, start: at}, true
}

func (c *closed) blocked(time.Duration) bool { return false }

// verdict returns why the counts at this moment open the breaker, or "".
func (c *closed) verdict(at time.Duration) (counts, string) {
	n := c.window.counts(at)
	n.consecutive = int(c.consecutive.Load())
	switch {
	case c.cfg.ConsecutiveFailures > 0 && n.consecutive >= c.cfg.ConsecutiveFailures:
		return n, WhyConsecutiveFailures
	case n.calls < c.cfg.MinCalls:
		return n, ""
	case c.cfg.FailureRate > 0 && n.failures > 0 && float64(n.failures) >= c.cfg.FailureRate*float64(n.calls):
		return n, WhyFailureRate
	case c.slow > 0 && n.slow > 0 && float64(n.slow) >= c.cfg.SlowCallRate*float64(n.calls):
		return n, WhySlowCallRate
	default:
		return n, ""
	}
}
