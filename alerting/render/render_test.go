package render

import (
	"strings"
	"testing"

	"github.com/tasktrail/tasktrail/timeline"
)

func TestRender(t *testing.T) {
	d := &Data{Alert: timeline.Alert{Title: "t", TaskID: "t1", Severity: timeline.AlertCritical, Error: &timeline.Error{Message: "bad"}}, Link: "https://x/tasks/t1"}
	d.Alerts = []timeline.Alert{d.Alert, {TaskID: "t2"}}
	for in, want := range map[string]string{
		"{{.TaskID}} {{.Severity | printf \"%v\" | upper}} {{.Link}}": "t1 CRITICAL https://x/tasks/t1",
		"{{range .Alerts}}<{{.TaskID}}>{{end}}":                       "<t1><t2>",
		"{{with .Error}}{{.Message}}{{end}}":                          "bad",
		"{{short 1 \"äbc\"}}":                                         "…",
	} {
		tm, err := Parse(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if got, err := Execute(tm, d); err != nil || got != want {
			t.Errorf("%s: %q %v", in, got, err)
		}
	}
}

func TestWhatATemplateMayNotDo(t *testing.T) {
	for _, in := range []string{
		"{{", "{{.Nothing}}", "{{range 1000000000}}{{end}}", "{{define \"a\"}}{{template \"a\"}}{{end}}{{template \"a\"}}",
		"{{printf \"%100000000d\" 1}}", "{{printf \"%*d\" 1 1}}", "{{printf \"%.99999f\" 1.0}}", strings.Repeat("x", maxSource+1), "{{call 1}}",
		"{{index .Alerts 7}}",
	} {
		if err := Check(in); err == nil {
			t.Errorf("%.60s was taken", in)
		}
	}
	long, err := Parse("{{range .Alerts}}" + strings.Repeat("x", 1000) + "{{end}}")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Execute(long, &Data{Alerts: make([]timeline.Alert, 100)}); err == nil {
		t.Error("wrote without end")
	}
}

func FuzzCheck(f *testing.F) {
	f.Add("{{.Title}} {{range .Alerts}}{{.TaskID}}{{end}}")
	f.Fuzz(func(t *testing.T, in string) {
		if err := Check(in); err == nil && len(in) > maxSource {
			t.Error("longer than its bound")
		}
	})
}
