package collector

import (
	"slices"
	"strconv"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// gapSetAside is the reason of a gap that a set-aside frame leaves.
const gapSetAside = "set_aside"

// tombstones returns, for each source in a frame, events that name the ranges of
// its sequence in it. Their ids follow from the ranges, so that writing them
// twice is writing them once.
func tombstones(logID string, frame []byte) []timeline.Event {
	type source struct{ namespace, id string }
	seqs := map[source][]uint64{}
	var order []source
	var rec wire.Record
	var at int64
	// What can't be scanned names no sequence; the frame itself was kept.
	_ = wire.ScanFrame(frame, &rec, func(r *wire.Record) error {
		at = r.IngestedAt
		if len(r.SourceID) == 0 || r.SourceSeq == 0 || r.Derived {
			return nil
		}
		s := source{string(r.Namespace), string(r.SourceID)}
		if seqs[s] == nil {
			order = append(order, s)
		}
		seqs[s] = append(seqs[s], r.SourceSeq)
		return nil
	})
	var out []timeline.Event
	for _, s := range order {
		list := seqs[s]
		slices.Sort(list)
		for from := 0; from < len(list); {
			to := from
			for to+1 < len(list) && list[to+1] <= list[to]+1 {
				to++
			}
			gap := timeline.Gap{From: list[from], To: list[to], Reason: gapSetAside}
			out = append(out, timeline.Event{
				ID: timeline.DeriveID("tombstone", logID, s.namespace, s.id,
					strconv.FormatUint(gap.From, 10), strconv.FormatUint(gap.To, 10)),
				Type: timeline.Tombstone, Task: timeline.Task{Namespace: s.namespace}, SourceID: s.id,
				OccurredAt: time.Unix(0, at).UTC(), Gap: &gap,
			})
			from = to + 1
		}
	}
	return out
}
