package grafana

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tasktrail/tasktrail/timeline"
)

// ns is the namespace of a dashboard, quoted.
const ns = "${namespace:sqlstring}"

// Conditions on a table's namespace: a dashboard's, and every one for alerts.
const (
	oneNamespace   = "namespace = " + ns
	everyNamespace = "1"
)

// chosen is the condition that a column has one of the values of a variable.
func chosen(column, variable string) string {
	return "('__all' IN (${" + variable + ":sqlstring}) OR " + column + " IN (${" + variable + ":sqlstring}))"
}

func lines(parts ...string) string { return strings.Join(parts, "\n") }

// The parts of decide, as the schema describes them.
const (
	runOf      = "toUInt32(bitShiftRight(decide, 224))"
	rankOf     = "toUInt8(bitAnd(bitShiftRight(decide, 120), 255))"
	attemptsOf = "toUInt32(bitAnd(bitShiftRight(decide, 96), 16777215))"
	decidedAt  = "fromUnixTimestamp64Nano(toInt64(bitAnd(decide, 18446744073709551615)), 'UTC')"
)

// stateOf gives the state of a task from its decide.
func stateOf() string {
	var from, to []string
	for _, r := range []struct {
		rank int
		t    timeline.Type
	}{
		{10, timeline.TaskCreated}, {20, timeline.DLQRetryRequested}, {30, timeline.TaskStarted}, {40, timeline.AttemptStarted},
		{50, timeline.AttemptSuccess}, {60, timeline.AttemptFailed}, {70, timeline.AttemptAborted}, {80, timeline.TaskRetried},
		{130, timeline.TaskLost}, {140, timeline.TaskFailed}, {150, timeline.MovedToDLQ}, {160, timeline.TaskCompleted}, {170, timeline.TaskCancelled},
	} {
		if s := r.t.StateAfter(); s != "" {
			from, to = append(from, strconv.Itoa(r.rank)), append(to, "'"+string(s)+"'")
		}
	}
	return "transform(" + rankOf + ", [" + strings.Join(from, ", ") + "], [" + strings.Join(to, ", ") + "], 'pending')"
}

// tasks is a subquery with a row for each task that among selects the namespace
// and the id of. Its columns are the task's facts, state among them.
func tasks(namespace, among string) string {
	return lines(
		"(SELECT namespace, task_id, decide, "+stateOf()+" AS state, created_at, updated_at, completed_run, dead_letter_run,",
		"    longest, task_type, queue, runner, agent, provider, user_id, error_message FROM",
		"(SELECT toString(s.namespace) AS namespace, s.task_id AS task_id, max(s.decide) AS decide, toDateTime64(min(s.created_at), 9, 'UTC') AS created_at, toDateTime64(max(s.updated_at), 9, 'UTC') AS updated_at,",
		"    toUInt32(max(s.completed_run)) AS completed_run, toUInt32(max(s.dead_letter_run)) AS dead_letter_run, toUInt64(max(s.longest)) AS longest,",
		// Behind 16 bytes of order.
		"    substring(max(s.task_type), 17) AS task_type, substring(max(s.queue), 17) AS queue, substring(max(s.runner), 17) AS runner,",
		"    substring(max(s.agent), 17) AS agent, substring(max(s.provider), 17) AS provider, substring(max(s.user_id), 17) AS user_id,",
		"    substring(max(s.error_message), 17) AS error_message",
		"  FROM task_state AS s WHERE s."+orOne(namespace)+" AND (s.namespace, s.task_id) IN ("+among+")",
		"  GROUP BY s.namespace, s.task_id))")
}

// orOne makes of "s." and a condition one that is right for every namespace too.
func orOne(namespace string) string {
	if namespace == everyNamespace {
		return "namespace != ''"
	}
	return namespace
}

// openTasks selects the tasks that are not at their end, and few others.
func openTasks(namespace string) string {
	return "SELECT namespace, task_id FROM open_tasks WHERE " + namespace + " AND NOT bitTest(top, 31)"
}

