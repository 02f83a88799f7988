// Package grafana defines the Grafana dashboards and alert rules over
// Tasktrail's ClickHouse tables and metrics: what each panel asks and what it
// says of it, in Go, from which `make generate` writes the files that Grafana is
// provisioned with. It runs nothing, and nothing of Tasktrail needs it to run.
//
// Queries use the macros of grafana-clickhouse-datasource's backend alone, with
// the name of a column where one takes an argument, so that what a dashboard asks
// can be asked by an alert rule too, which has no browser to expand anything.
// Values of variables are quoted by ${name:sqlstring}.
package grafana

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// ClickHouseUID and ClickHouseType name the provisioned datasource.
const (
	ClickHouseUID  = "tasktrail-clickhouse"
	ClickHouseType = "grafana-clickhouse-datasource"
)

// Files returns what is to be written, by its path below dashboards/grafana.
func Files() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, d := range all() {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", " ")
		if err := enc.Encode(d.model()); err != nil {
			return nil, fmt.Errorf("dashboard %s: %w", d.uid, err)
		}
		files["dashboards/"+d.uid+".json"] = b.Bytes()
	}
	alerts, err := alertFile()
	if err != nil {
		return nil, fmt.Errorf("alert rules: %w", err)
	}
	var b bytes.Buffer
	b.WriteString("# Written by `make generate` from dashboards/grafana/alerts.go.\n")
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(alerts); err != nil {
		return nil, fmt.Errorf("alert rules: %w", err)
	}
	if err := enc.Close(); err != nil {
		return nil, fmt.Errorf("alert rules: %w", err)
	}
	files["provisioning/alerting/tasktrail.yaml"] = b.Bytes()
	return files, nil
}

// all are the dashboards, in the order of the menu that links them.
func all() []dashboard {
	return slices.Concat([]dashboard{
		overview(), taskTypes(), queues(), providers(), letters(), money(), oneUser(), pipeline(), pipelineMetrics(),
	})
}
