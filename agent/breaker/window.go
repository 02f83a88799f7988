package breaker

import (
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// A cell of the window holds calls in its upper and failures in its lower half;
// the word beside it holds slow calls.
const (
	oneCall    = 1 << 32
	oneFailure = 1

	// maxStripes bounds the copies of the window that keep cores out of each
	// other's cache lines.
	maxStripes = 8
	// slotBits holds a bucket's place in the ring: maxBuckets < 1<<slotBits.
	slotBits = 6
	// lineWords is two cache lines, which is what prefetchers fetch, in words.
	lineWords = 16
)

// counts are what a window holds at one moment.
type counts struct{ calls, failures, slow, consecutive int }

// window counts calls in a ring of buckets of equal width. Adding is one atomic
// addition; a lock is taken only where a new bucket begins. A call that ends
// within nanoseconds of a bucket's edge may be counted on either side of it.
type window struct {
	width   time.Duration
	buckets int
	stride  int // words of one stripe
	mask    uint64
	cells   []atomic.Uint64
	// head is the newest bucket's number and, in the lower slotBits, its place in
	// the ring, so that neither has to be computed by a division.
	head atomic.Int64
	mu   sync.Mutex // held while head moves
}

func (w *window) init(buckets int, width time.Duration, at time.Duration) {
	stripes := min(1<<bits.Len(uint(runtime.GOMAXPROCS(0)-1)), maxStripes)
	w.width, w.buckets = width, buckets
	w.stride = (2*buckets + lineWords - 1) / lineWords * lineWords
	w.mask = uint64(stripes - 1)
	w.cells = make([]atomic.Uint64, stripes*w.stride)
	w.head.Store(w.headOf(int64(max(at, 0) / width)))
}

func (w *window) headOf(number int64) int64 {
	return number<<slotBits | number%int64(w.buckets)
}

// cell returns where a call that ended at this moment is counted.
func (w *window) cell(at time.Duration) int {
	head := w.head.Load()
	if into := at - time.Duration(head>>slotBits)*w.width; into >= w.width {
		head = w.advance(at)
	}
	// The moment's low bits are as good as any draw for spreading over the stripes.
	stripe := int((uint64(at) ^ uint64(at)>>9) & w.mask)
	return stripe*w.stride + 2*int(head&(1<<slotBits-1))
}

func (w *window) add(at time.Duration, what uint64) { w.cells[w.cell(at)].Add(what) }

func (w *window) addSlow(at time.Duration, what uint64) {
	i := w.cell(at)
	w.cells[i].Add(what)
	w.cells[i+1].Add(1)
}

// advance makes the bucket of this moment the newest, unless a later one is, and
// empties those it passes.
func (w *window) advance(at time.Duration) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	head := w.head.Load()
	newest, number := head>>slotBits, int64(at/w.width)
	if number <= newest {
		return head
	}
	for n := max(newest+1, number-int64(w.buckets)+1); n <= number; n++ {
		slot := 2 * int(n%int64(w.buckets))
		for i := slot; i < len(w.cells); i += w.stride {
			w.cells[i].Store(0)
			w.cells[i+1].Store(0)
		}
	}
	head = w.headOf(number)
	w.head.Store(head)
	return head
}

// counts returns what the window holds at this moment.
func (w *window) counts(at time.Duration) (n counts) {
	w.advance(at)
	for i := 0; i < len(w.cells); i += 2 {
		cell := w.cells[i].Load()
		n.calls += int(cell >> 32)
		n.failures += int(uint32(cell))
		n.slow += int(w.cells[i+1].Load())
	}
	return n
}

// idle reports whether no call was counted for the length of the window.
func (w *window) idle(at time.Duration) bool {
	return at-time.Duration(w.head.Load()>>slotBits)*w.width >= w.width*time.Duration(w.buckets)
}
