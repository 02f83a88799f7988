package collector

import (
	"sync/atomic"

	"github.com/tasktrail/tasktrail/timeline/wire"
)

// countedFrames is how many of the last frames are remembered with the number of
// their records.
const countedFrames = 8192

// frameCounts remembers how many records each of the last frames has, by the
// frame's number in the log: the ledger and every follower count them, and most
// were counted when they came. The entries hold the low bits of the number above
// the count, so that each is read and written as a whole.
type frameCounts struct {
	last [countedFrames]atomic.Uint64
}

const countBits = 24

// set enters a frame. It may be called before the frame is in the log: nobody
// asks for one that is not.
func (c *frameCounts) set(seq uint64, records int) {
	if records < 1<<countBits {
		c.last[seq%countedFrames].Store(seq<<countBits | uint64(records))
	}
}

// of returns how many records the frame has.
func (c *frameCounts) of(seq uint64, frame []byte) uint64 {
	if v := c.last[seq%countedFrames].Load(); v>>countBits == seq&(1<<(64-countBits)-1) && v != 0 {
		return v & (1<<countBits - 1)
	}
	return uint64(wire.CountRecords(frame))
}
