package grafana_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/dashboards/grafana"
	"github.com/tasktrail/tasktrail/timeline"
)

type source struct{ Type, UID string }

type target struct {
	RefID      string `json:"refId"`
	RawSQL     string `json:"rawSql"`
	Expr       string
	Format     int
	EditorType string `json:"editorType"`
	QueryType  string `json:"queryType"`
	Datasource source
}

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               source
	Targets                  []target
	FieldConfig              struct {
		Defaults  struct{ Unit string }
		Overrides []struct {
			Matcher    struct{ ID, Options string }
			Properties []struct{ ID string }
		}
	}
	GridPos struct{ X, Y, W, H int }
}

type dashboard struct {
	UID, Title, Description string
	Panels                  []panel
	Templating              struct {
		List []struct {
			Type, Name, Query, AllValue string
			Datasource                  source
		}
	}
	Annotations struct {
		List []struct {
			Name       string
			Datasource source
			Target     target
		}
	}
}

func load(t *testing.T) []dashboard {
	t.Helper()
	paths, err := filepath.Glob("dashboards/*.json")
	if err != nil || len(paths) < 9 {
		t.Fatalf("%d dashboards, %v", len(paths), err)
	}
	var out []dashboard
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(data, &d); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		out = append(out, d)
	}
	return out
}

func TestFilesAreWhatIsDefined(t *testing.T) {
	files, err := grafana.Files()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.FromSlash(name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what is defined (%v): run make generate", name, err)
		}
	}
	if n := len(load(t)) + 1; n != len(files) {
		t.Errorf("%d files, %d defined: run make generate", n, len(files))
	}
}

var units = []string{"short", "percentunit", "ns", "s", "bytes", "cps", "reqps"}

func TestPanelsSayWhatTheyShow(t *testing.T) {
	uids, titles := map[string]bool{}, map[string]bool{}
	for _, d := range load(t) {
		if uids[d.UID] || titles[d.Title] || d.UID == "" || len(d.UID) > 40 || d.Description == "" {
			t.Errorf("%s: its uid and title want to be its own, its description to be there", d.UID)
		}
		uids[d.UID], titles[d.Title] = true, true
		ids := map[int]bool{}
		for i, p := range d.Panels {
			where := d.UID + ", " + p.Title
			if ids[p.ID] || p.ID == 0 {
				t.Errorf("%s: id %d is not its own", where, p.ID)
			}
			ids[p.ID] = true
			for _, o := range d.Panels[:i] {
				if a, b := p.GridPos, o.GridPos; a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
					t.Errorf("%s lies on %s", where, o.Title)
				}
			}
			if p.GridPos.W == 0 || p.GridPos.X+p.GridPos.W > 24 || p.GridPos.H == 0 {
				t.Errorf("%s: position %+v", where, p.GridPos)
			}
			if p.Type == "row" {
				continue
			}
			if len(p.Description) < 20 || !strings.HasSuffix(p.Description, ".") {
				t.Errorf("%s: describe it in a sentence", where)
			}
			if !slices.Contains(units, p.FieldConfig.Defaults.Unit) {
				t.Errorf("%s: unit %q", where, p.FieldConfig.Defaults.Unit)
			}
			if len(p.Targets) == 0 {
				t.Errorf("%s asks nothing", where)
			}
			for _, target := range p.Targets {
				if target.Datasource != p.Datasource || p.Datasource.UID != "${datasource}" || (target.RawSQL == "") == (target.Expr == "") {
					t.Errorf("%s: datasource %+v", where, target.Datasource)
				}
			}
		}
		for _, a := range d.Annotations.List {
			if a.Datasource.UID != "${datasource}" {
				t.Errorf("%s, annotation %s: datasource %+v", d.UID, a.Name, a.Datasource)
			}
		}
	}
}

func TestEveryQueryFindsWhatIsThere(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	reader, _ := seed(t, now)
	w := window{from: now.Add(-time.Hour), to: now, interval: time.Minute}
	choices := []map[string]string{
		{"namespace": "'default'", "user": "'ada'"},
		{"namespace": "'default'", "user": "'ada'", "type": "'payment','send_email'", "queue": "'a','b'", "agent": "'worker-1','o''brien'", "provider": "'bank'"},
	}
	for _, d := range load(t) {
		t.Run(d.UID, func(t *testing.T) {
			for i, values := range choices {
				for _, v := range d.Templating.List {
					if v.Type == "query" && i == 0 {
						if a := ask(t, reader, expand(t, fill(t, v.Query, values), w)); len(a.Data) == 0 || len(a.Meta) != 1 {
							t.Errorf("variable %s is empty", v.Name)
						}
						if v.AllValue != "" {
							values[v.Name] = v.AllValue
						}
					}
				}
				for _, a := range d.Annotations.List {
					got := ask(t, reader, expand(t, fill(t, a.Target.RawSQL, values), w))
					if len(got.Data) == 0 || got.Meta[0].Name != "time" || !isTime(got.Meta[0].Type) {
						t.Errorf("annotation %s: %d rows, %v", a.Name, len(got.Data), got.Meta)
					}
				}
				for _, p := range d.Panels {
					for _, target := range p.Targets {
						if target.RawSQL != "" {
							checkPanel(t, p, target, ask(t, reader, expand(t, fill(t, target.RawSQL, values), w)))
						}
					}
				}
			}
		})
	}
}

