package breaker

import "time"

// Permit is the right to make one call. It is a small value; its zero value
// belongs to no breaker and does nothing. Exactly one of Success, Failure and
// Ignore is to be called on it; that has to happen in a deferred function, which
// runs on a panic and on runtime.Goexit too. A probe's permit that is forgotten
// all the same is given up after Config.ProbeTimeout.
//
// A permit of an earlier generation moves nothing: it holds on to the very state
// that issued it, and only the breaker's present state counts.
type Permit struct {
	b *Breaker
	// calm is the closed state that issued it, nil for a probe.
	calm  *closed
	start time.Duration
	probe uint64
	half  *StateChange
}

// Probe reports whether the call probes a half-open breaker.
func (p Permit) Probe() bool { return p.probe != 0 }

// HalfOpened returns the change to half-open that this permit made, or nil.
func (p Permit) HalfOpened() *StateChange { return p.half }

// Success reports a call that succeeded after elapsed. It returns the change of
// state that it led to (the probe closed the breaker, a slow call opened it), or
// nil.
func (p Permit) Success(elapsed time.Duration) *StateChange {
	if c := p.calm; c != nil {
		at := p.start + elapsed
		if c.consecutive.Load() != 0 { // a store at every success would make the line travel between cores
			c.consecutive.Store(0)
		}
		if c.slow == 0 || elapsed < c.slow {
			c.window.add(at, oneCall)
			return nil
		}
		c.window.addSlow(at, oneCall)
		return p.judge(at)
	}
	if p.probe == 0 {
		return nil
	}
	return p.b.probed(p.probe, p.start+elapsed, true)
}

// Failure reports a call that failed after elapsed, and returns the change of
// state that it led to, or nil.
func (p Permit) Failure(elapsed time.Duration) *StateChange {
	if c := p.calm; c != nil {
		at := p.start + elapsed
		c.consecutive.Add(1)
		if c.slow != 0 && elapsed >= c.slow {
			c.window.addSlow(at, oneCall|oneFailure)
		} else {
			c.window.add(at, oneCall|oneFailure)
		}
		return p.judge(at)
	}
	if p.probe == 0 {
		return nil
	}
	return p.b.probed(p.probe, p.start+elapsed, false)
}

// Ignore gives the permit back without a verdict on the provider: the call was
// cancelled, or its error was not the provider's fault. A probe is up for the
// next caller.
func (p Permit) Ignore(elapsed time.Duration) {
	if p.probe != 0 {
		p.b.released(p.probe, p.start+elapsed)
	}
}

func (p Permit) judge(at time.Duration) *StateChange {
	n, why := p.calm.verdict(at)
	if why == "" {
		return nil
	}
	return p.b.trip(p.calm, at, n, why)
}
