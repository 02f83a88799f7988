package alerting

import (
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// The names of the built-in rules.
const (
	RuleTaskFailed      = "task_failed"
	RuleBreakerOpen     = "circuit_breaker_open"
	RuleChannelDisabled = "channel_disabled"
	RuleChannelFailing  = "channel_failing"
	RuleFileBad         = "rules_not_loaded"
	RuleNotEvaluated    = "rules_not_evaluated"
)

// builtin is a rule that is always in force: it watches events and says which alerts begin, change and end. It keeps what
// it has to remember in the state, so that it outlives a restart, and treats an
// event that comes again as nothing new.
type builtin interface {
	// wants reports whether the rule has to see the record: few are worth a copy.
	wants(s *state, r *wire.Record) bool
	// observe takes an event and returns the alerts that changed by it.
	observe(s *state, e *timeline.Event, now time.Time) []timeline.Alert
	// due returns the alerts that changed by nothing but the time.
	due(s *state, now time.Time) []timeline.Alert
}
