package uptest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/internal/proctest"
	engine "github.com/tasktrail/tasktrail/store/embedded"
)

// Apart is a Tasktrail whose parts are processes of their own, as in a cluster:
// collectors and a query service over one ClickHouse and one Redis.
type Apart struct {
	// Collectors are the URLs agents send to.
	Collectors []string
	// Token is the admin token of all of them.
	Token string
	// DSN is the ClickHouse they share.
	DSN string

	t   testing.TB
	bin string
	api string
}

// StartApart starts as many collectors as asked for and one query service. The
// ClickHouse is the engine of an Up of its own, which does nothing else.
func StartApart(t testing.TB, redisURL string, collectors int) *Apart {
	t.Helper()
	host := Start(t)
	creds, err := engine.LoadCredentials(filepath.Join(host.DataDir, "clickhouse"))
	if err != nil {
		t.Fatal(err)
	}
	a := &Apart{
		t: t, bin: host.bin, Token: "admin-token-of-a-test", DSN: fmt.Sprintf("http://%s:%s@%s/apart", creds.User, creds.Password, host.addrs[3]),
	}
	env := []string{
		"TASKTRAIL_CLICKHOUSE_DSN=" + a.DSN, "TASKTRAIL_REDIS_URL=" + redisURL, "TASKTRAIL_ADMIN_TOKEN=" + a.Token, "TASKTRAIL_TOKEN=" + a.Token,
		"TASKTRAIL_COMMAND_KEY=0123456789abcdef0123456789abcdef", "TASKTRAIL_SESSION_KEY=0123456789abcdef0123456789abcdef", "TASKTRAIL_WEBHOOK_ALLOW_PRIVATE=true",
	}
	if out, err := a.Run("migrate", "--clickhouse-dsn", a.DSN); err != nil {
		t.Fatalf("migrate: %v\n%s", err, out)
	}
	addrs := proctest.FreeAddrs(t, 2*collectors+1)
	for i := range collectors {
		grpc, http := addrs[2*i], addrs[2*i+1]
		p := proctest.Start(t, env, a.bin, "collector", "--data-dir", t.TempDir(), "--otlp-grpc-addr", grpc, "--otlp-http-addr", http)
		p.WaitReady(t, "http://"+http+"/readyz", time.Minute)
		a.Collectors = append(a.Collectors, "http://"+http)
	}
	api := addrs[2*collectors]
	p := proctest.Start(t, env, a.bin, "query", "--data-dir", t.TempDir(), "--http-addr", api, "--collector-url", a.Collectors[0])
	p.WaitReady(t, "http://"+api+"/readyz", time.Minute)
	a.api = "http://" + api + "/api/v1"
	return a
}

// Call asks a route of the API and decodes the answer into out, where that is not
// nil. An answer of 300 or more is an error that shows it.
func (a *Apart) Call(method, path, body string, out any) (int, error) {
	return call(a.t, a.Token, method, a.api+path, body, out)
}

// Run runs a subcommand of the same binary and returns what it printed.
func (a *Apart) Run(args ...string) (string, error) {
	out, err := exec.CommandContext(a.t.Context(), a.bin, args...).CombinedOutput()
	return string(out), err
}

// call asks a URL with a bearer token.
func call(t testing.TB, token, method, url, body string, out any) (int, error) {
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.StatusCode, err
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return resp.StatusCode, fmt.Errorf("%s %s: %s: %.300s", method, url, resp.Status, b)
	}
	if out != nil {
		err = json.Unmarshal(b, out)
	}
	return resp.StatusCode, err
}
