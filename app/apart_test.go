package app_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/alerting/channel/channeltest"
	"github.com/tasktrail/tasktrail/app/uptest"
	"github.com/tasktrail/tasktrail/internal/proctest"
	"github.com/tasktrail/tasktrail/live/livetest"
	"github.com/tasktrail/tasktrail/timeline"
)

// sharedBy says what the parts apart share: go test ./app -run PartsApart
// -redis sentinel.
var sharedBy = flag.String("redis", "single", "the Redis that the parts apart share: single, sentinel or nodes")

func sharedRedis(t *testing.T) string {
	switch *sharedBy {
	case "sentinel":
		return livetest.StartSentinel(t).URL()
	case "nodes":
		url, _ := livetest.StartNodes(t)
		return url
	}
	return livetest.Start(t).URL()
}

// channelsApart sets a channel and a rule at the query service: the collectors
// call, say how that went, send again, and are asked what they deliver.
func channelsApart(t *testing.T, a *uptest.Apart) {
	t.Helper()
	hook := channeltest.New(t, channeltest.SecretA)
	call := func(method, path, body string, want int, out any) {
		t.Helper()
		if status, err := a.Call(method, path, body, out); status != want {
			t.Fatalf("%s %s: %d %v", method, path, status, err)
		}
	}
	type delivery struct {
		ID, Status string
		AlertID    string `json:"alert_id"`
	}
	call("PUT", "/channels/hook", fmt.Sprintf(`{"type":"webhook","url":%q,"secrets":[%q],"allow_private":true}`, hook.URL, channeltest.SecretA), 201, nil)
	call("PUT", "/rules/nothing", `{"kind":"lost_tasks","above":1000}`, 201, nil)
	proctest.Eventually(t, 40*time.Second, "the call of an alert over the new channel, from both collectors", func() (bool, string) {
		return len(hook.Alerts()) >= 1, fmt.Sprint(len(hook.Alerts()))
	})
	if al := hook.Alerts()[0]; al.TaskID != "transfer-1" || al.ID != timeline.TaskAlertID("default", "transfer-1") {
		t.Errorf("%+v", al)
	}
	var tested delivery
	proctest.Eventually(t, 40*time.Second, "a test over the channel", func() (bool, string) {
		_, err := a.Call("POST", "/channels/hook/test", "", &tested)
		return err == nil && tested.Status == "delivered", fmt.Sprintf("%+v %v", tested, err)
	})
	var log struct{ Data []delivery }
	proctest.Eventually(t, 20*time.Second, "the channel's log", func() (bool, string) {
		_, err := a.Call("GET", "/channels/hook/deliveries?status=delivered", "", &log)
		return err == nil && len(log.Data) >= 1, fmt.Sprintf("%+v %v", log, err)
	})
	before := len(hook.Got())
	call("POST", "/channels/hook/deliveries/"+log.Data[0].ID+"/resend", "", 202, nil)
	proctest.Eventually(t, 20*time.Second, "the delivery again", func() (bool, string) {
		calls := hook.Got()
		return len(calls) > before && calls[len(calls)-1].ID == log.Data[0].ID, fmt.Sprint(len(calls))
	})
	call("POST", "/channels/hook/deliveries/"+timeline.DeriveID("nosuch").String()+"/resend", "", 404, nil)
	call("POST", "/channels/nosuch/test", "", 404, nil)
	var channels struct {
		Data []struct {
			Name, Source string
			Delivered    int
		}
	}
	call("GET", "/channels", "", 200, &channels)
	if len(channels.Data) != 2 || channels.Data[0].Name != "hook" || channels.Data[0].Source != "api" || channels.Data[0].Delivered < 2 || channels.Data[1].Name != "redis" {
		t.Errorf("%+v", channels)
	}
	var rules struct {
		Data     []struct{ Name, Source, Disabled string }
		Severity struct{ Thresholds map[string]string }
	}
	call("GET", "/rules", "", 200, &rules)
	if len(rules.Data) != 1 || rules.Data[0].Source != "api" || rules.Data[0].Disabled != "" || rules.Severity.Thresholds["USD"] != "100" {
		t.Errorf("%+v", rules)
	}
	var trial struct{ Events int }
	call("POST", "/rules/try", `{"rule":{"name":"x","kind":"consecutive_failures","failures":1},"since":"1h"}`, 200, &trial)
	if trial.Events == 0 {
		t.Errorf("%+v", trial)
	}
	call("DELETE", "/channels/hook", "", 204, nil)
	proctest.Eventually(t, 40*time.Second, "both collectors to know that the channel is gone", func() (bool, string) {
		status, err := a.Call("POST", "/channels/hook/test", "", nil)
		return status == 404, fmt.Sprint(status, err)
	})
	hook.Check(t)
}

