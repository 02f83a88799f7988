package grafana

import "strings"

// object is a piece of Grafana's JSON.
type object = map[string]any

// dashboard is what is said of one; the rest is the same for all.
type dashboard struct {
	uid, title, description string
	from                    string // the range it opens with; now-1h where empty
	prometheus              bool
	variables               []object
	annotations             []object
	panels                  []panel
}

// panel is one panel. Panels flow from left to right in rows of 24 columns.
type panel struct {
	kind        string // stat, timeseries, table, piechart, row
	title       string
	description string
	sql         []string // or
	promql      []string // and what their series are called:
	legends     []string
	unit        string
	width       int
	height      int
	links       map[string]string // by field: a title, then its URL after a |
	units       map[string]string // by field, where a table holds several
	thresholds  []any             // steps: a colour, then a value and a colour, …
	stacked     bool
	name        string // what a series is called
}

func (d dashboard) model() object {
	source := object{"type": ClickHouseType, "uid": "${datasource}"}
	if d.prometheus {
		source["type"] = "prometheus"
	}
	from := d.from
	if from == "" {
		from = "now-1h"
	}
	var panels []object
	x, y, tallest := 0, 0, 0
	for i, p := range d.panels {
		if p.kind == "row" {
			p.width, p.height = 24, 1
		}
		if x+p.width > 24 {
			x, y, tallest = 0, y+tallest, 0
		}
		m := p.model(i+1, source)
		m["gridPos"] = object{"x": x, "y": y, "w": p.width, "h": p.height}
		x, tallest = x+p.width, max(tallest, p.height)
		panels = append(panels, m)
	}
	annotations := d.annotations
	if annotations == nil {
		annotations = []object{}
	}
	links := []object{{"type": "dashboards", "title": "Tasktrail", "tags": []string{"tasktrail"}, "asDropdown": true, "includeVars": true, "keepTime": true}}
	if !d.prometheus {
		links = append(links, object{"type": "link", "title": "Live UI", "icon": "external link", "url": "${ui}/tasks?ns=${namespace}", "targetBlank": true})
	}
	return object{
		"uid": d.uid, "title": d.title, "description": d.description, "tags": []string{"tasktrail"},
		"schemaVersion": 41, "version": 1, "editable": true, "graphTooltip": 1, "timezone": "browser", "refresh": "30s",
		"time": object{"from": from, "to": "now"}, "panels": panels,
		"templating":  object{"list": append([]object{sourceVariable(source["type"].(string))}, d.variables...)},
		"annotations": object{"list": annotations},
		"links":       links,
	}
}

func (p panel) model(id int, source object) object {
	m := object{"id": id, "type": p.kind, "title": p.title}
	if p.kind == "row" {
		m["collapsed"], m["panels"] = false, []object{}
		return m
	}
	var targets []object
	for i, sql := range p.sql {
		t := target(sql, p.kind == "timeseries")
		t["refId"], t["datasource"] = ref(i), source
		targets = append(targets, t)
	}
	for i, expr := range p.promql {
		t := object{"refId": ref(i), "datasource": source, "expr": expr, "legendFormat": p.legends[i], "editorMode": "code", "range": true}
		if p.kind == "stat" {
			t["range"], t["instant"] = false, true
		}
		targets = append(targets, t)
	}
	defaults := object{"unit": p.unit, "color": object{"mode": "palette-classic"}, "custom": object{}, "thresholds": steps(p.thresholds)}
	if p.name != "" {
		defaults["displayName"] = p.name
	}
	if p.kind == "stat" {
		defaults["color"] = object{"mode": "thresholds"}
	}
	m["description"], m["datasource"], m["targets"], m["options"] = p.description, source, targets, p.options()
	if p.kind == "timeseries" {
		custom := object{"drawStyle": "line", "lineWidth": 1, "fillOpacity": 15, "showPoints": "auto", "spanNulls": false}
		if p.stacked {
			custom["stacking"], custom["drawStyle"], custom["fillOpacity"] = object{"mode": "normal", "group": "A"}, "bars", 80
		}
		defaults["custom"] = custom
	}
	m["fieldConfig"] = object{"defaults": defaults, "overrides": p.overrides()}
	return m
}

func (p panel) options() object {
	reduce := object{"calcs": []string{"lastNotNull"}, "values": true, "fields": ""}
	switch p.kind {
	case "stat":
		return object{"reduceOptions": reduce, "colorMode": "value", "graphMode": "none", "textMode": "auto", "orientation": "auto"}
	case "piechart":
		return object{"reduceOptions": reduce, "pieType": "donut", "legend": object{"displayMode": "table", "placement": "right", "values": []string{"value"}}}
	case "table":
		return object{"showHeader": true, "cellHeight": "sm"}
	default:
		return object{"legend": object{"displayMode": "list", "placement": "bottom"}, "tooltip": object{"mode": "multi", "sort": "desc"}}
	}
}

func (p panel) overrides() []object {
	out := []object{}
	for _, field := range sorted(p.links) {
		title, url, _ := strings.Cut(p.links[field], "|")
		out = append(out, object{
			"matcher":    object{"id": "byName", "options": field},
			"properties": []object{{"id": "links", "value": []object{{"title": title, "url": url, "targetBlank": true}}}},
		})
	}
	for _, field := range sorted(p.units) {
		out = append(out, object{
			"matcher":    object{"id": "byName", "options": field},
			"properties": []object{{"id": "unit", "value": p.units[field]}},
		})
	}
	return out
}

// target is a query of the ClickHouse plugin.
func target(sql string, series bool) object {
	if series {
		return object{"editorType": "sql", "queryType": "timeseries", "format": 0, "rawSql": sql}
	}
	return object{"editorType": "sql", "queryType": "table", "format": 1, "rawSql": sql}
}

func ref(i int) string { return string(rune('A' + i)) }

func steps(of []any) object {
	if len(of) == 0 {
		of = []any{"text"}
	}
	list := []object{{"color": of[0], "value": nil}}
	for i := 1; i+1 < len(of); i += 2 {
		list = append(list, object{"value": of[i], "color": of[i+1]})
	}
	return object{"mode": "absolute", "steps": list}
}
