package sidecar

import (
	"container/heap"

	"github.com/tasktrail/tasktrail/internal/spool"
	"github.com/tasktrail/tasktrail/timeline"
)

// place is where a record stands in the log, its number there, and how large it
// is. The number names it: between two segments a frame can be read from more than
// one position.
type place struct {
	at   spool.Position
	seq  uint64
	size uint32 // 0: there is none
}

// entry is what memory holds of a task; everything else is on the disk. There may
// be a hundred thousand of them: it is kept small.
type entry struct {
	id    string
	queue string // shared by all entries of the queue
	// due is when the next attempt may begin, in nanoseconds since 1970; once the
	// run has ended, when it did.
	due   int64
	task  place
	wait  place
	end   place
	run   int32
	index int32 // in its heap; -1: in none
	state entryState
	sync  bool // a caller waits for it: it goes before those that nobody waits for
	// created: task_created was written by this process.
	created bool
	// cancelled: it ends at its next turn.
	cancelled bool
}

type entryState uint8

const (
	stateAccepting entryState = iota // not on the disk yet
	stateWaiting
	stateRetrying // waits for a further attempt
	stateRunning
	stateCompleted
	stateFailed
	stateCancelled
)

func (s entryState) ended() bool { return s >= stateCompleted }

// public is the state in the words of the timeline.
func (s entryState) public() timeline.State {
	switch s {
	case stateRunning:
		return timeline.StateInProgress
	case stateRetrying:
		return timeline.StateRetrying
	case stateCompleted:
		return timeline.StateCompleted
	case stateFailed:
		return timeline.StateFailed
	case stateCancelled:
		return timeline.StateCancelled
	}
	return timeline.StatePending
}

func stateOf(s timeline.State) entryState {
	switch s {
	case timeline.StateCompleted:
		return stateCompleted
	case timeline.StateCancelled:
		return stateCancelled
	}
	return stateFailed
}

// bytes is what the entry's records take in the log.
func (e *entry) bytes() int64 { return int64(e.task.size) + int64(e.wait.size) + int64(e.end.size) }

// dueHeap has the entry that is due first on top.
type dueHeap []*entry

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due < h[j].due }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = int32(i), int32(j) //nolint:gosec // bounded by Config.MaxTasks
}

// Push and Pop are container/heap's.
func (h *dueHeap) Push(x any) {
	e := x.(*entry)          //nolint:forcetypeassert // only entries are pushed
	e.index = int32(len(*h)) //nolint:gosec // bounded by Config.MaxTasks
	*h = append(*h, e)
}

// Pop takes the last one.
func (h *dueHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	e.index = -1
	return e
}

func (h *dueHeap) add(e *entry) { heap.Push(h, e) }

func (h *dueHeap) remove(e *entry) {
	if e.index >= 0 {
		heap.Remove(h, int(e.index))
	}
}
