package agent

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// Whatever a snapshot has already seen of the events behind its position, folding
// them once more gives what folding them all from the beginning gives.
func TestJournalFoldsTwiceAsOnce(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for round := range 500 {
		events := randomRuns(rng)
		full := journal{runs: map[runKey]journalEntry{}}
		for i := range events {
			full.fold(&events[i])
		}
		seen := rng.IntN(len(events) + 1)
		from := rng.IntN(seen + 1)
		again := journal{runs: map[runKey]journalEntry{}}
		for i := range events[:seen] {
			again.fold(&events[i])
		}
		// A run that ended before the position is not in the snapshot; one that ended
		// after it ends once more.
		for i := range events[from:] {
			again.fold(&events[from+i])
		}
		for k, e := range full.runs {
			if again.runs[k] != e {
				t.Fatalf("round %d (position %d, snapshot after %d): %v is %+v, want %+v", round, from, seen, k, again.runs[k], e)
			}
		}
		for k := range maps.Keys(again.runs) {
			if _, ok := full.runs[k]; !ok {
				t.Fatalf("round %d: %v is over and came back as %+v", round, k, again.runs[k])
			}
		}
	}
}

// randomRuns are the events of some runs, mixed, each run in its own order.
func randomRuns(rng *rand.Rand) []wire.Record {
	var lines [][]wire.Record
	for id := range 1 + rng.IntN(4) {
		var line []wire.Record
		at, seq := int64(1_000_000_000), uint64(0)
		add := func(typ timeline.Type, attempt int) {
			at, seq = at+1+rng.Int64N(1000), seq+1
			line = append(line, wire.Record{
				Type: typ, Namespace: []byte("default"), TaskID: fmt.Appendf(nil, "t-%d", id), Runner: []byte("test"), Run: 1,
				Attempt: attempt, Seq: seq, OccurredAt: at,
			})
		}
		add(timeline.TaskStarted, 0)
		for n := 1; n <= 1+rng.IntN(4); n++ {
			add(timeline.AttemptStarted, n)
			switch rng.IntN(4) {
			case 0:
				add(timeline.AttemptAborted, n)
			case 1: // its worker dies
			default:
				add(timeline.AttemptFailed, n)
				add(timeline.TaskRetried, n)
			}
		}
		if rng.IntN(2) == 0 {
			add(timeline.TaskFailed, 0)
			add(timeline.MovedToDLQ, 0)
		}
		lines = append(lines, line)
	}
	var events []wire.Record
	for len(lines) > 0 {
		i := rng.IntN(len(lines))
		events = append(events, lines[i][0])
		if lines[i] = lines[i][1:]; len(lines[i]) == 0 {
			lines = append(lines[:i], lines[i+1:]...)
		}
	}
	return events
}

func TestJournalCountsDeaths(t *testing.T) {
	j := journal{runs: map[runKey]journalEntry{}}
	for n := 1; n <= 3; n++ {
		j.fold(&wire.Record{Type: timeline.AttemptStarted, TaskID: []byte("t"), Run: 1, Attempt: n, Seq: uint64(n), OccurredAt: int64(n)})
	}
	if e := j.runs[runKey{"", "t", 1}]; e.Deaths != 2 || !e.Running || e.Counted != 3 {
		t.Errorf("after three attempts that never ended: %+v, want two deaths and one that runs", e)
	}
}
