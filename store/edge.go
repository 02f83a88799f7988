package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/tasktrail/tasktrail/timeline"
)

// edgeRows bounds how many events of the slot in which a window begins are
// remembered; of more the server makes the sums.
const edgeRows = 5000

// edge holds the events of one slot, of which a window that begins there takes a
// part. It is right for as long as the slot's mark is the one of its rows.
type edge struct {
	mark
	slot   uint32
	events []edgeEvent
}

type edgeEvent struct {
	at        int64
	completed bool
	task      string // of a run that completed
	run       uint32
	duration  uint64
}

// edges remembers the last edge of each namespace.
type edges struct {
	mu   sync.Mutex
	last map[string]*edge
}

func (c *edges) get(namespace string, slot uint32) *edge {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.last[namespace]; e != nil && e.slot == slot {
		return e
	}
	return nil
}

func (c *edges) keep(namespace string, e *edge) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil || len(c.last) >= rememberedEdges {
		c.last = map[string]*edge{}
	}
	c.last[namespace] = e
}

// rememberedEdges bounds what edges keep: some tens of megabytes at most.
const rememberedEdges = 100

// sums adds up what happened from a time on.
func (e *edge) sums(from int64) *outcomes {
	o := &outcomes{durations: map[uint16]uint64{}}
	type run struct {
		task string
		run  uint32
	}
	runs := map[run]struct{}{}
	for i := range e.events {
		ev := &e.events[i]
		switch {
		case ev.at < from:
		case ev.completed:
			r := run{ev.task, ev.run}
			if _, seen := runs[r]; seen {
				continue
			}
			runs[r] = struct{}{}
			o.completedRuns++
			if ev.run == 1 {
				o.completedTasks++
			}
		default:
			o.attempts++
			o.durationSum += ev.duration
			// As in sqlOutcomeSums.
			o.durations[uint16(math.Floor(bucketsPerDoubling*math.Log2(float64(ev.duration)+1)))]++
		}
	}
	return o
}

// edgeAt returns the events of a slot, or nil where they are too many.
func (s *Store) edgeAt(ctx context.Context, namespace string, slot time.Time) (_ *edge, err error) {
	rows, err := s.read.Query(ctx, lines(
		"SELECT toString(any(o.type)), any(o.task_id), any(o.run), any(o.duration), toUnixTimestamp64Nano(min(o.occurred_at)), count(), cityHash64(o.event_id)",
		"FROM outcomes AS o WHERE o.namespace = {ns:String} AND o.slot = {slot:DateTime('UTC')} GROUP BY o.event_id LIMIT {most:UInt32}"),
		clickhouse.Named("ns", namespace), clickhouse.Named("slot", unixSeconds(slot)), clickhouse.Named("most", edgeRows+1))
	if err != nil {
		return nil, fmt.Errorf("read the first slot: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	e := &edge{slot: uint32(unixSeconds(slot))}
	for n := 1; rows.Next(); n++ {
		if n > edgeRows {
			return nil, nil //nolint:nilnil // as it says
		}
		var ev edgeEvent
		var typ, task string
		var copies, hash uint64
		if err := rows.Scan(&typ, &task, &ev.run, &ev.duration, &ev.at, &copies, &hash); err != nil {
			return nil, fmt.Errorf("read the first slot: %w", err)
		}
		e.n += copies
		e.hashes += copies * hash
		switch t, _ := timeline.ParseType(typ); t {
		case timeline.TaskCompleted:
			ev.completed, ev.task = true, task
		case timeline.AttemptSuccess, timeline.AttemptFailed:
		default:
			continue
		}
		e.events = append(e.events, ev)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the first slot: %w", err)
	}
	return e, nil
}
