package grafana

// taskLinks lead from a table's task id to its timeline, and to its dead letters.
var taskLinks = map[string]string{"task": "Timeline|${ui}/tasks/${__value.raw}?ns=${namespace}"}

func overview() dashboard {
	return dashboard{
		uid: "tasktrail-overview", title: "Tasktrail: overview",
		description: "How a namespace does: what waits, what runs, what fails, what could not be saved.",
		variables:   variables(several("type", "Type", "task_type"), several("queue", "Queue", "queue")), annotations: annotations(),
		panels: []panel{
			{
				kind: "stat", title: "Waiting and running", width: 4, height: 4, unit: "short",
				description: "Tasks that are not at their end now, whatever the range: pending, in progress and retrying.",
				sql: []string{lines("SELECT count() AS tasks FROM "+tasks(oneNamespace, openTasks(oneNamespace)),
					"WHERE "+notEnded+" AND state != 'lost' AND "+chosen("task_type", "type")+" AND "+chosen("queue", "queue"))},
			},
			{
				kind: "stat", title: "Completed", width: 4, height: 4, unit: "short", thresholds: []any{"green"},
				description: "Runs that completed within the range.",
				sql:         []string{"SELECT sum(completed) AS runs FROM " + ended(oneNamespace)},
			},
			{
				kind: "stat", title: "Failure rate", width: 4, height: 4, unit: "percentunit", thresholds: []any{"green", 0.05, "orange", 0.2, "red"},
				description: "Runs that failed, of those that ended in completion or failure within the range.",
				sql: []string{lines("SELECT if(failed + completed = 0, 0, failed / (failed + completed)) AS rate FROM",
					"(SELECT (SELECT uniqExactIf((task_id, run), type = 'task_failed') FROM "+troubles(oneNamespace)+") AS failed, (SELECT sum(completed) FROM "+ended(oneNamespace)+") AS completed)")},
			},
			{
				kind: "stat", title: "Dead letters", width: 4, height: 4, unit: "short", thresholds: []any{"green", 1, "orange", 100, "red"},
				description: "Dead letters that are pending now, whatever the range.",
				sql:         []string{"SELECT count() AS letters FROM " + pendingLetters(oneNamespace) + " WHERE " + chosen("task_type", "type") + " AND " + chosen("queue", "queue")},
			},
			{
				kind: "stat", title: "Lost", width: 4, height: 4, unit: "short", thresholds: []any{"green", 1, "red"},
				description: "Tasks whose agent fell silent within the range.",
				sql:         []string{"SELECT uniqExactIf(task_id, type = 'task_lost') AS tasks FROM " + troubles(oneNamespace)},
			},
			{
				kind: "stat", title: "Attempt, p95", width: 4, height: 4, unit: "ns",
				description: "Duration of the attempts that ended within the range: 95 of 100 took less.",
				sql:         []string{lines("SELECT if(count() = 0, 0, "+tookBelow("0.95")+") AS p95 FROM "+ended(oneNamespace), eachTook)},
			},
			{
				kind: "timeseries", title: "Runs that ended", width: 12, height: 8, unit: "short", stacked: true,
				description: "Runs that completed and failed, and tasks declared lost.",
				sql: []string{lines("SELECT time, sum(completed) AS completed, sum(failed) AS failed, sum(lost) AS lost FROM",
					"(SELECT $__timeInterval(slot) AS time, sum(completed) AS completed, 0 AS failed, 0 AS lost FROM "+ended(oneNamespace)+" GROUP BY time",
					"  UNION ALL SELECT $__timeInterval(slot) AS time, 0 AS completed, uniqExactIf((task_id, run), type = 'task_failed') AS failed, uniqExactIf(task_id, type = 'task_lost') AS lost",
					"  FROM "+troubles(oneNamespace)+" GROUP BY time) GROUP BY time ORDER BY time")},
			},
			{
				kind: "timeseries", title: "Attempts, duration", width: 12, height: 8, unit: "ns",
				description: "Half, 95 and 99 of 100 attempts took less.",
				sql: []string{lines("SELECT $__timeInterval(slot) AS time, "+tookBelow("0.5")+" AS p50, "+tookBelow("0.95")+" AS p95, "+tookBelow("0.99")+" AS p99",
					"FROM "+ended(oneNamespace), eachTook, "GROUP BY time ORDER BY time")},
			},
			{
				kind: "piechart", title: "Tasks by state", width: 8, height: 8, unit: "short",
				description: "Tasks that something happened to within the range, by the state that left them in.",
				sql:         []string{"SELECT state, count() AS tasks FROM " + folded(chosen("task_type", "type")+" AND "+chosen("queue", "queue")) + " GROUP BY state ORDER BY tasks DESC"},
			},
			{
				kind: "table", title: "Tasks that failed last", width: 16, height: 8, unit: "short", links: taskLinks,
				description: "Tasks whose last run failed, the latest first.",
				sql: []string{lines("SELECT task_id AS task, task_type AS type, queue, agent, provider, "+decidedAt+" AS failed, error_message AS error",
					"FROM "+tasks(oneNamespace, "SELECT namespace, task_id FROM troubles WHERE "+oneNamespace+" AND $__timeFilter(slot)"),
					"WHERE state = 'failed' AND "+chosen("task_type", "type")+" AND "+chosen("queue", "queue")+" ORDER BY failed DESC LIMIT 50")},
			},
		},
	}
}

