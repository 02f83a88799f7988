package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/alerting/rule"
	"github.com/tasktrail/tasktrail/timeline"
)

func TestAlertsCheckSaysWhatIsWrong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rules.yaml")
	check := func(text string) (string, error) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		root := newRoot()
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetErr(&out)
		root.SetArgs([]string{"alerts", "check", path})
		err := root.Execute()
		return out.String(), err
	}
	out, err := check("rules: [{name: a, kind: lost_tasks, above: 1}]\n")
	if err != nil || !strings.Contains(out, "1 rules, 0 channels") {
		t.Errorf("%q %v", out, err)
	}
	var usage usageError
	if _, err = check("rules: [{name: a, kind: lost_tasks}]\n"); !errors.As(err, &usage) || !strings.Contains(err.Error(), "line 1, column 9: the rule has no above") {
		t.Errorf("%v", err)
	}
	root := newRoot()
	root.SetArgs([]string{"alerts", "test", path, "--since", "soon"})
	root.SetOut(&bytes.Buffer{})
	if err := root.Execute(); !errors.As(err, &usage) || !strings.Contains(err.Error(), "--since") {
		t.Errorf("%v", err)
	}
}

func TestAReplayIsToldInWords(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	res := &rule.Result{Events: 7, Held: map[string]int{"a": 2}, Firings: []rule.Firing{{
		Alert:   timeline.Alert{Rule: "a", Severity: timeline.AlertHigh, State: timeline.AlertResolved, Title: "a", Text: "3 of 4 runs failed"},
		FiredAt: at, EndedAt: at.Add(5 * time.Minute),
	}}}
	var out bytes.Buffer
	if err := printReplay(&out, []rule.Rule{{Name: "a", For: time.Minute}, {Name: "b"}}, res, 7*24*time.Hour); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"5m0s", "3 of 4 runs failed", "a: would have fired 1 times in 7d, and held 2 times for less than 1m", "b: would have fired 0 times in 7d", "7 events"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s\ndoes not say %q", out.String(), want)
		}
	}
}
