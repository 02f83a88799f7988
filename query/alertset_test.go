package query

import (
	"errors"
	"strings"
	"testing"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

func TestChannelsAreSetAndTheirSecretsNeverShownAgain(t *testing.T) {
	h := start(t)
	h.operations()
	put := func(name, body string, status int, codes ...code) *channelView {
		t.Helper()
		var v channelView
		a := h.do("PUT", base+"/channels/"+name, "admin", body).want(status, codes...)
		if status < 300 {
			a.json(&v)
		}
		return &v
	}
	made := put("on-call", `{"type":"webhook","url":"https://hooks.example.com/T0KEN","reason":"we are on call"}`, 201)
	if made.Secret == "" || made.Source != readmodel.FromAPI || made.Namespace != "default" || made.ChangedBy != "key:admin" || made.Target != "hooks.example.com" {
		t.Errorf("%+v", made)
	}
	if v := put("on-call", `{"type":"webhook","min_severity":"critical"}`, 200); v.Secret != "" || v.MinSeverity != timeline.AlertCritical {
		t.Errorf("%+v", v)
	}
	if v := put("on-call", `{"type":"webhook","rotate_secret":true}`, 200); v.Secret == "" {
		t.Errorf("%+v", v)
	}
	rows, err := h.store.Settings(t.Context(), "default", timeline.SettingChannel)
	if err != nil || len(rows) != 2 {
		t.Fatal(rows, err)
	}
	list := h.get("/channels", "reader").want(200)
	for _, text := range []string{string(rows[0].Body), string(list.body)} {
		if strings.Contains(text, "T0KEN") || strings.Contains(text, "whsec_") || strings.Contains(text, "rotate_secret") || strings.Contains(text, "we are on call") {
			t.Errorf("it shows what is secret, or what is not the channel's: %s", text)
		}
	}
	// The answer asked for again does not show the secret again.
	const body = `{"type":"webhook","url":"https://b.example.com/"}`
	a := h.do("PUT", base+"/channels/twice", "admin", body, "Idempotency-Key", "k").want(201)
	b := h.do("PUT", base+"/channels/twice", "admin", body, "Idempotency-Key", "k").want(201)
	if !strings.Contains(string(a.body), "whsec_") || strings.Contains(string(b.body), "whsec_") {
		t.Errorf("%s\n%s", a.body, b.body)
	}
	for _, c := range []struct {
		name, body, field string
		status            int
		code              code
	}{
		{"new", `{"url":"https://x.example.com"}`, "type", 400, codeInvalidBody},
		{"new", `{"type":"slack"}`, "url", 400, codeInvalidBody},
		{"new", `{"type":"slack","url":"https://x.example.com","name":"other"}`, "name", 400, codeInvalidBody},
		{"new", `{"type":"slack","url":"https://x.example.com","reason":7}`, "reason", 400, codeInvalidBody},
		{"new", `{"type":"webhook","url":"https://x.example.com","rotate_secret":"yes"}`, "rotate_secret", 400, codeInvalidBody},
		{"new", `[]`, "", 400, codeInvalidBody},
		{"new", ``, "", 400, codeInvalidBody},
		{"a%2Fb", `{"type":"slack","url":"https://x.example.com"}`, "name", 400, codeInvalidParameter},
		{"hook", `{"type":"slack","url":"https://x.example.com"}`, "", 409, codeSetInFile},
	} {
		if a := h.do("PUT", base+"/channels/"+c.name, "admin", c.body).want(c.status, c.code); a.problem().Field != c.field {
			t.Errorf("%s %s: %s", c.name, c.body, a.body)
		}
	}
	h.do("DELETE", base+"/channels/hook", "admin", "").want(409, codeSetInFile)
	h.do("DELETE", base+"/channels/on-call", "admin", "").want(204)
	h.do("DELETE", base+"/channels/on-call", "admin", "").want(404, codeNotFound)
	if list := h.get("/channels", "reader").want(200); strings.Contains(string(list.body), "on-call") {
		t.Errorf("%s", list.body)
	}
}

// What another namespace set is not seen, and takes no name away.
func TestChannelsAndRulesAreOfTheirNamespace(t *testing.T) {
	h := start(t)
	h.operations()
	h.ops.AddChannel(readmodel.Channel{Name: "theirs", Type: "slack", Namespace: "other", Source: readmodel.FromAPI})
	h.ops.AddRule(readmodel.AlertRule{Name: "theirs", Kind: "lost_tasks", Namespace: "other", Source: readmodel.FromAPI})
	for _, route := range []string{"/channels", "/rules"} {
		if a := h.get(route, "reader").want(200); strings.Contains(string(a.body), "theirs") {
			t.Errorf("%s: %s", route, a.body)
		}
	}
	h.do("PUT", base+"/channels/theirs", "admin", `{"type":"slack","url":"https://x.example.com"}`).want(201)
	h.do("PUT", base+"/rules/theirs", "admin", `{"kind":"lost_tasks","above":1}`).want(201)
}

func TestRulesAreSetAndTried(t *testing.T) {
	h := start(t)
	h.operations()
	var rule readmodel.AlertRule
	h.do("PUT", base+"/rules/in%20a%20row", "admin", `{"kind":"consecutive_failures","failures":3,"severity":"critical","reason":"night"}`).want(201).json(&rule)
	if rule.Name != "in a row" || rule.Source != readmodel.FromAPI || rule.Severity != timeline.AlertCritical || strings.Contains(string(rule.Rule), "night") || !strings.Contains(string(rule.Rule), `"name":"in a row"`) {
		t.Errorf("%+v %s", rule, rule.Rule)
	}
	h.do("PUT", base+"/rules/workers%20die", "admin", `{"kind":"lost_tasks","above":1}`).want(409, codeSetInFile)
	h.do("DELETE", base+"/rules/workers%20die", "admin", "").want(409, codeSetInFile)
	if a := h.do("PUT", base+"/rules/x", "admin", `{"above":1}`).want(400, codeInvalidBody); a.problem().Field != "kind" {
		t.Errorf("%s", a.body)
	}
	var list struct {
		Data     []readmodel.AlertRule
		Severity readmodel.Severities
	}
	h.get("/rules", "reader").want(200).json(&list)
	if s := list.Severity; s.Thresholds["USD"] != "250" || len(s.Types) != 1 || string(s.Types[0].Match) != `{"type":["mail"]}` || s.Types[0].Severity != timeline.AlertHigh {
		t.Errorf("%+v", s)
	}
	if len(list.Data) != 3 || list.Data[2].Name != "workers die" || list.Data[2].Source != readmodel.FromFile {
		t.Errorf("%+v", list)
	}
	for body, field := range map[string]string{
		`{"since":"7d"}`: "rule", `{"rule":{"kind":"lost_tasks"},"since":"soon"}`: "since", `{"rule":{"kind":"lost_tasks"},"since":"400d"}`: "since", `{"rule":{"above":1}}`: "kind", `{"rule":7}`: "kind",
	} {
		if a := h.post("/rules/try", "operator", body).want(400, codeInvalidBody); a.problem().Field != field {
			t.Errorf("%s: %s", body, a.body)
		}
	}
	var trial readmodel.RuleTrial
	h.post("/rules/try", "operator", `{"rule":{"kind":"lost_tasks"}}`).want(200).json(&trial)
	if len(trial.Firings) != 1 || trial.To.Sub(trial.From).Hours() != 7*24 {
		t.Errorf("%+v", trial)
	}
	h.do("DELETE", base+"/rules/in%20a%20row", "admin", "").want(204)
}

func TestWithoutACollectorTheRoutesOfAlertingSaySo(t *testing.T) {
	h := start(t)
	h.operations()
	h.ops.Err = errors.Join(ErrNoAlerting)
	for _, target := range []string{"/channels", "/rules", "/channels/hook/deliveries"} {
		if a := h.get(target, "reader").want(503, codeUnavailable); !strings.Contains(a.problem().Detail, "no collector is running") {
			t.Errorf("%s: %s", target, a.body)
		}
	}
	h.post("/channels/hook/test", "operator", "").want(503, codeUnavailable)
	h.do("PUT", base+"/channels/x", "admin", `{"type":"slack","url":"https://x.example.com"}`).want(503, codeUnavailable)
}