func taskTypes() dashboard {
	d := dashboard{
		uid: "tasktrail-types", title: "Tasktrail: task types",
		description: "What each type of task does: how many, how long, how often it fails and for what.",
		variables:   variables(several("type", "Type", "task_type")), annotations: annotations(),
	}
	d.panels = append(facetPanels("type", "task_type", "type"), panel{
		kind: "table", title: "Why runs failed", width: 24, height: 8, unit: "short",
		description: "Runs that became dead letters within the range by the type of their task and the reason.",
		sql: []string{lines("SELECT toString(task_type) AS type, toString(reason) AS reason, uniqExact((task_id, run)) AS runs FROM dead_letters",
			"WHERE "+oneNamespace+" AND $__timeFilter(created_at) AND "+chosen("task_type", "type")+" GROUP BY type, reason ORDER BY runs DESC LIMIT 200")},
	})
	return d
}

// facetPanels show what runs came to by one fact of their tasks. Runs that fail are
// counted by their dead letters, which name the fact too.
func facetPanels(what, column, variable string) []panel {
	behind := "substring(" + column + ", 17)" // 16 bytes of order
	letters := "dead_letters WHERE " + oneNamespace + " AND $__timeFilter(created_at) AND " + chosen(column, variable) + " AND " + column + " != ''"
	return []panel{
		{
			kind: "table", title: "Each " + what, width: 24, height: 9, unit: "short",
			units:       map[string]string{"failure rate": "percentunit", "p50": "ns", "p95": "ns", "longest": "ns"},
			description: "Runs that completed within the range, the attempts they took and how long they were under way, waits included; and runs that became dead letters.",
			sql: []string{lines("SELECT fact AS "+what+", sum(completed_runs) AS completed, sum(failed_runs) AS failed, if(completed + failed = 0, 0, failed / (completed + failed)) AS `failure rate`,",
				"    if(completed = 0, 0, sum(tries) / completed) AS `attempts a run`, max(half) AS p50, max(most) AS p95, max(slowest) AS longest FROM",
				"(SELECT "+behind+" AS fact, count() AS completed_runs, 0 AS failed_runs, sum(greatest("+attemptsOf+", 1)) AS tries,",
				"    toFloat64(quantileTDigest(0.5)(longest)) AS half, toFloat64(quantileTDigest(0.95)(longest)) AS most, max(longest) AS slowest",
				"  FROM "+blocksThatEnd+" GROUP BY fact HAVING "+chosen("fact", variable)+" AND fact != ''",
				"  UNION ALL SELECT toString("+column+") AS fact, 0, uniqExact((task_id, run)), 0, 0, 0, 0 FROM "+letters+" GROUP BY fact)",
				"GROUP BY "+what+" ORDER BY failed DESC, completed DESC LIMIT 200")},
		},
		{
			kind: "timeseries", title: "Completed runs by " + what, width: 12, height: 8, unit: "short", stacked: true, name: "${__field.labels." + what + "}",
			description: "Runs that completed.",
			sql: []string{lines("SELECT $__timeInterval(created_at) AS time, "+behind+" AS "+what+", count() AS runs FROM "+blocksThatEnd,
				"GROUP BY time, "+what+" HAVING "+chosen(what, variable)+" AND "+what+" != '' ORDER BY time, "+what)},
		},
		{
			kind: "timeseries", title: "Failed runs by " + what, width: 12, height: 8, unit: "short", stacked: true, name: "${__field.labels." + what + "}",
			description: "Runs that became dead letters, those that were saved later among them.",
			sql: []string{lines("SELECT $__timeInterval(created_at) AS time, toString("+column+") AS "+what+", uniqExact((task_id, run)) AS runs FROM "+letters,
				"GROUP BY time, "+what+" ORDER BY time, "+what)},
		},
	}
}

