package grafana

func providers() dashboard {
	d := dashboard{
		uid: "tasktrail-providers", title: "Tasktrail: providers and breakers",
		description: "Which dependencies do well, and what their circuit breakers keep away from them.",
		variables:   variables(several("provider", "Provider", "provider")), annotations: annotations(),
		panels: []panel{
			{
				kind: "stat", title: "Breakers not closed", width: 6, height: 7, unit: "short", thresholds: []any{"green", 1, "red"},
				description: "Circuit breakers whose last word is open or half-open. A breaker that should have let a probe through more than 5 minutes ago is left out: its process is gone.",
				sql: []string{lines("SELECT count() AS breakers FROM "+lastWords(oneNamespace),
					"WHERE l.1 != 'closed' AND greatest(l.5, l.6) > now64(9) - INTERVAL 5 MINUTE AND "+chosen("provider", "provider"))},
			},
			{
				kind: "table", title: "Breakers", width: 18, height: 7, unit: "short",
				description: "The last word of each breaker; every process has one a provider.",
				sql: []string{lines("SELECT provider, l.1 AS state, l.2 AS why, l.4 AS failures, l.3 AS calls, l.6 AS since, if(toUnixTimestamp(l.5) = 0, NULL, l.5) AS `open until`, source_id AS source",
					"FROM "+lastWords(oneNamespace)+" WHERE "+chosen("provider", "provider")+" ORDER BY state = 'closed', since DESC LIMIT 200")},
			},
			{
				kind: "timeseries", title: "Openings", width: 12, height: 8, unit: "short", stacked: true, name: "${__field.labels.provider}",
				description: "Breakers that opened. Every process has one of its own, so that one failure of a provider opens several.",
				sql: []string{lines("SELECT $__timeInterval(occurred_at) AS time, provider, uniqExact(event_id) AS openings FROM breaker_changes",
					"WHERE "+oneNamespace+" AND $__timeFilter(occurred_at) AND state = 'open' AND "+chosen("provider", "provider")+" GROUP BY time, provider ORDER BY time, provider")},
			},
			{
				kind: "timeseries", title: "Skipped by a breaker", width: 12, height: 8, unit: "short", stacked: true, name: "${__field.labels.provider}",
				description: "Runs that failed because a breaker was open. Their dead letters are retried by themselves when it closes.",
				sql: []string{lines("SELECT $__timeInterval(created_at) AS time, toString(provider) AS provider, uniqExact((task_id, run)) AS letters FROM dead_letters",
					"WHERE "+oneNamespace+" AND $__timeFilter(created_at) AND reason = 'circuit_open' AND "+chosen("provider", "provider")+" GROUP BY time, provider ORDER BY time, provider")},
			},
		},
	}
	d.panels = append(d.panels, facetPanels("provider", "provider", "provider")...)
	return d
}

// lastWords is a subquery of each breaker's last word: state, why, calls,
// failures, open until, occurred at.
func lastWords(namespace string) string {
	return "(SELECT toString(b.namespace) AS namespace, b.provider AS provider, b.source_id AS source_id, argMaxMerge(b.last) AS l FROM breakers AS b WHERE b." +
		orOne(namespace) + " GROUP BY b.namespace, b.provider, b.source_id)"
}

