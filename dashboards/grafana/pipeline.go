package grafana

// taken selects outcomes within the range: columns of numbers alone are read, and
// an event that two batches carry is taken twice.
const taken = oneNamespace + " AND $__timeFilter(slot)"

func pipeline() dashboard {
	return dashboard{
		uid: "tasktrail-pipeline", title: "Tasktrail: the pipeline's health",
		description: "Whether what happened is on record: how late, from which sources, and what is missing. What the processes say of themselves stands on the dashboard of metrics.",
		variables:   variables(), annotations: annotations(),
		panels: []panel{
			{
				kind: "stat", title: "Last outcome written", width: 6, height: 5, unit: "s", thresholds: []any{"green", 300, "orange", 3600, "red"},
				description: "How long ago the collector took the last outcome of the range. An idle namespace looks like this too.",
				sql:         []string{"SELECT if(count() = 0, NULL, dateDiff('second', max(ingested_at), now64(9))) AS age FROM outcomes WHERE " + taken},
			},
			{
				kind: "stat", title: "Ingestion delay, p99", width: 6, height: 5, unit: "s", thresholds: []any{"green", 5, "orange", 60, "red"},
				description: "From an outcome to the collector's having it: 99 of 100 were quicker. An agent that was cut off and an operator's clock show here.",
				sql:         []string{"SELECT quantileExact(0.99)(greatest(date_diff('millisecond', occurred_at, ingested_at), 0)) / 1000 AS delay FROM outcomes WHERE " + taken},
			},
			{
				kind: "stat", title: "Events lost on record", width: 6, height: 5, unit: "short", thresholds: []any{"green", 1, "red"},
				description: "Events within the range that a source says will never arrive: shed, refused or set aside.",
				sql: []string{lines("SELECT sum(to_seq - from_seq + 1) AS events FROM (SELECT DISTINCT source_id, from_seq, to_seq FROM gaps",
					"WHERE "+oneNamespace+" AND $__timeFilter(occurred_at) AND to_seq >= from_seq)")},
			},
			{
				kind: "stat", title: "Sources", width: 6, height: 5, unit: "short",
				description: "Sources of all namespaces whose events were taken within the range.",
				sql:         []string{"SELECT uniqExact(source_id) AS sources FROM ledger WHERE $__timeFilter(ingested_at)"},
			},
			{
				kind: "timeseries", title: "Outcomes taken", width: 12, height: 8, unit: "short", stacked: true,
				description: "Outcomes of attempts and runs by the time at which the collector took them. A backlog that is caught up with is a peak here, and what came twice counts twice.",
				sql:         []string{lines("SELECT $__timeInterval(ingested_at) AS time, count() AS outcomes FROM outcomes WHERE " + taken + " AND $__timeFilter(ingested_at) GROUP BY time ORDER BY time")},
			},
			{
				kind: "timeseries", title: "Ingestion delay", width: 12, height: 8, unit: "s",
				description: "From an outcome to the collector's having it, by the time of the outcome.",
				sql: []string{lines("SELECT $__timeInterval(slot) AS time, quantileExact(0.5)(greatest(date_diff('millisecond', occurred_at, ingested_at), 0)) / 1000 AS p50,",
					"    quantileExact(0.99)(greatest(date_diff('millisecond', occurred_at, ingested_at), 0)) / 1000 AS p99 FROM outcomes WHERE "+taken+" GROUP BY time ORDER BY time")},
			},
			{
				kind: "table", title: "Sources", width: 14, height: 9, unit: "short", units: map[string]string{"heard of": "s"},
				description: "Each source of the range, of all namespaces, by its sequence numbers. Missing are those between its lowest and its highest that are not there, and that nothing accounts for on record; `tasktrail verify` tells which.",
				sql: []string{lines("SELECT source_id AS source, sum(n) AS events, max(hi) - min(lo) + 1 - sum(n) AS `not there`, any(excused) AS `accounted for`, dateDiff('second', max(at), now64(9)) AS `heard of` FROM",
					"(SELECT source_id, chunk, bitmapMin(groupBitmapMergeState(b.seqs) AS s) AS lo, bitmapMax(s) AS hi, bitmapCardinality(s) AS n, max(b.ingested_at) AS at",
					"  FROM ledger AS b WHERE source_id IN (SELECT source_id FROM ledger WHERE $__timeFilter(ingested_at)) GROUP BY source_id, chunk) AS c",
					"LEFT JOIN (SELECT source_id, sum(to_seq - from_seq + 1) AS excused FROM (SELECT DISTINCT source_id, from_seq, to_seq FROM gaps WHERE to_seq >= from_seq) GROUP BY source_id) AS g ON g.source_id = c.source_id",
					"GROUP BY source ORDER BY `not there` DESC, events DESC LIMIT 200")},
			},
			{
				kind: "table", title: "Gaps", width: 10, height: 9, unit: "short",
				description: "What a source says will never arrive, within the range.",
				sql: []string{lines("SELECT source_id AS source, from_seq AS first, to_seq AS last, any(toString(reason)) AS why, min(occurred_at) AS at FROM gaps",
					"WHERE "+oneNamespace+" AND $__timeFilter(occurred_at) GROUP BY source, first, last ORDER BY at DESC LIMIT 200")},
			},
			{
				kind: "table", title: "Tables", width: 24, height: 9, unit: "short", units: map[string]string{"size": "bytes"},
				description: "What the database holds, of all namespaces: rows before merges, and bytes on disk.",
				sql: []string{lines("SELECT name AS table_name, total_rows AS rows, total_bytes AS size FROM system.tables",
					"WHERE database = currentDatabase() AND total_rows > 0 ORDER BY size DESC")},
			},
		},
	}
}