// Two collectors and a query service over one ClickHouse and one Redis: a task
// that failed at an agent of one collector is seen, alerted and retried through
// the other, exactly once, and the balance of both is even.
func TestThePartsApart(t *testing.T) {
	a := uptest.StartApart(t, sharedRedis(t), 2)

	worker, err := agent.New(agent.Config{Name: "worker", CollectorURL: a.Collectors[1], Token: a.Token, SpoolDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	var broken atomic.Bool
	broken.Store(true)
	execute := func(context.Context, agent.Task) (agent.Result, error) {
		if broken.Load() {
			return agent.Result{}, agent.Permanent(errors.New("the account is frozen"))
		}
		return agent.Result{Output: []byte(`{"ok":true}`)}, nil
	}
	var runs atomic.Int32
	worker.HandleQueue("money", func(ctx context.Context, c timeline.Command) error {
		runs.Add(1)
		go worker.Step(context.WithoutCancel(ctx), agent.Task{Task: c.Task}, agent.Delivery{Run: c.Run, Attempt: 1}, execute)
		return nil
	})
	if err := worker.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := worker.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	task := agent.Task{Task: timeline.Task{ID: "transfer-1", Type: "payment", Queue: "money", Runner: "test", UserID: "u1", Amount: "250", Currency: "USD", Input: []byte(`{"to":"x"}`)}}
	if step := worker.Step(t.Context(), task, agent.Delivery{Run: 1, Attempt: 1}, execute); step.Outcome != agent.Failed {
		t.Fatalf("%+v", step)
	}

	var alerts struct {
		Data []struct {
			TaskID, State, Severity string
		} `json:"data"`
	}
	proctest.Eventually(t, 30*time.Second, "the alert of the failed payment at the query service", func() (bool, string) {
		_, err := a.Call("GET", "/alerts", "", &alerts)
		return err == nil && len(alerts.Data) == 1 && alerts.Data[0].Severity == "critical", fmt.Sprintf("%+v %v", alerts, err)
	})

	channelsApart(t, a)

	broken.Store(false)
	if status, err := a.Call("POST", "/tasks/transfer-1/retry", `{"reason":"the account is open again"}`, nil); err != nil || status != 202 {
		t.Fatalf("retry: %d %v", status, err)
	}
	var snapshot struct{ State string }
	proctest.Eventually(t, 30*time.Second, "run 2 to complete", func() (bool, string) {
		_, err := a.Call("GET", "/tasks/transfer-1", "", &snapshot)
		return err == nil && snapshot.State == "completed", fmt.Sprintf("%+v %v", snapshot, err)
	})
	if n := runs.Load(); n != 1 {
		t.Errorf("the retry was started %d times", n)
	}
	if status, _ := a.Call("POST", "/tasks/transfer-1/retry", `{"reason":"again"}`, nil); status != 409 {
		t.Errorf("a retry of what completed: %d", status)
	}
	// A key that is made at the query service is soon known to the collectors, and a
	// revoked one soon to none.
	var made struct{ ID, Token string }
	if _, err := a.Call("POST", "/keys", `{"name":"sender","namespace":"default","scopes":["ingest"]}`, &made); err != nil || made.Token == "" {
		t.Fatalf("make a key: %+v, %v", made, err)
	}
	taken := func() int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.Collectors[1]+"/v1/logs", strings.NewReader(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+made.Token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	proctest.Eventually(t, 30*time.Second, "the key to be known to a collector", func() (bool, string) { n := taken(); return n == 200, fmt.Sprint(n) })
	if _, err := a.Call("DELETE", "/keys/"+made.ID, "", nil); err != nil {
		t.Fatal(err)
	}
	proctest.Eventually(t, 30*time.Second, "the key to be revoked at a collector", func() (bool, string) { n := taken(); return n == 401, fmt.Sprint(n) })

	proctest.Eventually(t, 30*time.Second, "the balance of both collectors", func() (bool, string) {
		out, err := a.Run("verify", "--clickhouse-dsn", a.DSN, "--token", a.Token, "--collector", strings.Join(a.Collectors, ","))
		return err == nil && strings.Count(out, " clickhouse ") == 2, fmt.Sprintf("%v\n%s", err, out)
	})
}