func letters() dashboard {
	only := chosen("task_type", "type") + " AND " + chosen("queue", "queue") + " AND " + chosen("provider", "provider")
	return dashboard{
		uid: "tasktrail-dead-letters", title: "Tasktrail: dead letters and errors", from: "now-24h",
		description: "What could not be saved, why, and which errors are behind it.",
		variables:   variables(several("type", "Type", "task_type"), several("queue", "Queue", "queue"), several("provider", "Provider", "provider")),
		annotations: annotations(),
		panels: []panel{
			{
				kind: "stat", title: "Pending", width: 6, height: 6, unit: "short", thresholds: []any{"green", 1, "orange", 100, "red"},
				description: "Dead letters that are pending now, whatever the range.",
				sql:         []string{"SELECT count() AS letters FROM " + pendingLetters(oneNamespace) + " WHERE " + only},
			},
			{
				kind: "stat", title: "Oldest pending", width: 6, height: 6, unit: "s", thresholds: []any{"green", 3600, "orange", 86400, "red"},
				description: "How long the oldest pending dead letter has waited.",
				sql:         []string{"SELECT if(count() = 0, 0, dateDiff('second', min(created_at), now64(9))) AS age FROM " + pendingLetters(oneNamespace) + " WHERE " + only},
			},
			{
				kind: "piechart", title: "Pending by reason", width: 6, height: 6, unit: "short",
				description: "Why the pending dead letters' runs failed.",
				sql:         []string{"SELECT reason, count() AS letters FROM " + pendingLetters(oneNamespace) + " WHERE " + only + " GROUP BY reason ORDER BY letters DESC"},
			},
			{
				kind: "piechart", title: "Pending by alert", width: 6, height: 6, unit: "short",
				description: "How loudly the pending dead letters call.",
				sql:         []string{"SELECT " + severityName + " AS alert, count() AS letters FROM " + pendingLetters(oneNamespace) + " WHERE " + only + " GROUP BY alert ORDER BY letters DESC"},
			},
			{
				kind: "timeseries", title: "Dead letters by reason", width: 12, height: 8, unit: "short", stacked: true, name: "${__field.labels.reason}",
				description: "Runs that became dead letters within the range, those that were saved later among them.",
				sql: []string{lines("SELECT $__timeInterval(created_at) AS time, toString(reason) AS reason, uniqExact((task_id, run)) AS letters FROM dead_letters",
					"WHERE "+oneNamespace+" AND $__timeFilter(created_at) AND "+only+" GROUP BY time, reason ORDER BY time, reason")},
			},
			{
				kind: "timeseries", title: "Saved after all", width: 12, height: 8, unit: "short", stacked: true,
				description: "Tasks that had a dead letter and completed in a later run within the range.",
				sql: []string{lines("SELECT $__timeInterval(at) AS time, count() AS saved FROM (SELECT "+decidedAt+" AS at, completed_run, dead_letter_run, task_type, queue, provider, state",
					"FROM "+tasks(oneNamespace, "SELECT namespace, task_id FROM troubles WHERE "+oneNamespace+" AND $__timeFilter(slot)")+")",
					"WHERE state = 'completed' AND dead_letter_run > 0 AND completed_run > dead_letter_run AND $__timeFilter(at) AND "+only+" GROUP BY time ORDER BY time")},
			},
			{
				kind: "table", title: "Errors", width: 24, height: 10, unit: "short",
				links:       map[string]string{"sample task": "Timeline|${ui}/tasks/${__value.raw}?ns=${namespace}"},
				description: "Failed attempts and dead letters within the range by the fingerprint of their error.",
				sql: []string{lines("SELECT fingerprint, uniqExactIf(event_id, kind = 0) AS attempts, uniqExactIf(event_id, kind = 1) AS `dead letters`, uniqExact(task_id) AS tasks,",
					"    min(occurred_at) AS first, max(occurred_at) AS last, arrayStringConcat(arraySort(groupUniqArray(20)(toString(task_type))), ', ') AS types,",
					"    toString(argMax(error_kind, (occurred_at, event_id))) AS kind_of, argMax(error_message, (occurred_at, event_id)) AS message, argMax(task_id, (occurred_at, event_id)) AS `sample task`",
					"FROM failures WHERE "+oneNamespace+" AND $__timeFilter(occurred_at) AND kind < 2 AND "+chosen("task_type", "type")+" AND "+chosen("queue", "queue"),
					"GROUP BY fingerprint ORDER BY attempts DESC LIMIT 200")},
			},
			{
				kind: "timeseries", title: "Failed attempts by error", width: 24, height: 8, unit: "short", stacked: true, name: "${__field.labels.kind_of}",
				description: "Failed attempts by the kind of their error.",
				sql: []string{lines("SELECT $__timeInterval(occurred_at) AS time, toString(error_kind) AS kind_of, uniqExact(event_id) AS attempts FROM failures",
					"WHERE "+oneNamespace+" AND $__timeFilter(occurred_at) AND kind = 0 AND "+chosen("task_type", "type")+" AND "+chosen("queue", "queue")+" GROUP BY time, kind_of ORDER BY time, kind_of")},
			},
			{
				kind: "table", title: "Pending dead letters", width: 24, height: 10, unit: "short", links: taskLinks,
				description: "The latest pending dead letters. To retry or discard them, go to the live UI or `tasktrail failed`.",
				sql: []string{lines("SELECT task_id AS task, task_type AS type, queue, provider, reason, "+severityName+" AS alert, created_at AS created, user_id AS user, error_message AS error",
					"FROM "+pendingLetters(oneNamespace)+" WHERE "+only+" ORDER BY created DESC LIMIT 200")},
			},
		},
	}
}

