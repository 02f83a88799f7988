package grafana

import (
	"fmt"
	"strconv"
)

// alert is a rule over all namespaces. Its query gives one number a row beside
// texts, which become labels; the rule fires for the rows above a threshold.
type alert struct {
	uid, title, summary, description string
	sql                              string
	over                             int // seconds that the query looks back
	threshold                        float64
	lasting                          string // how long before it fires
	severity                         string
	dashboard, panel                 string // where to look: its uid, the panel's title
}

func alerts() []alert {
	return []alert{
		{
			uid: "tasktrail-failure-rate", title: "Many runs fail", severity: "high", dashboard: "tasktrail-overview", panel: "Failure rate", over: 900, threshold: 0.2, lasting: "2m",
			summary:     "More than 20 % of the runs in {{ .Labels.namespace }} failed",
			description: "Of the runs that ended in the last 15 minutes, 10 at least. Look at the errors by fingerprint, and at the breakers.",
			sql: lines("SELECT namespace, sum(failed) / (sum(failed) + sum(completed)) AS rate FROM",
				"(SELECT namespace, completed, 0 AS failed FROM "+ended(everyNamespace),
				"  UNION ALL SELECT namespace, 0 AS completed, uniqExactIf((task_id, run), type = 'task_failed') AS failed FROM "+troubles(everyNamespace)+" GROUP BY namespace)",
				"GROUP BY namespace HAVING sum(failed) + sum(completed) >= 10"),
		},
		{
			uid: "tasktrail-critical-letters", title: "Critical dead letters", severity: "critical", dashboard: "tasktrail-dead-letters", panel: "Pending by alert", over: 900, threshold: 0, lasting: "0s",
			summary:     "Critical dead letters in {{ .Labels.namespace }} of type {{ .Labels.type }}",
			description: "Dead letters of the last 15 minutes whose alert is critical and that are pending still.",
			sql: lines("SELECT namespace, task_type AS type, count() AS letters FROM "+pendingLetters(everyNamespace),
				"WHERE severity = 3 AND $__timeFilter(created_at) GROUP BY namespace, type"),
		},
		{
			uid: "tasktrail-letters-waiting", title: "Dead letters nobody looks at", severity: "medium", dashboard: "tasktrail-dead-letters", panel: "Oldest pending", over: 86400, threshold: 86400, lasting: "10m",
			summary:     "A dead letter in {{ .Labels.namespace }} has been pending for more than a day",
			description: "Retry it, resolve it, or discard it with a reason.",
			sql:         "SELECT namespace, dateDiff('second', min(created_at), now64(9)) AS age FROM " + pendingLetters(everyNamespace) + " GROUP BY namespace",
		},
		{
			uid: "tasktrail-breaker-open", title: "A provider's breaker is open", severity: "critical", dashboard: "tasktrail-providers", panel: "Breakers", over: 600, threshold: 0, lasting: "1m",
			summary:     "Breakers of {{ .Labels.provider }} are open in {{ .Labels.namespace }}",
			description: "Tasks for the provider go to the dead letters without an attempt, and are retried when the breaker closes.",
			sql: lines("SELECT namespace, provider, count() AS breakers FROM "+lastWords(everyNamespace),
				"WHERE l.1 != 'closed' AND greatest(l.5, l.6) > now64(9) - INTERVAL 5 MINUTE GROUP BY namespace, provider"),
		},
		{
			uid: "tasktrail-queue-waits", title: "A queue waits", severity: "high", dashboard: "tasktrail-queues", panel: "Queues now", over: 600, threshold: 600, lasting: "5m",
			summary:     "Tasks in queue {{ .Labels.queue }} of {{ .Labels.namespace }} have been pending for more than 10 minutes",
			description: "No worker takes them, or too few do: look at the agents.",
			sql: lines("SELECT namespace, queue, dateDiff('second', min(created_at), now64(9)) AS age FROM "+tasks(everyNamespace, openTasks(everyNamespace)),
				"WHERE state = 'pending' GROUP BY namespace, queue"),
		},
		{
			uid: "tasktrail-lost", title: "Tasks were lost", severity: "high", dashboard: "tasktrail-overview", panel: "Lost", over: 900, threshold: 0, lasting: "0s",
			summary:     "Workers in {{ .Labels.namespace }} fell silent with tasks in progress",
			description: "Tasks that were declared lost in the last 15 minutes. Where the runner delivers them again, they go on.",
			sql:         "SELECT namespace, uniqExact(task_id) AS tasks FROM " + troubles(everyNamespace) + " WHERE type = 'task_lost' GROUP BY namespace",
		},
		{
			uid: "tasktrail-money", title: "Money is stuck", severity: "critical", dashboard: "tasktrail-money", panel: "At risk now", over: 3600, threshold: 1000, lasting: "0s",
			summary:     "More than 1000 {{ .Labels.currency }} are stuck in dead letters of {{ .Labels.namespace }}",
			description: "The amounts of the pending dead letters by currency.",
			sql: lines("WITH pending AS "+pendingLetters(everyNamespace),
				"SELECT a.namespace AS namespace, a.currency AS currency, toFloat64(sum(a.amount)) AS amount FROM pending AS p",
				"INNER JOIN "+amounts(everyNamespace, "SELECT namespace, task_id FROM pending")+" AS a ON a.namespace = p.namespace AND a.task_id = p.task_id",
				"GROUP BY namespace, currency"),
		},
		{
			uid: "tasktrail-new-error", title: "An error not seen before", severity: "medium", dashboard: "tasktrail-dead-letters", panel: "Errors", over: 900, threshold: 0, lasting: "0s",
			summary:     "{{ .Labels.namespace }}: {{ .Labels.kind_of }}, not seen before ({{ .Labels.fingerprint }})",
			description: "An error's fingerprint of the last 15 minutes that the events kept do not know from before.",
			sql: lines("SELECT toString(namespace) AS namespace, toString(any(error_kind)) AS kind_of, toString(fingerprint) AS fingerprint, uniqExact(event_id) AS attempts FROM failures",
				"WHERE $__timeFilter(occurred_at) AND kind < 2 AND (namespace, fingerprint) NOT IN (SELECT namespace, fingerprint FROM failures WHERE occurred_at < $__fromTime)",
				"GROUP BY namespace, fingerprint ORDER BY attempts DESC LIMIT 50"),
		},
		{
			uid: "tasktrail-gaps", title: "Events were lost", severity: "high", dashboard: "tasktrail-pipeline", panel: "Gaps", over: 3600, threshold: 0, lasting: "0s",
			summary:     "Events of {{ .Labels.namespace }} will never arrive: {{ .Labels.why }}",
			description: "Sources gave events up in the last hour. `tasktrail verify` tells which.",
			sql: lines("SELECT namespace, why, sum(to_seq - from_seq + 1) AS events FROM (SELECT DISTINCT toString(namespace) AS namespace, toString(reason) AS why, source_id, from_seq, to_seq FROM gaps",
				"WHERE $__timeFilter(occurred_at) AND to_seq >= from_seq) GROUP BY namespace, why"),
		},
		{
			uid: "tasktrail-late", title: "Events arrive late", severity: "high", dashboard: "tasktrail-pipeline", panel: "Ingestion delay", over: 900, threshold: 300, lasting: "5m",
			summary:     "Events of {{ .Labels.namespace }} reach the collector more than 5 minutes late",
			description: "The median of those taken in the last 15 minutes. Agents were cut off and catch up, or a clock is wrong.",
			sql: lines("SELECT namespace, quantileExact(0.5)(greatest(date_diff('second', occurred_at, ingested_at), 0)) AS delay FROM",
				"(SELECT toString(namespace) AS namespace, occurred_at, ingested_at FROM outcomes WHERE slot >= $__fromTime - INTERVAL 1 DAY AND $__timeFilter(ingested_at)) GROUP BY namespace"),
		},
	}
}

