package query

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/query/auth"
	"github.com/tasktrail/tasktrail/query/querytest"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// TestTopicsMatrix asks for every topic with every kind of token; the tasks are
// u1's.
func TestTopicsMatrix(t *testing.T) {
	seesAll := []string{"admin", "reader", "readerpayload", "operator", "userall", "elsewhere"}
	u1 := []string{"user", "useroperator"}
	may := map[string]map[string]int{
		"task:failed": {}, "user_dashboard:u1": {}, "user_dashboard:u2": {}, "tasks": {}, "alerts": {}, "task:failed,task:theirs": {},
	}
	for topic, want := range may {
		for token := range kinds() {
			want[token] = 403
		}
		want[""], want["unknown"], want["broken"] = 401, 401, 503
		for _, token := range seesAll {
			want[token] = 200
		}
		for _, token := range append(u1, "otheruser") {
			want[token] = map[bool]int{true: 200, false: 404}[topic == "tasks" || topic == "alerts" ||
				topic == "task:failed" && token != "otheruser" || topic == "user_dashboard:u1" && token != "otheruser" || topic == "user_dashboard:u2" && token == "otheruser"]
		}
	}
	h := start(t)
	h.fill()
	for topic, wants := range may {
		for token, want := range wants {
			if want == 200 {
				h.stream(topic, token).close()
				continue
			}
			if a := h.get("/stream?topics="+url.QueryEscape(topic), token); a.status != want {
				t.Errorf("%s of %q: %d, want %d", topic, token, a.status, want)
			}
		}
	}
}

func TestErrorGroupsAreDecidedOn(t *testing.T) {
	now := at.Add(time.Hour)
	h := start(t, func(_ *Config, d *Deps) { d.Now = func() time.Time { return now } })
	h.fill()
	status := func(want string) errorGroupView {
		t.Helper()
		var page listBody[errorGroupView]
		h.get("/errors", "reader").want(200).json(&page)
		if len(page.Data) != 1 || page.Data[0].Status != want {
			t.Fatalf("%+v, want %s", page.Data, want)
		}
		return page.Data[0]
	}
	g := status("open")
	at := "/errors/" + url.PathEscape(g.Fingerprint)
	h.post(at+"/resolve", "operator", `{"reason":"mended"}`).want(200)
	if g = status("resolved"); g.Decision == nil || g.Decision.By != "key:operator" || g.Decision.Reason != "mended" {
		t.Errorf("%+v", g.Decision)
	}
	life := querytest.NewLife(timeline.Task{ID: "again", Type: "payment", UserID: "u1"}, now.Add(time.Second)).Failed()
	h.store.Add(life.Events...)
	status("regressed")
	var page listBody[errorGroupView]
	if h.get("/errors?status=open", "reader").want(200).json(&page); len(page.Data) != 0 {
		t.Errorf("%+v", page.Data)
	}
	h.post(at+"/ignore", "operator", "").want(200)
	status("ignored")
	h.post(at+"/reopen", "operator", "").want(200)
	status("open")
	// A user sees the status, not the operators' words.
	if h.get("/errors", "user").want(200).json(&page); page.Data[0].Decision.By != "" || page.Data[0].Decision.Reason != "" {
		t.Errorf("%+v", page.Data[0].Decision)
	}
}

func TestAlertsAreTakenUp(t *testing.T) {
	h := start(t)
	h.operations()
	id := timeline.TaskAlertID("default", "failed").String()
	var a readmodel.AlertRow
	h.post("/alerts/"+id+"/acknowledge", "operator", `{"reason":"calling"}`).want(200).json(&a)
	if a.Acknowledged == nil || a.Acknowledged.By != "key:operator" {
		t.Errorf("%+v", a)
	}
	h.get("/alerts/"+id, "reader").want(200).json(&a)
	if a.Acknowledged == nil || a.Acknowledged.Reason != "calling" {
		t.Errorf("the alert does not show it at once: %+v", a)
	}
	v, err := h.store.Setting(t.Context(), "default", timeline.SettingAlertState, id)
	if err != nil || v.Operator.Actor != "key:operator" || v.Operator.Reason != "calling" {
		t.Errorf("%+v, %v", v, err)
	}
	h.ops.AddAlert(readmodel.AlertRow{Alert: timeline.Alert{ID: timeline.TaskAlertID("default", "over"), State: timeline.AlertResolved, Namespace: "default", Title: "x", EndsAt: at}})
	h.post("/alerts/"+timeline.TaskAlertID("default", "over").String()+"/acknowledge", "operator", "").want(409, codeAlertResolved)
	h.get("/alerts?user_id=u2", "user").want(200)
	h.ops.Err = errors.New("broken")
	h.get("/alerts", "reader").want(503, codeUnavailable)
}

