package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Channels and rules go to the API as they stand in the file, secrets over the
// standard input.
func TestAlertsChannelsAndRulesAreSet(t *testing.T) {
	asked := map[string]map[string]any{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := map[string]any{}
		b, err := io.ReadAll(r.Body)
		if err == nil && len(b) > 0 {
			err = json.Unmarshal(b, &body)
		}
		if err != nil {
			t.Error(err)
		}
		asked[r.Method+" "+r.URL.EscapedPath()] = body
		switch {
		case r.Method == http.MethodDelete:
			w.WriteHeader(http.StatusNoContent)
		case body["kind"] == "wrong":
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"status":400,"code":"invalid_body","field":"kind","detail":"want one of …"}`)
		case strings.HasSuffix(r.URL.Path, "/test"):
			_, _ = io.WriteString(w, `{"id":"x","channel":"a","status":"failed","error":"status 500"}`)
		default:
			_, _ = io.WriteString(w, `{"name":"x","secret":"whsec_once","data":[{"name":"on call","type":"slack","kind":"lost_tasks","source":"api","changed_by":"key:ann"}]}`)
		}
	}))
	defer srv.Close()
	run := func(in string, args ...string) (string, error) {
		root := newRoot()
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetErr(io.Discard)
		root.SetIn(strings.NewReader(in))
		root.SetArgs(append(append([]string{"alerts"}, args...), "--api", srv.URL, "--token", "t"))
		err := root.Execute()
		return out.String(), err
	}
	if out, err := run("name: on call\ntype: webhook\nurl: https://hooks.example.com/x\n", "channels", "set", "-", "--rotate-secret"); err != nil || out != "whsec_once\n" {
		t.Errorf("%q %v", out, err)
	}
	if got := asked["PUT /api/v1/channels/on%20call"]; got["url"] != "https://hooks.example.com/x" || got["rotate_secret"] != true {
		t.Errorf("%v", asked)
	}
	if out, err := run(`{"name":"r","kind":"failure_rate","above":"20%","match":{"type":["a","b"]}}`, "rules", "set", "-"); err != nil || out != "set: x\n" {
		t.Errorf("%q %v", out, err)
	}
	if got := asked["PUT /api/v1/rules/r"]; got["above"] != "20%" {
		t.Errorf("%v", asked)
	}
	for _, args := range [][]string{{"channels", "list"}, {"rules", "list"}} {
		if out, err := run("", args...); err != nil || !strings.Contains(out, "on call") || !strings.Contains(out, "key:ann") {
			t.Errorf("%v: %q %v", args, out, err)
		}
	}
	for _, args := range [][]string{{"channels", "delete", "on call"}, {"rules", "delete", "r"}} {
		if _, err := run("", args...); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
	if _, err := run("", "channels", "test", "a"); err == nil || !strings.Contains(err.Error(), "status 500") {
		t.Errorf("a test that failed: %v", err)
	}
	var usage usageError
	for in, want := range map[string]string{"{": "-: ", "type: slack": "with a name", "{name: r, kind: wrong}": "kind: want one of"} {
		if _, err := run(in, "rules", "set", "-"); !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", in, err)
		}
	}
}