func checkPanel(t *testing.T, p panel, target target, a answer) {
	t.Helper()
	if !a.tells() {
		t.Errorf("%s: nothing in %v\n%s", p.Title, a.Data, target.RawSQL)
		return
	}
	if p.Type == "timeseries" {
		if target.Format != 0 || a.Meta[0].Name != "time" || a.Meta[0].Type[:8] != "DateTime" {
			t.Errorf("%s: want a series over time, got format %d and %v", p.Title, target.Format, a.Meta)
		}
		if !slices.IsSortedFunc(a.Data, func(x, y map[string]any) int { return strings.Compare(x["time"].(string), y["time"].(string)) }) {
			t.Errorf("%s is not in the order of time", p.Title)
		}
	}
	for _, o := range p.FieldConfig.Overrides {
		if !slices.ContainsFunc(a.Meta, func(m struct{ Name, Type string }) bool { return m.Name == o.Matcher.Options }) {
			t.Errorf("%s: there is no column %q, only %v", p.Title, o.Matcher.Options, a.Meta)
		}
	}
}

// What panels count is what the folds of the events say.
func TestCountsAreThoseOfTheFolds(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	reader, byTask := seed(t, now)
	states, letters, completed, failed := map[string]float64{}, 0.0, 0.0, 0.0
	for name, events := range byTask {
		snap, ok := timeline.Fold(events)
		if !ok {
			t.Fatal(name)
		}
		states[string(snap.State)]++
		for _, e := range events {
			switch e.Type {
			case timeline.TaskCompleted:
				completed++
			case timeline.TaskFailed:
				failed++
			}
		}
		for _, l := range timeline.FoldDeadLetters(events) {
			if l.Status == timeline.DeadLetterPending {
				letters++
			}
		}
	}
	w := window{from: now.Add(-48 * time.Hour), to: now, interval: time.Minute}
	values := map[string]string{"namespace": "'default'", "user": "'ada'", "type": "'__all'", "queue": "'__all'", "provider": "'__all'"}
	of := func(uid, title string) answer {
		t.Helper()
		for _, d := range load(t) {
			for _, p := range d.Panels {
				if d.UID == uid && p.Title == title {
					return ask(t, reader, expand(t, fill(t, p.Targets[0].RawSQL, values), w))
				}
			}
		}
		t.Fatalf("there is no %s on %s", title, uid)
		return answer{}
	}
	for _, where := range [][2]string{{"tasktrail-overview", "Tasks by state"}, {"tasktrail-user", "By state"}} {
		got := map[string]float64{}
		for _, row := range of(where[0], where[1]).Data {
			got[row["state"].(string)] = row["tasks"].(float64)
		}
		for state, n := range states {
			if got[state] != n {
				t.Errorf("%s: %v tasks are %s, want %v", where[1], got[state], state, n)
			}
		}
		if len(got) != len(states) {
			t.Errorf("%s: %v, want %v", where[1], got, states)
		}
	}
	for title, want := range map[string]float64{"Dead letters": letters, "Completed": completed, "Failure rate": failed / (failed + completed)} {
		a := of("tasktrail-overview", title)
		if got := a.Data[0][a.Meta[0].Name]; got != want {
			t.Errorf("%s: %v, want %v", title, got, want)
		}
	}
	// Half of the attempts that succeeded took 40 ms, of those that failed 20.
	if p95 := of("tasktrail-overview", "Attempt, p95").Data[0]["p95"].(float64); p95 < 39.7e6 || p95 > 40.3e6 {
		t.Errorf("95 of 100 attempts took less than %v ns, want 40 ms", p95)
	}
	runs := map[string]float64{}
	for _, row := range of("tasktrail-overview", "Runs that ended").Data {
		for _, column := range []string{"completed", "failed"} {
			runs[column] += row[column].(float64)
		}
	}
	if runs["completed"] != completed || runs["failed"] != failed {
		t.Errorf("runs that ended: %v, want %v and %v", runs, completed, failed)
	}
	// By type a batch that came twice counts twice: one completed run did.
	runs = map[string]float64{}
	for _, row := range of("tasktrail-types", "Each type").Data {
		for _, column := range []string{"completed", "failed"} {
			runs[column] += row[column].(float64)
		}
	}
	if runs["completed"] != completed+1 || runs["failed"] != failed {
		t.Errorf("runs of types: %v, want %v and %v", runs, completed+1, failed)
	}
	if got := of("tasktrail-money", "At risk now").Data; len(got) != 1 || got[0]["currency"] != "EUR" || got[0]["amount"] != letters*700.25 {
		t.Errorf("at risk: %v, want %v EUR", got, letters*700.25)
	}
}

var metricName = regexp.MustCompile(`tasktrail_[a-z_]+`)

// Metrics are those that collector and query name in their sources.
func TestMetricsAreExported(t *testing.T) {
	var names []string
	for _, path := range []string{"../../collector/metrics.go", "../../query/metrics.go"} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, metricName.FindAllString(string(data), -1)...)
	}
	asked := map[string]bool{}
	for _, d := range load(t) {
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				for _, name := range metricName.FindAllString(target.Expr, -1) {
					asked[name] = true
					if !slices.Contains(names, strings.TrimSuffix(name, "_bucket")) {
						t.Errorf("%s, %s: nothing exports %s", d.UID, p.Title, name)
					}
				}
			}
		}
	}
	if len(asked) < 15 {
		t.Errorf("%d metrics are shown", len(asked))
	}
}