func queues() dashboard {
	d := dashboard{
		uid: "tasktrail-queues", title: "Tasktrail: queues and agents",
		description: "What waits where, for how long, and who executes it.",
		variables:   variables(several("queue", "Queue", "queue"), several("agent", "Agent", "agent")), annotations: annotations(),
		panels: []panel{
			{
				kind: "table", title: "Queues now", width: 12, height: 9, unit: "short", units: map[string]string{"oldest pending": "s"},
				description: "Tasks that are not at their end now, whatever the range; the oldest pending is how long its first event is ago.",
				sql: []string{lines("SELECT queue, countIf(state = 'pending') AS pending, countIf(state = 'in_progress') AS `in progress`, countIf(state = 'retrying') AS retrying,",
					"    countIf(state = 'lost') AS lost, if(pending = 0, 0, dateDiff('second', minIf(created_at, state = 'pending'), now64(9))) AS `oldest pending`",
					"FROM "+tasks(oneNamespace, openTasks(oneNamespace)),
					"WHERE "+notEnded+" AND "+chosen("queue", "queue")+" AND "+chosen("agent", "agent")+" GROUP BY queue ORDER BY pending DESC LIMIT 200")},
			},
			{
				kind: "table", title: "Agents now", width: 12, height: 9, unit: "short", units: map[string]string{"heard of": "s"},
				description: "Who has tasks that are not at their end, and how long ago an event of one was last written.",
				sql: []string{lines("SELECT agent, countIf(state = 'in_progress') AS `in progress`, countIf(state = 'retrying') AS retrying, countIf(state = 'lost') AS lost,",
					"    dateDiff('second', max(updated_at), now64(9)) AS `heard of`",
					"FROM "+tasks(oneNamespace, openTasks(oneNamespace)),
					"WHERE "+notEnded+" AND agent != '' AND "+chosen("queue", "queue")+" AND "+chosen("agent", "agent")+" GROUP BY agent ORDER BY `in progress` DESC LIMIT 200")},
			},
			{
				kind: "timeseries", title: "Completed runs by queue", width: 12, height: 8, unit: "short", stacked: true, name: "${__field.labels.queue_of}",
				description: "Runs that completed, by the queue of their task.",
				sql: []string{lines("SELECT $__timeInterval(created_at) AS time, substring(queue, 17) AS queue_of, count() AS runs FROM "+blocksThatEnd,
					"GROUP BY time, queue_of HAVING "+chosen("queue_of", "queue")+" ORDER BY time, queue_of")},
			},
			{
				kind: "timeseries", title: "Runs under way by agent", width: 12, height: 8, unit: "short", name: "${__field.labels.worker}",
				description: "How many runs an agent had under way at once, waits included: what those that completed in an interval took together, divided by the interval.",
				sql: []string{lines("SELECT $__timeInterval(created_at) AS time, substring(agent, 17) AS worker, sum(longest) / 1e9 / $__interval_s AS busy FROM "+blocksThatEnd,
					"GROUP BY time, worker HAVING worker != '' AND "+chosen("worker", "agent")+" ORDER BY time, worker")},
			},
			{
				kind: "table", title: "Longest waiting", width: 24, height: 8, unit: "short", links: taskLinks, units: map[string]string{"age": "s"},
				description: "Tasks that are not at their end, the oldest first.",
				sql: []string{lines("SELECT task_id AS task, task_type AS type, queue, agent, state, created_at AS created, dateDiff('second', created_at, now64(9)) AS age",
					"FROM "+tasks(oneNamespace, openTasks(oneNamespace)),
					"WHERE "+notEnded+" AND "+chosen("queue", "queue")+" AND "+chosen("agent", "agent")+" ORDER BY created LIMIT 50")},
			},
		},
	}
	d.panels = append(d.panels, panel{kind: "row", title: "Agents within the range"})
	d.panels = append(d.panels, facetPanels("agent", "agent", "agent")...)
	return d
}