// notEnded holds for a task that is not at its end.
const notEnded = "state NOT IN ('completed', 'failed', 'cancelled')"

// outcomes is a subquery of those of what attempts and runs came to within the
// range that a condition selects; an event that stands there twice is in it once.
// It holds the id of each, so that it is for conditions that few fulfil.
func outcomes(namespace, which string) string {
	return lines(
		"(SELECT toString(o.namespace) AS namespace, event_id, slot, toString(o.type) AS type, task_id, run, duration",
		"  FROM outcomes AS o WHERE o."+orOne(namespace)+" AND "+which+" AND $__timeFilter(slot) LIMIT 1 BY event_id)")
}

// ended is a subquery with a row for each slot of ten seconds within the range:
// how many runs completed and attempts ended, and how many attempts took how long.
// It takes what the store has rolled up where that was made of just the rows that
// are there now, and goes through the rows of the slots that are left, which are
// the latest.
func ended(namespace string) string {
	rolled := lines(
		"(SELECT toString(r.namespace) AS namespace, r.slot AS slot, any(r.completed_runs) AS completed, any(r.attempts) AS attempts, any(r.durations) AS durations",
		"    FROM outcome_rollups AS r INNER JOIN",
		"    (SELECT toString(m.namespace) AS namespace, m.slot AS slot, sum(m.n) AS n, sum(m.hashes) AS hashes FROM outcome_marks AS m WHERE m."+orOne(namespace)+" AND $__timeFilter(slot) GROUP BY m.namespace, m.slot) AS now",
		"    ON toString(r.namespace) = now.namespace AND r.slot = now.slot AND r.n = now.n AND r.hashes = now.hashes",
		"    WHERE r."+orOne(namespace)+" AND $__timeFilter(slot) GROUP BY r.namespace, r.slot)")
	return lines(
		"(SELECT namespace, slot, completed, attempts, durations FROM "+rolled,
		"  UNION ALL SELECT namespace, slot, uniqExactIf((task_id, run), type = 'task_completed') AS completed, countIf(type LIKE 'attempt_%') AS attempts,",
		"    sumMapIf(map(toUInt16(floor(64 * log2(duration + 1))), toUInt64(1)), type LIKE 'attempt_%') AS durations",
		"  FROM "+outcomes(namespace, "(toString(o.namespace), o.slot) NOT IN (SELECT namespace, slot FROM "+rolled+")")+" GROUP BY namespace, slot)")
}

// tookBelow is what so many of the attempts of rows of ended took less than, in
// nanoseconds: the middle of a bucket, which is off by half a percent.
func tookBelow(part string) string {
	return "exp2((quantileExactWeighted(" + part + ")(took, attempts_then) + 0.5) / 64) - 1"
}

// eachTook joins to rows of ended how many of their attempts took how long.
const eachTook = "ARRAY JOIN mapKeys(durations) AS took, mapValues(durations) AS attempts_then"

// troubles is a subquery of the runs that failed and the tasks that were lost
// within the range.
func troubles(namespace string) string {
	return "(SELECT toString(t.namespace) AS namespace, slot, task_id, run, toString(t.type) AS type FROM troubles AS t WHERE t." + orOne(namespace) +
		" AND $__timeFilter(slot) AND type IN ('task_failed', 'task_lost'))"
}

// folded is a subquery with a row for each task that something happened to within
// the range: the state that left it in. What a condition selects is known of each
// block of a task's events, and of those that name no such fact in none.
func folded(which string) string {
	return lines(
		"(SELECT "+stateOf()+" AS state FROM (SELECT max(s.decide) AS decide, max("+which+") AS is_chosen",
		"  FROM (SELECT cityHash64(task_id) AS task, decide, substring(task_type, 17) AS task_type, substring(queue, 17) AS queue",
		"    FROM task_times WHERE "+oneNamespace+" AND $__timeFilter(created_at)) AS s GROUP BY task HAVING is_chosen))")
}

