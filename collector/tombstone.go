package collector

import (
	"slices"
	"strconv"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// The reasons of gaps that a collector leaves.
const (
	gapSetAside = "set_aside"
	gapRefused  = "refused"
)

// source is who wrote an event, as its sequence goes by it.
type source struct{ namespace, id string }

// sequences returns the sequence numbers of each source in a frame, and when it
// came in. What can't be scanned names no sequence.
func sequences(frame []byte) (map[source][]uint64, time.Time) {
	seqs := map[source][]uint64{}
	env, _, err := wire.DecodeFrame(frame)
	if err != nil {
		return seqs, time.Time{}
	}
	var rec wire.Record
	_ = wire.ScanFrame(frame, &rec, func(r *wire.Record) error {
		if len(r.SourceID) > 0 && r.SourceSeq > 0 && !r.Derived {
			s := source{string(r.Namespace), string(r.SourceID)}
			seqs[s] = append(seqs[s], r.SourceSeq)
		}
		return nil
	})
	return seqs, env.IngestedAt
}

// tombstones returns, for each source in a frame that was set aside, events that
// name the ranges of its sequence in it.
func tombstones(logID string, frame []byte) (out []timeline.Event) {
	seqs, at := sequences(frame)
	for s, list := range seqs {
		out = append(out, gaps(logID, s, list, gapSetAside, at)...)
	}
	return out
}

// refusedTombstones is the same for what was refused of a request: the numbers
// that the clean request has no more. A name that is too long to be stored has
// no tombstone.
func refusedTombstones(logID string, env wire.Envelope, request, clean []byte) (out []timeline.Event) {
	all, at := sequences(wire.AppendFrame(nil, env, request))
	kept, _ := sequences(wire.AppendFrame(nil, env, clean))
	for s, list := range all {
		have := map[uint64]bool{}
		for _, n := range kept[s] {
			have[n] = true
		}
		list = slices.DeleteFunc(list, func(n uint64) bool { return have[n] })
		if len(s.namespace) <= timeline.MaxNameBytes && len(s.id) <= timeline.MaxNameBytes {
			out = append(out, gaps(logID, s, list, gapRefused, at)...)
		}
	}
	return out
}

// gaps makes an event of each range of the numbers. The ids follow from the
// ranges, so that writing one twice is writing it once.
func gaps(logID string, s source, list []uint64, reason string, at time.Time) (out []timeline.Event) {
	slices.Sort(list)
	for from := 0; from < len(list); {
		to := from
		for to+1 < len(list) && list[to+1] <= list[to]+1 {
			to++
		}
		gap := timeline.Gap{From: list[from], To: list[to], Reason: reason}
		out = append(out, timeline.Event{
			ID: timeline.DeriveID("tombstone", logID, s.namespace, s.id, reason,
				strconv.FormatUint(gap.From, 10), strconv.FormatUint(gap.To, 10)),
			Type: timeline.Tombstone, Task: timeline.Task{Namespace: s.namespace}, SourceID: s.id,
			OccurredAt: at.UTC(), Gap: &gap,
		})
		from = to + 1
	}
	return out
}
