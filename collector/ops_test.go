package collector

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestWhatOperatorsAsk(t *testing.T) {
	registry := prometheus.NewRegistry()
	c := start(t, testConfig(t.TempDir()), Deps{Registerer: registry, Gatherer: registry, Sinks: []SinkSpec{{Sink: &recorder{name: "truth"}}}, Auth: tokens{
		"admin": {Namespace: "default", AnyNamespace: true, Scopes: []string{ScopeOperate}}, "operator": testTokens["operator"], "ingest-a": testTokens["ingest-a"],
	}})
	get := func(path, token string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+c.HTTPAddr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	if status, body := get(pathHealthz, ""); status != http.StatusOK || !strings.Contains(body, "ok") {
		t.Errorf("healthz: %d %s", status, body)
	}
	if status, body := get(pathReadyz, ""); status != http.StatusOK || !strings.Contains(body, `"truth":true`) {
		t.Errorf("readyz: %d %s", status, body)
	}
	if status, body := get(pathMetricz, ""); status != http.StatusOK || !strings.Contains(body, "tasktrail_agent_connections") {
		t.Errorf("metrics: %d %.200s", status, body)
	}
	for token, want := range map[string]int{"": 401, "wrong": 401, "ingest-a": 403, "operator": 403, "admin": 200} {
		status, body := get(pathLedger, token)
		if status != want {
			t.Errorf("the ledger for %q: %d, want %d", token, status, want)
		}
		var l Ledger
		if want == http.StatusOK && (json.Unmarshal([]byte(body), &l) != nil || l.LogID == "" || len(l.Sinks) != 1) {
			t.Errorf("the ledger: %s", body)
		}
	}
}