func oneUser() dashboard {
	among := "SELECT namespace, task_id FROM user_tasks WHERE " + oneNamespace + " AND user = ${user:sqlstring}"
	mine := tasks(oneNamespace, among)
	within := " WHERE user_id = ${user:sqlstring} AND created_at <= $__toTime AND updated_at >= $__fromTime"
	return dashboard{
		uid: "tasktrail-user", title: "Tasktrail: one user's tasks", from: "now-24h",
		description: "All there is about one user: what they are told by support ends here.",
		variables: []object{
			namespaces(), text("user", "User", "", "The user_id of the tasks."), uiVariable(), tracesVariable(),
		},
		annotations: annotations(),
		panels: []panel{
			{
				kind: "piechart", title: "By state", width: 8, height: 8, unit: "short",
				description: "The user's tasks within the range by their state now.",
				sql:         []string{lines("SELECT state, count() AS tasks FROM "+mine, within, "GROUP BY state ORDER BY tasks DESC")},
			},
			{
				kind: "timeseries", title: "Runs that ended", width: 16, height: 8, unit: "short", stacked: true,
				description: "The user's runs that completed and failed.",
				sql: []string{lines("SELECT $__timeInterval(slot) AS time, uniqExactIf((task_id, run), type = 'task_completed') AS completed, uniqExactIf((task_id, run), type = 'task_failed') AS failed",
					"FROM "+outcomes(oneNamespace, "user_id = ${user:sqlstring}")+" GROUP BY time ORDER BY time")},
			},
			{
				kind: "table", title: "Tasks", width: 24, height: 10, unit: "short", links: taskLinks, units: map[string]string{"longest run": "ns"},
				description: "The user's tasks within the range, the last created first.",
				sql: []string{lines("SELECT task_id AS task, task_type AS type, queue, provider, state, "+runOf+" AS run, created_at AS created, updated_at AS updated, longest AS `longest run`, error_message AS error",
					"FROM "+mine, within, "ORDER BY created DESC LIMIT 200")},
			},
			{
				kind: "table", title: "Dead letters", width: 14, height: 8, unit: "short", links: taskLinks,
				description: "What of the user's could not be saved and is pending now, whatever the range.",
				sql: []string{lines("SELECT task_id AS task, task_type AS type, reason, "+severityName+" AS alert, created_at AS created, error_message AS error",
					"FROM "+pendingLetters(oneNamespace)+" WHERE user_id = ${user:sqlstring} ORDER BY created DESC LIMIT 200")},
			},
			{
				kind: "table", title: "Traces", width: 10, height: 8, unit: "short",
				links:       map[string]string{"trace": "Trace|${traces}${__value.raw}", "task": taskLinks["task"]},
				description: "The traces of the user's tasks.",
				sql: []string{lines("SELECT DISTINCT lower(hex(trace_id)) AS trace, task_id AS task FROM traces",
					"WHERE "+oneNamespace+" AND (namespace, task_id) IN ("+among+") ORDER BY task LIMIT 200")},
			},
		},
	}
}