func money() dashboard {
	only := chosen("task_type", "type") + " AND " + chosen("provider", "provider")
	atRisk := lines("(SELECT p.task_id AS task_id, p.task_type AS task_type, p.provider AS provider, p.user_id AS user_id, p.reason AS reason, p.created_at AS created_at, p.severity AS severity,",
		"    a.amount AS amount, a.currency AS currency FROM pending AS p",
		"  INNER JOIN "+amounts(oneNamespace, "SELECT namespace, task_id FROM pending")+" AS a ON a.namespace = p.namespace AND a.task_id = p.task_id WHERE "+only+")")
	with := "WITH pending AS " + pendingLetters(oneNamespace)
	stuck := "SELECT namespace, task_id FROM dead_letters WHERE " + oneNamespace + " AND $__timeFilter(created_at)"
	return dashboard{
		uid: "tasktrail-money", title: "Tasktrail: money at risk", from: "now-24h",
		description: "Payments among the dead letters: how much, where, and what came back.",
		variables:   variables(several("type", "Type", "task_type"), several("provider", "Provider", "provider")), annotations: annotations(),
		panels: []panel{
			{
				kind: "stat", title: "At risk now", width: 12, height: 6, unit: "short", thresholds: []any{"orange"},
				description: "The amounts of the pending dead letters by currency, whatever the range. Summed as decimals; shown as Grafana shows numbers.",
				sql:         []string{lines(with, "SELECT currency, toFloat64(sum(amount)) AS amount FROM "+atRisk, "GROUP BY currency ORDER BY currency")},
			},
			{
				kind: "stat", title: "Payments at risk", width: 6, height: 6, unit: "short", thresholds: []any{"green", 1, "orange"},
				description: "How many pending dead letters have an amount.",
				sql:         []string{lines(with, "SELECT count() AS payments FROM "+atRisk)},
			},
			{
				kind: "stat", title: "Saved after all", width: 6, height: 6, unit: "short", thresholds: []any{"green"},
				description: "The amounts of tasks that had a dead letter within the range and completed in a later run, by currency.",
				sql: []string{lines("SELECT a.currency AS currency, toFloat64(sum(a.amount)) AS amount FROM",
					tasks(oneNamespace, stuck)+" AS t INNER JOIN "+amounts(oneNamespace, stuck)+" AS a ON a.namespace = t.namespace AND a.task_id = t.task_id",
					"WHERE t.completed_run > t.dead_letter_run AND "+only+" GROUP BY currency ORDER BY currency")},
			},
			{
				kind: "timeseries", title: "Amounts that became dead letters", width: 24, height: 8, unit: "short", stacked: true, name: "${__field.labels.currency}",
				description: "The amounts of all dead letters within the range by currency, those that were saved later among them; a task counts once an interval.",
				sql: []string{lines("SELECT time, a.currency AS currency, toFloat64(sum(a.amount)) AS amount FROM",
					"(SELECT DISTINCT $__timeInterval(created_at) AS time, toString(namespace) AS namespace, task_id FROM dead_letters WHERE "+oneNamespace+" AND $__timeFilter(created_at) AND "+only+") AS d",
					"INNER JOIN "+amounts(oneNamespace, stuck)+" AS a ON a.namespace = d.namespace AND a.task_id = d.task_id GROUP BY time, currency ORDER BY time, currency")},
			},
			{
				kind: "table", title: "By provider and type", width: 10, height: 9, unit: "short",
				description: "Where the amounts of the pending dead letters are stuck.",
				sql: []string{lines(with, "SELECT provider, task_type AS type, currency, toFloat64(sum(amount)) AS amount, count() AS payments FROM "+atRisk,
					"GROUP BY provider, type, currency ORDER BY amount DESC LIMIT 200")},
			},
			{
				kind: "table", title: "Largest", width: 14, height: 9, unit: "short", links: taskLinks,
				description: "The pending dead letters with the largest amounts.",
				sql: []string{lines(with, "SELECT task_id AS task, toFloat64(amount) AS amount, currency, task_type AS type, provider, reason, "+severityName+" AS alert, created_at AS created, user_id AS user FROM "+atRisk,
					"ORDER BY amount DESC LIMIT 100")},
			},
		},
	}
}