// blocksThatEnd are the rows of task_times within the range that tell of a run's
// completion: what a run came to, and how long it took, stands in one of them
// beside the facts of its task, so that no other table is asked. A batch that was
// written twice, by two collectors, counts twice.
const blocksThatEnd = "task_times WHERE " + oneNamespace + " AND $__timeFilter(created_at) AND " + rankOf + " = 160"

// nothingCameOfIt holds for a task whose current run leaves an earlier dead
// letter as it was.
const nothingCameOfIt = "(" + rankOf + " IN (10, 170) OR (" + rankOf + " = 140 AND " + attemptsOf + " = 0))"

// pendingLetters is a subquery of the dead letters that are pending: of a task's
// last run that has one, which no run completed, nobody settled, and no run is
// trying to save.
func pendingLetters(namespace string) string {
	candidates := "SELECT namespace, task_id FROM letter_tasks WHERE " + namespace +
		" GROUP BY namespace, task_id HAVING max(dead_letter_run) > max(completed_run)"
	return lines(
		"(SELECT l.namespace AS namespace, l.task_id AS task_id, l.run AS run, l.id AS id, l.created_at AS created_at, l.severity AS severity, l.reason AS reason,",
		"    l.fingerprint AS fingerprint, task_type, queue, agent, provider, user_id, error_message",
		"  FROM (SELECT toString(d.namespace) AS namespace, d.task_id AS task_id, d.run AS run, any(d.id) AS id, min(d.created_at) AS created_at,",
		"      max(d.severity) AS severity, toString(any(d.reason)) AS reason, any(d.fingerprint) AS fingerprint",
		"    FROM dead_letters AS d WHERE d."+orOne(namespace)+" AND (d.namespace, d.task_id) IN ("+candidates+")",
		"    GROUP BY d.namespace, d.task_id, d.run) AS l",
		"  INNER JOIN "+tasks(namespace, candidates)+" AS t ON t.namespace = l.namespace AND t.task_id = l.task_id AND t.dead_letter_run = l.run",
		"  WHERE t.dead_letter_run > t.completed_run AND l.id NOT IN (SELECT id FROM dead_letters_settled WHERE "+namespace+")",
		"    AND ("+runOf+" <= l.run OR "+nothingCameOfIt+"))")
}

// severityName names the severity of a dead letter's alert.
const severityName = "transform(toUInt8(severity), [1, 2, 3], ['medium', 'high', 'critical'], '')"

// An attribute of an event's record, which is an OTLP LogRecord: its key, two
// tags and lengths, its value. Values shorter than 128 bytes alone are looked for.
func attribute(key string) string {
	at := "at_" + key[strings.LastIndexByte(key, '.')+1:]
	// The key's tag and length before it and the value's tag behind it, so that a
	// payload which names the key is not mistaken for it.
	return fmt.Sprintf("if((position(record, concat(char(10, %d), '%s', char(18))) AS %s) = 0, '', substring(record, %s + %d, reinterpretAsUInt8(substring(record, %s + %d, 1))))",
		len(key), key, at, at, len(key)+6, at, len(key)+5)
}

// amounts is a subquery of the amounts of those tasks that among selects, where
// they have one: what the earliest event says that names it.
func amounts(namespace, among string) string {
	return lines(
		"(SELECT namespace, task_id, toDecimal128OrZero(argMinIf(value, at, value != ''), 8) AS amount, argMinIf(unit, at, unit != '') AS currency FROM",
		"(SELECT toString(e.namespace) AS namespace, e.task_id AS task_id, e.occurred_at AS at, "+attribute("task.amount")+" AS value, "+attribute("task.currency")+" AS unit",
		"  FROM events AS e WHERE e."+orOne(namespace)+" AND (e.namespace, e.task_id) IN ("+among+"))",
		"WHERE value != '' GROUP BY namespace, task_id)")
}