func TestPartsThatAreAbsent(t *testing.T) {
	h := start(t, func(_ *Config, d *Deps) {
		d.Alerts, d.Channels, d.Providers, d.Keys, d.Settings = nil, nil, nil, nil, nil
	})
	h.fill()
	for _, target := range []string{"/alerts", "/alerts/" + testSilence, "/channels", "/channels/x/deliveries", "/providers", "/providers/x/history", "/keys", "/silences", "/bulk", "/bulk/" + testBulk} {
		h.get(target, "admin").want(503, codeUnavailable)
	}
	h.post("/failed-tasks/bulk-retry", "admin", `{"filter":{"type":"payment"}}`).want(503, codeUnavailable)
	h.get("/errors", "admin").want(200)
}

func TestSilences(t *testing.T) {
	h := start(t)
	for body, field := range map[string]string{
		`{"duration":"1h","reason":"x"}`: "match", `{"match":{},"duration":"1h","reason":"x"}`: "match", `{"match":{"type":["a"]},"reason":"x"}`: "ends_at",
		`{"match":{"type":["a"]},"duration":"1h"}`: "reason", `{"match":{"type":["a"]},"duration":"soon","reason":"x"}`: "duration",
		`{"match":{"type":["a"]},"duration":"-1h","reason":"x"}`: "duration", `{"match":{"type":["a"]},"duration":"400d","reason":"x"}`: "ends_at",
		`{"match":{"type":["a"]},"ends_at":"2020-01-01T00:00:00Z","starts_at":"2019-01-01T00:00:00Z","reason":"x"}`: "ends_at",
		`{"match":{"type":["a"]},"ends_at":"soon","reason":"x"}`:                                                    "ends_at", `{"match":{"severity":["low"]},"duration":"1h","reason":"x"}`: "match",
		`{"match":{"reason":["bad"]},"duration":"1h","reason":"x"}`: "match", `{"match":{"type":[""]},"duration":"1h","reason":"x"}`: "match",
		`{"match":{"type":"a"},"duration":"1h","reason":"x"}`: "match.type", `{"match":{"nosuch":["a"]},"duration":"1h","reason":"x"}`: "nosuch",
	} {
		if a := h.post("/silences", "operator", body).want(400); a.problem().Field != field {
			t.Errorf("%s: the answer names %q, want %q: %s", body, a.problem().Field, field, a.body)
		}
	}
	var v silenceView
	h.post("/silences", "operator", `{"match":{"provider":["bank"]},"duration":"2h","reason":"being mended"}`).want(201).json(&v)
	if v.State != "active" || v.CreatedBy != "key:operator" || v.EndsAt.Sub(v.StartsAt) != 2*time.Hour {
		t.Errorf("%+v", v)
	}
	h.do("PUT", base+"/silences/"+v.ID, "operator", `{"match":{"provider":["bank","post"]},"duration":"3h","reason":"longer"}`).want(200).json(&v)
	if len(v.Match.Providers) != 2 || v.EndsAt.Sub(v.StartsAt) != 3*time.Hour {
		t.Errorf("%+v", v)
	}
	stored, err := h.store.Setting(t.Context(), "default", timeline.SettingSilence, v.ID)
	if err != nil || stored.Operator.Reason != "longer" || !strings.Contains(string(stored.Body), "post") {
		t.Errorf("%+v, %v", stored, err)
	}
	h.do("DELETE", base+"/silences/"+v.ID, "operator", "").want(204)
	h.get("/silences/"+v.ID, "operator").want(404)
	var page listBody[silenceView]
	if h.get("/silences", "operator").want(200).json(&page); len(page.Data) != 0 {
		t.Errorf("%+v", page.Data)
	}
	h.get("/silences", "elsewhere").want(200)
}

