package sidecar

import "time"

// endedList has ended entries in the order of their ends. An entry that was started
// again stays in it until its turn, and is passed over then.
type endedList struct {
	items []endedItem
	head  int
	count int // of those that still count
}

type endedItem struct {
	e   *entry
	due int64 // of this end
}

func (l *endedList) push(e *entry) {
	l.items = append(l.items, endedItem{e, e.due})
	l.count++
}

func (l *endedList) remove(*entry) { l.count-- }

// oldest returns the entry that ended first, nil where there is none.
func (l *endedList) oldest() *entry {
	for l.head < len(l.items) {
		if i := l.items[l.head]; i.e.state.ended() && i.e.due == i.due {
			return i.e
		}
		l.skip()
	}
	return nil
}

// pop takes off what oldest returned.
func (l *endedList) pop() {
	l.count--
	l.skip()
}

func (l *endedList) skip() {
	l.items[l.head] = endedItem{}
	l.head++
	if l.head >= 1024 && l.head*2 >= len(l.items) {
		l.items = append(l.items[:0], l.items[l.head:]...)
		l.head = 0
	}
}

func (q *queue) listOf(e *entry) *endedList {
	if e.state == stateCompleted {
		return &q.ended[0]
	}
	return &q.ended[1]
}

// trim forgets what ended too long ago, and what is too much. It runs under mu.
func (q *queue) trim(now time.Time) {
	for i, keep := range [...]time.Duration{q.cfg.keepDone, q.cfg.keepFault} {
		l := &q.ended[i]
		for e := l.oldest(); e != nil; e = l.oldest() {
			tooMany := l.count > q.cfg.maxEnded
			if !tooMany && now.UnixNano()-e.due < int64(keep) {
				break
			}
			l.pop()
			if i == 1 && tooMany && q.stats.lostRoom%1000 == 0 {
				q.cfg.logger.Warn("failed tasks are forgotten before their time: too many are kept for a retry", "kept", q.cfg.maxEnded)
			}
			q.release(e, i == 1 && tooMany)
		}
	}
}

// makeRoom forgets completed tasks, the oldest first, for a record of size bytes;
// failed ones are kept for their retries. It runs under mu.
func (q *queue) makeRoom(size int64) bool {
	l := &q.ended[0]
	for e := l.oldest(); e != nil && q.live+size > q.cfg.room(); e = l.oldest() {
		l.pop()
		q.release(e, false)
	}
	return q.live+size <= q.cfg.room()
}

// release forgets an ended entry. A record of its task may stand in the log behind
// that of its end, which compaction turns over first: the mark keeps it from
// running again.
func (q *queue) release(e *entry, early bool) {
	if e.task.size > 0 {
		if _, err := q.append(&record{Op: opDrop, ID: e.id, Run: int(e.run)}, true); err != nil {
			q.cfg.logger.Error("that a task is forgotten could not be written down", "task_id", e.id, "error", err)
		}
	}
	q.stats.forgotten++
	if early {
		q.stats.lostRoom++
	}
	q.forget(e)
}

// forget takes an entry out of memory. It runs under mu.
func (q *queue) forget(e *entry) {
	q.heapOf(e).remove(e)
	q.live -= e.bytes()
	q.uncancel(e.id)
	delete(q.tasks, e.id)
}
