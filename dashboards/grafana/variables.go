package grafana

import (
	"maps"
	"slices"
)

func sourceVariable(kind string) object {
	v := object{"type": "datasource", "name": "datasource", "label": "Datasource", "query": kind, "refresh": 1, "hide": 0}
	if kind == ClickHouseType {
		v["current"] = object{"text": "Tasktrail", "value": ClickHouseUID}
	}
	return v
}

// namespaces is the variable every ClickHouse dashboard has, of one value.
func namespaces() object {
	return object{
		"type": "query", "name": "namespace", "label": "Namespace", "datasource": object{"type": ClickHouseType, "uid": "${datasource}"},
		"query":   "SELECT DISTINCT toString(namespace) AS namespace FROM (SELECT namespace FROM open_tasks UNION ALL SELECT namespace FROM outcome_marks UNION ALL SELECT namespace FROM troubles) ORDER BY namespace",
		"refresh": 1, "sort": 0, "multi": false, "includeAll": false,
	}
}

// everyOne is what a variable of several values holds for all of them: queries
// ask for it instead of listing what may be thousands.
const everyOne = "'__all'"

// several is a variable of facts of the tasks within the range.
func several(name, label, column string) object {
	return object{
		"type": "query", "name": name, "label": label, "datasource": object{"type": ClickHouseType, "uid": "${datasource}"},
		"query": lines("SELECT DISTINCT substring("+column+", 17) AS "+name+" FROM task_times",
			"WHERE namespace = "+ns+" AND $__timeFilter(created_at) AND "+name+" != '' ORDER BY "+name+" LIMIT 1000"),
		"refresh": 2, "sort": 1, "multi": true, "includeAll": true, "allValue": everyOne,
		"current": object{"text": "All", "value": "$__all"},
	}
}

func text(name, label, value, description string) object {
	return object{
		"type": "textbox", "name": name, "label": label, "description": description, "query": value,
		"current": object{"text": value, "value": value}, "options": []object{{"text": value, "value": value, "selected": true}},
	}
}

func uiVariable() object {
	return text("ui", "Live UI", "http://localhost:8080", "Where the live UI is reached; links of task ids lead there.")
}

func tracesVariable() object {
	return text("traces", "Traces", "http://localhost:16686/trace/", "What a trace id is appended to, to see it in your tracing backend.")
}

// variables are those of a dashboard between the ones all have.
func variables(more ...object) []object {
	return slices.Concat([]object{namespaces()}, more, []object{uiVariable()})
}

// annotation marks times in every panel.
func annotation(name, colour, sql string) object {
	t := target(sql, false)
	t["refId"] = "Anno"
	return object{
		"name": name, "enable": true, "hide": false, "iconColor": colour,
		"datasource": object{"type": ClickHouseType, "uid": "${datasource}"}, "target": t,
	}
}

// annotations are those of all dashboards of a namespace.
func annotations() []object {
	return []object{
		annotation("Breakers", "orange", lines(
			"SELECT min(occurred_at) AS time, concat(provider, ': ', toString(any(state))) AS title,",
			"    concat(toString(any(why)), ', ', toString(any(failures)), ' of ', toString(any(calls)), ' calls failed, ', any(agent)) AS text, 'breaker' AS tags",
			"FROM breaker_changes WHERE namespace = "+ns+" AND $__timeFilter(occurred_at) GROUP BY provider, event_id ORDER BY time DESC LIMIT 200")),
		annotation("Alerts", "red", lines(
			"SELECT min(d.created_at) AS time, concat(transform(toUInt8(max(d.severity)), [2, 3], ['high', 'critical'], ''), ': ', task_type, ' ', task_id) AS title,",
			"    any(d.error_message) AS text, 'alert' AS tags",
			"FROM dead_letters AS d WHERE d.namespace = "+ns+" AND $__timeFilter(created_at) AND d.severity >= 2",
			"GROUP BY task_id, run, task_type ORDER BY time DESC LIMIT 200")),
		annotation("Operators' settings", "blue", lines(
			"SELECT min(occurred_at) AS time, concat(kind, ' ', id) AS title, concat('version ', toString(version)) AS text, 'setting' AS tags",
			"FROM settings WHERE namespace = "+ns+" AND $__timeFilter(occurred_at) GROUP BY kind, id, version ORDER BY time DESC LIMIT 200")),
	}
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