func TestKeysOverTheAPI(t *testing.T) {
	h := start(t, func(_ *Config, d *Deps) {
		k := kinds()
		k["localadmin"] = principal("default", "", auth.ScopeAdmin)
		d.Auth = k
	})
	h.operations()
	var made, again keyView
	body := `{"name":"ci","scopes":["read:all"],"expires_in":"90d"}`
	a := h.post("/keys", "admin", body, headerIdempotencyKey, "k1").want(201)
	a.json(&made)
	if made.Token == "" || made.Namespace != "default" || made.ExpiresAt.IsZero() {
		t.Errorf("%+v", made)
	}
	h.post("/keys", "admin", body, headerIdempotencyKey, "k1").want(201).json(&again)
	if again.ID != made.ID || again.Token != "" {
		t.Errorf("the token is shown twice: %+v", again)
	}
	list := h.get("/keys", "admin").want(200)
	if s := string(list.body); strings.Contains(s, "hash") || strings.Contains(s, "token") || strings.Contains(s, "0123456789abcdef") || !strings.Contains(s, made.ID) {
		t.Errorf("the list shows a secret, or not the key: %s", s)
	}
	if strings.Contains(h.log.String(), made.Token) {
		t.Error("the token stands in the log")
	}
	for body, field := range map[string]string{
		`{"scopes":["read:all"]}`: "name", `{"name":"x","scopes":["root"]}`: "scopes", `{"name":"x"}`: "scopes", `{"name":"x","scopes":["read"]}`: "scopes",
		`{"name":"x","scopes":["ingest"],"expires_in":"soon"}`: "expires_in", `{"name":"x","scopes":["ingest"],"expires_at":"2001-01-01T00:00:00Z"}`: "expires_at",
		`{"name":"x","scopes":["agent"],"queues":[""]}`: "queues", `{"name":"x","scopes":"ingest"}`: "scopes", `{"name":"\u0000","scopes":["ingest"]}`: "name",
	} {
		if a := h.post("/keys", "admin", body).want(400); a.problem().Field != field {
			t.Errorf("%s: the answer names %q, want %q: %s", body, a.problem().Field, field, a.body)
		}
	}
	// An admin of one namespace makes, sees and revokes keys of that one alone.
	h.post("/keys", "localadmin", `{"name":"x","scopes":["ingest"],"namespace":"other"}`).want(403, codeNamespaceForbidden)
	h.post("/keys", "localadmin", `{"name":"x","scopes":["ingest"],"namespace":"*"}`).want(403, codeNamespaceForbidden)
	var elsewhere keyView
	h.post("/keys", "admin", `{"name":"x","scopes":["ingest"],"namespace":"other"}`).want(201).json(&elsewhere)
	if s := string(h.get("/keys", "localadmin").want(200).body); strings.Contains(s, elsewhere.ID) || !strings.Contains(s, made.ID) {
		t.Errorf("%s", s)
	}
	h.do("DELETE", base+"/keys/"+elsewhere.ID, "localadmin", "").want(404)
	h.do("DELETE", base+"/keys/"+made.ID, "localadmin", "").want(204)
	h.do("DELETE", base+"/keys/nosuch", "admin", "").want(404)
}

// TestEveryChangeIsAudited asks every mutating route once, let in and refused, and
// looks for its line in the log.
func TestEveryChangeIsAudited(t *testing.T) {
	for _, rt := range (&Server{}).apiRoutes() {
		if !rt.mutates {
			continue
		}
		h := start(t)
		h.fill()
		h.operations()
		for _, token := range []string{"admin", "nothing"} {
			id := "audit-" + token
			h.do(rt.method, concrete(rt), token, "", "X-Request-Id", id)
			line := ""
			for l := range strings.SplitSeq(h.log.String(), "\n") {
				if strings.Contains(l, `"msg":"audit"`) && strings.Contains(l, `"request_id":"`+id+`"`) {
					line = l
				}
			}
			for _, want := range []string{`"actor":"key:` + token + `"`, `"action":"` + rt.method + " " + rt.path + `"`, `"namespace":`, `"status":`, `"result":`, `"time":`} {
				if !strings.Contains(line, want) {
					t.Errorf("%s %s by %s: the audit line lacks %s: %s", rt.method, rt.path, token, want, line)
				}
			}
		}
	}
}
