package channel

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/alerting/channel/channeltest"
	"github.com/tasktrail/tasktrail/timeline"
)

var at = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func alert(task string, state timeline.AlertState) timeline.Alert {
	a := timeline.Alert{
		ID: timeline.TaskAlertID("default", task), Rule: "task_failed", Severity: timeline.AlertCritical, State: state, Title: "payment " + task + " failed <now>",
		Text: "try & later", Namespace: "default", TaskID: task, TaskType: "payment", Queue: "payments", Provider: "bank", Amount: "120", Currency: "USD",
		StartsAt: at, UpdatedAt: at, Runs: 2, Run: 2, Reason: timeline.FailExhausted, Runbook: "https://wiki.example/x",
	}
	if state == timeline.AlertResolved {
		a.EndsAt = at.Add(time.Minute)
	}
	return a
}

// posted gives the path and the body of what a channel posts.
func posted(t *testing.T, c Config, n Notification) (paths []string, bodies []map[string]any, raw []string) {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		paths, raw = append(paths, r.URL.Path), append(raw, string(b))
		var m map[string]any
		if json.Unmarshal(b, &m) == nil {
			bodies = append(bodies, m)
		}
	}))
	defer srv.Close()
	c.URL, c.AllowPrivate = srv.URL, true
	ch, err := New(c, Links{Base: "https://trail.example/"})
	if err != nil {
		t.Fatal(err)
	}
	defer ch.Close()
	if err := ch.Notify(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	return paths, bodies, raw
}

func TestPagerDutyEvents(t *testing.T) {
	c := Config{Name: "p", Type: PagerDuty, RoutingKey: "R0123456789"}
	_, got, _ := posted(t, c, Notification{Alert: alert("t1", timeline.AlertFiring), More: []timeline.Alert{alert("t2", timeline.AlertResolved)}})
	if len(got) != 2 {
		t.Fatalf("%d events", len(got))
	}
	p, _ := got[0]["payload"].(map[string]any)
	if got[0]["event_action"] != "trigger" || got[0]["routing_key"] != "R0123456789" || got[0]["dedup_key"] != timeline.TaskAlertID("default", "t1").String() ||
		p["severity"] != "critical" || p["summary"] != "payment t1 failed <now>" || p["source"] == "" || p["class"] != "task_failed" {
		t.Errorf("event %v", got[0])
	}
	if got[1]["event_action"] != "resolve" || got[1]["dedup_key"] != timeline.TaskAlertID("default", "t2").String() {
		t.Errorf("event %v", got[1])
	}
	links, _ := got[0]["links"].([]any)
	if len(links) != 2 || !strings.Contains(links[0].(map[string]any)["href"].(string), "https://trail.example/tasks/t1") {
		t.Errorf("links %v", links)
	}
	taken := alert("t1", timeline.AlertFiring)
	taken.AcknowledgedBy = "ann"
	if _, got, _ = posted(t, c, Notification{Alert: taken}); got[0]["event_action"] != "acknowledge" {
		t.Errorf("event %v", got[0])
	}
}

func TestSlackMessage(t *testing.T) {
	c := Config{Name: "s", Type: Slack, Title: "{{.Alert.TaskID}}: {{.Severity}}"}
	_, got, raw := posted(t, c, Notification{Alert: alert("t1", timeline.AlertFiring), More: []timeline.Alert{alert("t2", timeline.AlertResolved)}})
	if got[0]["text"] != "1 alerts firing, 1 resolved" || !strings.Contains(raw[0], "[CRITICAL] t1: critical") || !strings.Contains(raw[0], `try \u0026amp; later`) ||
		!strings.Contains(raw[0], "https://trail.example/tasks/t2") {
		t.Errorf("message %s", raw[0])
	}
}

func TestAlertmanagersOwnForms(t *testing.T) {
	n := Notification{Alert: alert("t1", timeline.AlertFiring), More: []timeline.Alert{alert("t2", timeline.AlertResolved)}, Group: "queue=payments"}
	c := Config{Name: "w", Type: Webhook, Body: BodyAlertmanager, GroupBy: []string{"queue"}}
	_, got, raw := posted(t, c, n)
	m := got[0]
	common, _ := m["commonLabels"].(map[string]any)
	group, _ := m["groupLabels"].(map[string]any)
	alerts, _ := m["alerts"].([]any)
	if m["version"] != "4" || m["status"] != "firing" || m["receiver"] != "w" || m["groupKey"] != "queue=payments" || len(alerts) != 2 ||
		common["alertname"] != "task_failed" || common["task_id"] != nil || group["queue"] != "payments" {
		t.Errorf("body %s", raw[0])
	}
	paths, _, raw := posted(t, Config{Name: "a", Type: Alertmanager}, n)
	var list []amAlert
	if err := json.Unmarshal([]byte(raw[0]), &list); err != nil || paths[0] != "/api/v2/alerts" || len(list) != 2 {
		t.Fatalf("%s %s %v", paths[0], raw[0], err)
	}
	if !list[0].EndsAt.After(time.Now()) || !list[1].EndsAt.Equal(at.Add(time.Minute)) || list[0].Labels["alert_id"] == "" || list[0].Annotations["runbook_url"] == "" {
		t.Errorf("alerts %+v", list)
	}
}

func TestATemplateThatFailsGivesWay(t *testing.T) {
	r := channeltest.New(t, channeltest.SecretA)
	c := hook("h", r.URL)
	c.Title, c.Text = "{{.TaskID}} {{.Error.Message}}", "{{.Link}}"
	ch, err := New(c, Links{Base: "https://trail.example"})
	if err != nil {
		t.Fatal(err)
	}
	defer ch.Close()
	a := alert("t1", timeline.AlertFiring) // it has no error
	if err := ch.Notify(t.Context(), NewNotification(&a, 0, at)); err != nil {
		t.Fatal(err)
	}
	r.Check(t)
	got := r.Got()[0]
	if got.Data.Title != a.Title || got.Data.Text != "https://trail.example/tasks/t1" && !strings.Contains(got.Data.Text, "template failed") || got.Link != "https://trail.example/tasks/t1" {
		t.Errorf("call %+v", got)
	}
	c.Title = "{{.Nope}}"
	if _, err := New(c, Links{}); err == nil {
		t.Error("a template that can't work was taken")
	}
}

func TestAChannelsFaultsNameNoSecret(t *testing.T) {
	for _, c := range []Config{
		{Name: "a", Type: PagerDuty, RoutingKey: "short"},
		{Name: "a", Type: Slack, URL: "https://u:hunter2@x/y"},
		{Name: "a", Type: Alertmanager},
		{Name: "a", Type: Webhook, URL: "https://x", Body: "odd", Secrets: []string{channeltest.SecretA}},
		{Name: "a", Type: Slack, URL: "https://x", GroupBy: []string{"colour"}},
		{Name: "a", Type: Slack, URL: "https://x", Repeat: Duration(time.Second)},
	} {
		err := c.Validate()
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	c := Config{Name: "a", Type: Webhook, URL: "https://x/secret", Secrets: []string{channeltest.SecretA}}
	if b, err := json.Marshal(c.Redacted()); err != nil || strings.Contains(string(b), "secret/") || strings.Contains(string(b), "MfKQ") || strings.Contains(string(b), "x/secret") {
		t.Errorf("%s %v", b, err)
	}
	var d Duration
	if err := d.UnmarshalText([]byte("soon")); err == nil {
		t.Error("a duration of soon")
	}
	if err := (&DeliveryError{Status: 500, Err: context.Canceled}); !errors.Is(err, context.Canceled) {
		t.Error("the cause is lost")
	}
}
