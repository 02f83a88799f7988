package grafana_test

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/tasktrail/tasktrail/dashboards/grafana"
)

type alertFile struct {
	APIVersion int `yaml:"apiVersion"`
	Groups     []struct {
		OrgID                  int `yaml:"orgId"`
		Name, Folder, Interval string
		Rules                  []struct {
			UID, Title, Condition, For string
			DashboardUID               string `yaml:"dashboardUid"`
			PanelID                    int    `yaml:"panelId"`
			NoDataState                string `yaml:"noDataState"`
			ExecErrState               string `yaml:"execErrState"`
			Labels, Annotations        map[string]string
			Data                       []struct {
				RefID             string                 `yaml:"refId"`
				DatasourceUID     string                 `yaml:"datasourceUid"`
				QueryType         string                 `yaml:"queryType"`
				RelativeTimeRange struct{ From, To int } `yaml:"relativeTimeRange"`
				Model             struct {
					RefID      string `yaml:"refId"`
					RawSQL     string `yaml:"rawSql"`
					EditorType string `yaml:"editorType"`
					QueryType  string `yaml:"queryType"`
					Format     int
					Datasource source
					Type       string
					Expression string
					Conditions []struct {
						Evaluator struct {
							Type   string
							Params []float64
						}
					}
				}
			}
		}
	}
}

// Each rule fires on the seed, for one number a row beside labels.
func TestEveryAlertFires(t *testing.T) {
	data, err := os.Open("provisioning/alerting/tasktrail.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = data.Close() }()
	var file alertFile
	dec := yaml.NewDecoder(data)
	dec.KnownFields(true)
	if err := dec.Decode(&file); err != nil {
		t.Fatal(err)
	}
	panels := map[string]bool{}
	for _, d := range load(t) {
		for _, p := range d.Panels {
			panels[d.UID+" "+strconv.Itoa(p.ID)] = true
		}
	}
	now := time.Now().UTC().Truncate(time.Second)
	reader, _ := seed(t, now)
	uids := map[string]bool{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if uids[r.UID] || r.UID == "" || len(r.UID) > 40 || r.Condition != "B" || len(r.Data) != 2 || r.Annotations["summary"] == "" {
				t.Fatalf("rule %q is not whole", r.UID)
			}
			uids[r.UID] = true
			// Both ways in which Grafana has them.
			where := r.DashboardUID + " " + strconv.Itoa(r.PanelID)
			if !panels[where] || where != r.Annotations["__dashboardUid__"]+" "+r.Annotations["__panelId__"] {
				t.Errorf("%s leads to %s, which is no panel", r.UID, where)
			}
			q, threshold := r.Data[0], r.Data[1]
			if q.DatasourceUID != grafana.ClickHouseUID || q.Model.Datasource != (source{grafana.ClickHouseType, grafana.ClickHouseUID}) || q.Model.Format != 1 {
				t.Errorf("%s: datasource %+v", r.UID, q.Model.Datasource)
			}
			if threshold.DatasourceUID != "__expr__" || threshold.Model.Expression != q.RefID {
				t.Errorf("%s: threshold %+v", r.UID, threshold.Model)
			}
			w := window{from: now.Add(-time.Duration(q.RelativeTimeRange.From) * time.Second), to: now, interval: time.Minute}
			sql := expand(t, fill(t, q.Model.RawSQL, nil), w)
			a := ask(t, reader, sql)
			var number string
			for _, m := range a.Meta {
				switch {
				case isNumber(m.Type) && number == "":
					number = m.Name
				case isNumber(m.Type) || isTime(m.Type):
					t.Errorf("%s: column %s beside the number", r.UID, m.Name)
				}
			}
			fires := false
			for _, row := range a.Data {
				n, _ := row[number].(float64)
				fires = fires || n > threshold.Model.Conditions[0].Evaluator.Params[0]
			}
			if !fires {
				t.Errorf("%s does not fire: %v\n%s", r.UID, a.Data, sql)
			}
		}
	}
	if len(uids) < 8 {
		t.Errorf("%d rules", len(uids))
	}
}

// The datasource is the one that dashboards and rules name, and takes its
// secrets from the environment.
func TestDatasource(t *testing.T) {
	data, err := os.ReadFile("provisioning/datasources/tasktrail.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Datasources []struct {
			UID, Type      string
			JSONData       map[string]string `yaml:"jsonData"`
			SecureJSONData map[string]string `yaml:"secureJsonData"`
		}
	}
	if err := yaml.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Datasources) != 1 || file.Datasources[0].UID != grafana.ClickHouseUID || file.Datasources[0].Type != grafana.ClickHouseType {
		t.Fatalf("%+v", file)
	}
	secrets, err := os.ReadFile("../../deploy/compose/secrets.sh")
	if err != nil {
		t.Fatal(err)
	}
	d := file.Datasources[0]
	for key, v := range map[string]string{
		"host": "HOST", "port": "PORT", "username": "USER", "defaultDatabase": "DATABASE",
	} {
		if want := "$TASKTRAIL_CLICKHOUSE_" + v; d.JSONData[key] != want || !strings.Contains(string(secrets), want[1:]+"=") {
			t.Errorf("%s is %q, want %s, which secrets.sh sets", key, d.JSONData[key], want)
		}
	}
	if d.SecureJSONData["password"] != "$TASKTRAIL_CLICKHOUSE_PASSWORD" {
		t.Error("the password is not that of the environment")
	}
}
