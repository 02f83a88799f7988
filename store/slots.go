package store

import "sync"

// rememberedSlots bounds how many slots' sums are kept: over a day of one
// namespace, a few kilobytes each at most.
const rememberedSlots = 10_000

// mark tells which rows stand in a slot of outcomes.
type mark struct{ n, hashes uint64 }

// slotSums remembers rollups beside the marks of the rows they were made of, so
// that what is remembered is right for as long as the marks are.
type slotSums struct {
	mu     sync.Mutex
	byTime map[slotKey]slotSum
}

type slotKey struct {
	namespace string
	slot      uint32
}

type slotSum struct {
	mark
	completedRuns, completedTasks, attempts, durationSum uint64
	durations                                            []bucket
}

// bucket is how many durations fell into one bucket.
type bucket struct {
	key uint16
	n   uint64
}

// add adds a slot's sums where those of the marks are known.
func (c *slotSums) add(namespace string, slot uint32, m mark, to *outcomes) bool {
	c.mu.Lock()
	s, ok := c.byTime[slotKey{namespace, slot}]
	c.mu.Unlock()
	if !ok || s.mark != m {
		return false
	}
	to.completedRuns += s.completedRuns
	to.completedTasks += s.completedTasks
	to.attempts += s.attempts
	to.durationSum += s.durationSum
	for _, b := range s.durations {
		to.durations[b.key] += b.n
	}
	return true
}

// keep remembers the sums of a slot. What is remembered longest need not go
// first: a slot that is forgotten is read again.
func (c *slotSums) keep(namespace string, slot uint32, m mark, o *outcomes) {
	s := slotSum{mark: m, completedRuns: o.completedRuns, completedTasks: o.completedTasks, attempts: o.attempts, durationSum: o.durationSum}
	for k, n := range o.durations {
		s.durations = append(s.durations, bucket{k, n})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byTime == nil {
		c.byTime = map[slotKey]slotSum{}
	}
	if len(c.byTime) >= rememberedSlots {
		for old := range c.byTime {
			delete(c.byTime, old)
			break
		}
	}
	c.byTime[slotKey{namespace, slot}] = s
}