// alertFile is what Grafana is provisioned with. It expands $NAME of the
// environment in some texts and not in others, so that labels are named without.
func alertFile() (object, error) {
	var rules []object
	for _, a := range alerts() {
		panel, err := panelID(a.dashboard, a.panel)
		if err != nil {
			return nil, fmt.Errorf("rule %s: %w", a.uid, err)
		}
		query := target(a.sql, false)
		query["refId"], query["datasource"] = "A", object{"type": ClickHouseType, "uid": ClickHouseUID}
		rules = append(rules, object{
			"uid": a.uid, "title": a.title, "condition": "B", "for": a.lasting,
			"noDataState": "OK", "execErrState": "Error",
			"dashboardUid": a.dashboard, "panelId": panel,
			"labels": object{"severity": a.severity, "product": "tasktrail"},
			"annotations": object{
				"summary": a.summary, "description": a.description, "__dashboardUid__": a.dashboard, "__panelId__": strconv.Itoa(panel),
				"live_ui": "${TASKTRAIL_UI_URL}",
			},
			"data": []object{
				{"refId": "A", "datasourceUid": ClickHouseUID, "queryType": "table", "relativeTimeRange": object{"from": a.over, "to": 0}, "model": query},
				{"refId": "B", "datasourceUid": "__expr__", "relativeTimeRange": object{"from": a.over, "to": 0}, "model": object{
					"refId": "B", "type": "threshold", "expression": "A", "datasource": object{"type": "__expr__", "uid": "__expr__"},
					"conditions": []object{{"evaluator": object{"type": "gt", "params": []float64{a.threshold}}}},
				}},
			},
		})
	}
	return object{"apiVersion": 1, "groups": []object{{"orgId": 1, "name": "tasktrail", "folder": "Tasktrail", "interval": "1m", "rules": rules}}}, nil
}

// panelID finds a panel by its title; Grafana links a rule to one by its number.
func panelID(uid, title string) (int, error) {
	for _, d := range all() {
		for i, p := range d.panels {
			if d.uid == uid && p.title == title {
				return i + 1, nil
			}
		}
	}
	return 0, fmt.Errorf("there is no panel %q on %s", title, uid)
}