func pipelineMetrics() dashboard {
	graph := func(title, description, unit string, of ...string) panel {
		p := panel{kind: "timeseries", title: title, description: description, unit: unit, width: 12, height: 8}
		for i := 0; i+1 < len(of); i += 2 {
			p.promql, p.legends = append(p.promql, of[i]), append(p.legends, of[i+1])
		}
		return p
	}
	one := func(title, description, unit, expr string, thresholds ...any) panel {
		return panel{kind: "stat", title: title, description: description, unit: unit, width: 6, height: 5, thresholds: thresholds, promql: []string{expr}, legends: []string{""}}
	}
	return dashboard{
		uid: "tasktrail-metrics", title: "Tasktrail: the pipeline's metrics", prometheus: true,
		description: "What collectors and query say of themselves at /metrics, as Prometheus keeps it.",
		panels: []panel{
			one("Sinks that do not take", "Followers of a collector's log that refuse what they get: ClickHouse, Redis, alerting or commands. What is accepted waits in the log meanwhile.", "short",
				"count(tasktrail_exporter_up == 0) or vector(0)", "green", 1, "red"),
			one("Oldest not written", "Age of the oldest frame that a sink has not taken.", "s", "max(tasktrail_exporter_lag_seconds)", "green", 10, "orange", 300, "red"),
			one("Log filled", "How much of a collector's log is filled. A full one pushes back: agents keep what they have on their own disk.", "percentunit",
				"max(1 - tasktrail_log_free_bytes / tasktrail_exporter_queue_capacity)", "green", 0.5, "orange", 0.8, "red"),
			one("Refused in an hour", "Records that were not taken for good: malformed, too large, or without a right to their namespace.", "short",
				"sum(increase(tasktrail_receiver_refused_log_records_total[1h])) or vector(0)", "green", 1, "orange"),
			graph("Events accepted", "Records that are on a collector's disk, by transport, and those that were known already.", "cps",
				"sum by (transport) (rate(tasktrail_receiver_accepted_log_records_total[$__rate_interval]))", "{{transport}}",
				"sum(rate(tasktrail_receiver_repeated_log_records_total[$__rate_interval]))", "repeated"),
			graph("Taken by sinks", "Records that each follower of the log has taken.", "cps",
				"sum by (sink) (rate(tasktrail_exporter_sent_log_records_total[$__rate_interval]))", "{{sink}}"),
			graph("Behind", "Age of the oldest frame that a sink has not taken.", "s", "max by (sink, instance) (tasktrail_exporter_lag_seconds)", "{{sink}} {{instance}}"),
			graph("Waiting in the log", "Bytes of the log that a sink has not taken.", "bytes", "sum by (sink, instance) (tasktrail_exporter_queue_size)", "{{sink}} {{instance}}"),
			graph("Sinks' failures", "Tries of a sink that failed, records it set aside because they can never be taken, and those it skipped.", "cps",
				"sum by (sink) (rate(tasktrail_exporter_send_failed_total[$__rate_interval]))", "{{sink}} failed",
				"sum by (sink) (rate(tasktrail_exporter_set_aside_log_records_total[$__rate_interval]))", "{{sink}} set aside",
				"sum by (sink) (rate(tasktrail_exporter_skipped_log_records_total[$__rate_interval]))", "{{sink}} skipped"),
			graph("Answers of the receivers", "OTLP requests by status: 429 and 503 are overload, which agents wait out; 401 and 403 want another token.", "reqps",
				"sum by (code) (rate(tasktrail_receiver_requests_total[$__rate_interval]))", "{{code}}"),
			graph("Agents", "Agents that are connected, and tasks that are watched for silence.", "short",
				"sum(tasktrail_agent_connections)", "agents", "sum(tasktrail_watch_running_tasks)", "running tasks", "sum(tasktrail_watch_pending_events)", "events to write"),
			graph("The log's disk", "fsyncs of the log, and frames found damaged.", "cps",
				"sum(rate(tasktrail_log_syncs_total[$__rate_interval]))", "fsyncs", "sum(increase(tasktrail_log_damaged_frames_total[$__rate_interval]))", "damaged frames"),
			graph("API, requests", "Requests that query answered by status, and those refused by a limit.", "reqps",
				"sum by (status) (rate(tasktrail_query_requests_total[$__rate_interval]))", "{{status}}",
				"sum by (limit) (rate(tasktrail_query_refused_total[$__rate_interval]))", "refused: {{limit}}"),
			graph("API, duration", "99 of 100 requests of a route took less.", "s",
				"histogram_quantile(0.99, sum by (le, route) (rate(tasktrail_query_request_duration_seconds_bucket[$__rate_interval])))", "{{route}}"),
			graph("Streams", "Open streams of the live UI, and updates dropped because a reader was slow; it then reads the state anew.", "short",
				"sum(tasktrail_query_streams)", "streams", "sum(increase(tasktrail_query_stream_missed_updates_total[$__rate_interval]))", "missed updates"),
			graph("Memory", "Resident memory of the processes that have a log, or answer the API.", "bytes",
				"process_resident_memory_bytes and on (instance) (tasktrail_exporter_up or tasktrail_query_streams)", "{{instance}}"),
			graph("CPU", "Cores that the same processes use.", "short",
				"rate(process_cpu_seconds_total[$__rate_interval]) and on (instance) (tasktrail_exporter_up or tasktrail_query_streams)", "{{instance}}"),
		},
	}
}
