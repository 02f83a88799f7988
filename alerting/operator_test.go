package alerting

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/alerting/channel/channeltest"
	"github.com/tasktrail/tasktrail/timeline"
)

// shut stands in for sealing in tests.
func shut(s ChannelSecrets) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return append([]byte("sealed:"), b...)
}

func openShut(_, _ string, b []byte) ([]byte, error) {
	if rest, ok := strings.CutPrefix(string(b), "sealed:"); ok {
		return []byte(rest), nil
	}
	return nil, errors.New("another key")
}

func hookSetting(url string, version uint64, name string) timeline.Event {
	return set(timeline.SettingChannel, name, version, timeline.ChannelSetting{
		Config: json.RawMessage(`{"name":"` + name + `","type":"webhook","allow_private":true}`),
		Sealed: shut(ChannelSecrets{URL: url, Secrets: []string{channeltest.SecretA}}),
	})
}

// What operators set is in force within seconds, in its namespace alone, and
// after a restart; what is not as it should be says why and holds up nothing.
func TestChannelsAndRulesThatOperatorsSet(t *testing.T) {
	own, other := channeltest.New(t, channeltest.SecretA), channeltest.New(t, channeltest.SecretA)
	dir := t.TempDir()
	file := filepath.Join(dir, "rules.yaml")
	if err := os.WriteFile(file, []byte("rules: [{name: of the file, kind: lost_tasks, above: 9}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Dir: filepath.Join(dir, "state"), RulesFile: file, AllowPrivate: true, EvaluateEvery: 10 * time.Millisecond}
	begin := func() *Alerting {
		a := openWith(t, cfg, Deps{OpenSecrets: openShut})
		if err := a.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		return a
	}
	a := begin()
	elsewhere := hookSetting(other.URL, 1, "hook")
	elsewhere.Namespace = "elsewhere"
	damaged := set(timeline.SettingChannel, "damaged", 1, timeline.ChannelSetting{Config: json.RawMessage(`{"name":"damaged","type":"slack"}`), Sealed: []byte("x")})
	write(t, a, hookSetting(own.URL, 1, "hook"), elsewhere, damaged,
		set(timeline.SettingRule, "in a row", 1, map[string]any{"name": "in a row", "kind": "consecutive_failures", "failures": 2, "match": map[string]any{"type": "payment"}}),
		set(timeline.SettingRule, "of the file", 1, map[string]any{"name": "of the file", "kind": "lost_tasks", "above": 1}))
	eventually(t, "the channels in force", func() bool { return len(a.Stats().Channels) == 2 })
	why := map[string]string{}
	for _, c := range a.UnfitChannels() {
		why[c.Name] = c.Disabled
	}
	if len(why) != 1 || !strings.Contains(why["damaged"], "command_key") {
		t.Errorf("unfit channels: %v", why)
	}
	rules := map[string]RuleInfo{}
	for _, r := range a.Rules() {
		rules[r.Name+" of "+string(r.Source)] = r
	}
	if len(rules) != 3 || rules["in a row of api"].Unfit != "" || !strings.Contains(rules["of the file of api"].Unfit, "of this name") || rules["of the file of file"].Above != 9 {
		t.Errorf("rules: %+v", rules)
	}
	fail := func(a *Alerting, namespace, task string) {
		e := event(timeline.TaskFailed, task, 1)
		e.Task.Namespace = namespace
		e.ID = timeline.DerivedEventID(namespace, task, 1, 0, e.Type)
		write(t, a, e)
	}
	// Two in a row elsewhere are none of this rule's.
	fail(a, "elsewhere", "e1")
	fail(a, "elsewhere", "e2")
	fail(a, "default", "t1")
	fail(a, "default", "t2")
	eventually(t, "the rule's call", func() bool { return len(own.Alerts()) == 1 })
	if al := own.Alerts()[0]; al.Rule != "in a row" || al.Namespace != "default" {
		t.Errorf("%+v", al)
	}
	if got := other.Alerts(); len(got) != 0 {
		t.Errorf("another namespace's channel was called: %+v", got)
	}
	if _, err := a.Test(t.Context(), "elsewhere", "hook"); err != nil {
		t.Error(err)
	}
	if len(other.Alerts()) != 1 || len(own.Alerts()) != 1 {
		t.Errorf("the test of one namespace's channel: %d and %d calls", len(other.Alerts()), len(own.Alerts()))
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}

	a = begin()
	write(t, a, dead("t9", 1, timeline.FailExhausted))
	eventually(t, "the call after a restart", func() bool {
		return slices.ContainsFunc(own.Alerts(), func(al timeline.Alert) bool { return al.TaskID == "t9" })
	})
	// It leads elsewhere, and then it is gone.
	write(t, a, hookSetting(other.URL, 2, "hook"))
	eventually(t, "the other end", func() bool {
		_, err := a.Test(t.Context(), "default", "hook")
		return err == nil && len(other.Alerts()) > 1
	})
	gone := set(timeline.SettingChannel, "hook", 3, nil)
	rule := set(timeline.SettingRule, "in a row", 2, nil)
	write(t, a, gone, rule)
	eventually(t, "what was deleted to be gone", func() bool {
		_, err := a.Deliveries("default", "hook")
		return errors.Is(err, ErrNotFound) && len(a.Rules()) == 2
	})
	eventually(t, "the rule's alert to be over", func() bool {
		for _, al := range a.Alerts("default", true) {
			if al.Rule == "in a row" {
				return false
			}
		}
		return true
	})
	own.Check(t)
}

func TestFaultsOfOneChannelOrRuleNameTheField(t *testing.T) {
	field := func(err error) string {
		var f *timeline.FieldError
		if !errors.As(err, &f) {
			return "no field: " + err.Error()
		}
		return f.Field
	}
	for in, want := range map[string]string{
		`{"name":"a","type":"mail"}`:                                 "type",
		`{"name":"a","type":"slack","url":"ftp://x"}`:                "url",
		`{"name":"a","type":"slack","url":"https://x","wait":"1s"}`:  "wait",
		`{"name":"a","type":"slack","url":7}`:                        "url",
		`{"name":"a","type":"webhook","url":"https://x"}`:            "secrets",
		`{"name":"a","type":"slack","url":"https://x","title":"{{"}`: "title",
	} {
		if _, err := ParseChannel([]byte(in)); err == nil || field(err) != want {
			t.Errorf("%s: %v, want a fault at %s", in, err, want)
		}
	}
	for in, want := range map[string]string{
		`{"name":"a","kind":"lost"}`:                                                    "kind",
		`{"name":"a"}`:                                                                  "",
		`{"name":"a","kind":"lost_tasks"}`:                                              "",
		`{"name":"a","kind":"lost_tasks","above":"many"}`:                               "above",
		`{"name":"a","kind":"lost_tasks", "above":1, "by":["type","colour"]}`:           "by[1]",
		`{"name":"a","kind":"lost_tasks","above":1,"match":{"queue":["a",{}]}}`:         "match.queue[1]",
		`{"name":"a","kind":"lost_tasks","above":1,"windows":"5m"}`:                     "windows",
		`{"name":"a","kind":"missed_run","match":{"type":"x"},"schedule":"61 * * * *"}`: "schedule",
		`[`: "", `7`: "",
	} {
		if _, err := ParseRule("default", []byte(in)); err == nil || field(err) != want {
			t.Errorf("%s: %v, want a fault at %q", in, err, want)
		}
	}
	if r, err := ParseRule("a", []byte(`{"name":"n","kind":"failure_rate","above":"20%","by":"queue"}`)); err != nil || r.Above != 0.2 || r.Scope != "a" || len(r.JSON) == 0 {
		t.Errorf("%+v %v", r, err)
	}
	if _, err := ParseRule("a", []byte(`{"name":"n","kind":"stalled_ingest","above":"1m"}`)); err == nil || field(err) != "kind" {
		t.Errorf("%v", err)
	}
}
