package breaker

import (
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// halfOpen is the state in which one call at a time, the probe, finds out
// whether the provider answers.
type halfOpen struct {
	// probe is the tag of the probe that is out, 0 for none, and until when it is
	// given up.
	probe uint64
	until time.Duration
}

func (h *halfOpen) name() timeline.BreakerState { return timeline.BreakerHalfOpen }

func (h *halfOpen) acquire(b *Breaker, at time.Duration) (Permit, bool) {
	if h.blocked(at) {
		return Permit{}, false
	}
	b.probes++
	h.probe, h.until = b.probes, at+b.cfg.ProbeTimeout
	return Permit{b: b, start: at, probe: h.probe}, true
}

func (h *halfOpen) blocked(time.Duration) bool { return h.probe != 0 }

// overdue reports whether the probe that is out has used up its time.
func (h *halfOpen) overdue(at time.Duration) bool { return h.probe != 0 && at >= h.until }
