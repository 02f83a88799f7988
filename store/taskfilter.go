package store

import (
	"slices"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// onlyOpen reports whether a filter excludes every task that ended.
func onlyOpen(f readmodel.TaskFilter) bool {
	return f.Active || (len(f.States) > 0 && !slices.ContainsFunc(f.States, timeline.State.Terminal))
}

// Conditions on the events of a task, from {since:Int64} on.
const (
	sqlUserTasks   = "SELECT task_id FROM user_tasks WHERE namespace = {ns:String} AND user = "
	sqlTraceTasks  = "SELECT task_id FROM traces WHERE namespace = {ns:String} AND trace_id = CAST(unhex({trace:String}), 'FixedString(16)')"
	sqlPaidTasks   = "SELECT task_id FROM reference_tasks WHERE namespace = {ns:String} AND reference = {reference:String}"
	sqlFailedTasks = "SELECT task_id FROM fingerprint_tasks WHERE namespace = {ns:String} AND occurred_at >= fromUnixTimestamp64Nano({since:Int64}, 'UTC') AND fingerprint IN {fingerprints:Array(String)}"
	sqlTroubled    = "SELECT task_id FROM troubles WHERE namespace = {ns:String} AND occurred_at >= fromUnixTimestamp64Nano({since:Int64}, 'UTC') AND slot >= toDateTime(greatest(intDiv({since:Int64}, 1000000000) - 10, 0), 'UTC')"
)

// narrowings are queries of which each selects all tasks that the filter does,
// and maybe few.
func narrowings(scope readmodel.Scope, f readmodel.TaskFilter) (sql []string) {
	if !f.TraceID.IsZero() {
		sql = append(sql, sqlTraceTasks)
	}
	if f.PaymentReference != "" {
		sql = append(sql, sqlPaidTasks)
	}
	if f.UserID != "" {
		sql = append(sql, sqlUserTasks+"{user:String}")
	}
	if scope.UserID != "" {
		sql = append(sql, sqlUserTasks+"{scope_user:String}")
	}
	if onlyOpen(f) {
		sql = append(sql, sqlOpen)
	}
	if len(f.Reasons) > 0 {
		sql = append(sql, sqlTroubled+" AND reason IN {reasons:Array(String)}")
	}
	if severities := loud(f.Severities); severities != nil {
		sql = append(sql, sqlTroubled+" AND severity IN {severities:Array(UInt8)}")
	}
	if len(f.States) > 0 && !slices.ContainsFunc(f.States, func(s timeline.State) bool { return s != timeline.StateCancelled }) {
		sql = append(sql, sqlTroubled+" AND type = 'task_cancelled'")
	}
	if len(f.Fingerprints) > 0 && !slices.Contains(f.Fingerprints, "") {
		sql = append(sql, sqlFailedTasks)
	}
	return sql
}

// loud returns the severities where only tasks that raised one are asked for.
func loud(of []timeline.AlertSeverity) []int {
	if len(of) == 0 || slices.Contains(of, timeline.AlertNone) {
		return nil
	}
	out := make([]int, len(of))
	for i, v := range of {
		out[i] = int(v)
	}
	return out
}

func taskConditions(scope readmodel.Scope, f readmodel.TaskFilter) *filter {
	q := &filter{}
	state := sqlState()
	states := textsOf(f.States)
	q.in(state, "states", states)
	if f.Active {
		q.where = append(q.where, state+" NOT IN ('completed', 'failed', 'cancelled')")
	}
	q.in("task_type", "types", f.Types)
	q.in("queue", "queues", f.Queues)
	q.in("agent", "agents", f.Agents)
	q.in("provider", "providers", f.Providers)
	q.in("runner", "runners", f.Runners)
	if f.UserID != "" {
		q.add("user_id = {user:String}", "user", f.UserID)
	}
	if scope.UserID != "" {
		q.add("user_id = {scope_user:String}", "scope_user", scope.UserID)
	}
	if !f.TraceID.IsZero() {
		q.add("task_id IN ("+sqlTraceTasks+")", "trace", f.TraceID.String())
	}
	if f.PaymentReference != "" {
		q.add("task_id IN ("+sqlPaidTasks+")", "reference", f.PaymentReference)
	}
	// Of what follows the fold knows more; here stands what it cannot do without.
	if len(f.Reasons) > 0 {
		q.add("("+state+" = 'failed' AND task_id IN ("+sqlTroubled+" AND reason IN {reasons:Array(String)}))", "reasons", textsOf(f.Reasons))
	}
	if severities := loud(f.Severities); severities != nil {
		q.add("("+state+" IN ('failed', 'cancelled') AND task_id IN ("+sqlTroubled+" AND severity IN {severities:Array(UInt8)}))", "severities", severities)
	}
	if len(f.Fingerprints) > 0 && !slices.Contains(f.Fingerprints, "") {
		// Not of the task's id itself: the server would look for each of them in the
		// table that the states are read of.
		q.add("("+state+" != 'completed' AND concat(task_id, '') IN ("+sqlFailedTasks+"))", "fingerprints", f.Fingerprints)
	}
	if f.Text != "" {
		q.add("(positionCaseInsensitiveUTF8(task_id, {text:String}) > 0 OR positionCaseInsensitiveUTF8(task_type, {text:String}) > 0"+
			" OR (positionCaseInsensitiveUTF8(error_message, {text:String}) > 0 AND "+state+" != 'completed'))", "text", f.Text)
	}
	if f.MinAttempts > 0 {
		q.add("attempt >= {min_attempts:UInt32}", "min_attempts", f.MinAttempts)
	}
	if f.ErrorText != "" {
		q.add("(positionCaseInsensitiveUTF8(error_message, {error_text:String}) > 0 AND "+state+" != 'completed')", "error_text", f.ErrorText)
	}
	if f.MaxDuration > 0 {
		q.add("(shortest <= {max_duration:UInt64} AND "+state+" IN ('completed', 'failed', 'cancelled'))", "max_duration", uint64(f.MaxDuration))
	}
	if f.MinDuration > 0 {
		q.add("(longest >= {min_duration:UInt64} AND "+state+" IN ('completed', 'failed', 'cancelled'))", "min_duration", uint64(f.MinDuration))
	}
	q.within("updated_at", "updated", f.Updated)
	q.within("created_at", "created", f.Created)
	return q
}
