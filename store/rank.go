package store

import (
	"strconv"
	"strings"

	"github.com/tasktrail/tasktrail/timeline"
)

// ranks are the places of types in a timeline's order as they are stored: rows of
// years ago are compared with those of today, so a number never changes. The
// steps leave room for types to come.
var ranks = [...]struct {
	rank uint8
	t    timeline.Type
}{
	{10, timeline.TaskCreated}, {20, timeline.DLQRetryRequested}, {30, timeline.TaskStarted}, {40, timeline.AttemptStarted},
	{50, timeline.AttemptSuccess}, {60, timeline.AttemptFailed}, {70, timeline.AttemptAborted}, {80, timeline.TaskRetried},
	{90, timeline.CircuitBreakerOpened}, {100, timeline.CircuitBreakerHalfOpened}, {110, timeline.CircuitBreakerClosed},
	{120, timeline.CancelRequested}, {125, timeline.CancelIgnored}, {130, timeline.TaskLost}, {140, timeline.TaskFailed}, {150, timeline.MovedToDLQ},
	{160, timeline.TaskCompleted}, {170, timeline.TaskCancelled}, {180, timeline.DLQResolved}, {190, timeline.DLQDiscarded},
	{250, timeline.Tombstone}, {251, timeline.SettingChanged},
}

// rankOf returns the stored rank of a type, 0 for one that is not stored.
func rankOf(t timeline.Type) uint8 {
	for i := range ranks {
		if ranks[i].t == t {
			return ranks[i].rank
		}
	}
	return 0
}

// The parts of decide in SQL.
const (
	sqlRun      = "toUInt32(bitShiftRight(decide, 224))"
	sqlRank     = "toUInt8(bitAnd(bitShiftRight(decide, 120), 255))"
	sqlAttempts = "toUInt32(bitAnd(bitShiftRight(decide, 96), 16777215))"
	sqlDecided  = "fromUnixTimestamp64Nano(toInt64(bitAnd(decide, 18446744073709551615)), 'UTC')"
)

// stateOf returns the state a stored rank leads to, and "" for none.
func stateOf(rank uint8) timeline.State {
	for i := range ranks {
		if ranks[i].rank == rank {
			return ranks[i].t.StateAfter()
		}
	}
	return ""
}

// sqlState is the expression that gives the state a rank leads to.
func sqlState() string {
	var from, to []string
	for _, r := range ranks {
		if s := r.t.StateAfter(); s != "" {
			from = append(from, strconv.Itoa(int(r.rank)))
			to = append(to, "'"+string(s)+"'")
		}
	}
	return "transform(" + sqlRank + ", [" + strings.Join(from, ", ") + "], [" + strings.Join(to, ", ") + "], 'pending')"
}
