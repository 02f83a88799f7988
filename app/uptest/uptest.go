// Package uptest runs a real `tasktrail up` for tests: a process on a data
// directory and addresses of its own, which can be killed and started again, and
// asked as its users ask it. It is for tests alone.
package uptest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/app"
	"github.com/tasktrail/tasktrail/internal/proctest"
	engine "github.com/tasktrail/tasktrail/store/embedded"
)

// Up is a running `tasktrail up`.
type Up struct {
	// Process is the present one; Restart replaces it.
	Process *proctest.Process
	// Token is the admin token.
	Token string
	// DataDir is the data directory.
	DataDir string

	t   testing.TB
	bin string
	env []string
	// http, otlp grpc, otlp http, clickhouse, redis: the same over restarts, so that
	// whoever sends to it finds it again.
	addrs []string
	extra []string
}

// Start builds and starts one, waits until it is ready, and ends it with the
// test. args are further flags of the command.
func Start(t testing.TB, args ...string) *Up {
	t.Helper()
	return StartOn(t, t.TempDir(), args...)
}

// StartAs is Start of a binary that was built otherwise, with its environment.
func StartAs(t testing.TB, bin string, env []string, args ...string) *Up {
	t.Helper()
	return start(t, &Up{bin: bin, env: env, DataDir: t.TempDir(), extra: args})
}

// StartOn is Start on a data directory that is there.
func StartOn(t testing.TB, dataDir string, args ...string) *Up {
	t.Helper()
	return start(t, &Up{bin: proctest.Build(t, "./cmd/tasktrail"), DataDir: dataDir, extra: args})
}

func start(t testing.TB, u *Up) *Up {
	t.Helper()
	u.t, u.addrs = t, proctest.FreeAddrs(t, 5)
	u.Restart()
	_, token, err := app.Connection(u.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	u.Token = token
	return u
}

// Restart starts the process again, after it was killed or stopped, and waits until
// it is ready.
func (u *Up) Restart() {
	u.t.Helper()
	u.Begin()
	u.Process.WaitReady(u.t, "http://"+u.addrs[0]+"/readyz", time.Minute)
}

// Begin is Restart without the wait, for a process that something it needs is kept
// from.
func (u *Up) Begin() {
	u.t.Helper()
	args := append([]string{
		"up", "--data-dir", u.DataDir, "--http-addr", u.addrs[0], "--otlp-grpc-addr", u.addrs[1], "--otlp-http-addr", u.addrs[2],
		"--clickhouse-addr", u.addrs[3], "--redis-addr", u.addrs[4],
	}, u.extra...)
	u.Process = proctest.Start(u.t, u.env, u.bin, args...)
}

// Collector is the URL that agents send to, API that of the API's root.
func (u *Up) Collector() string { return "http://" + u.addrs[2] }

// ClickHouse is the address of the embedded engine.
func (u *Up) ClickHouse() string { return u.addrs[3] }

// API is the root of the API's URLs.
func (u *Up) API() string { return "http://" + u.addrs[0] + "/api/v1" }

// Engine is the process id of the embedded engine, a child of Process; 0 where there
// is none at the moment.
func (u *Up) Engine() int {
	for _, pid := range proctest.Children(u.Process.Pid()) {
		return pid
	}
	return 0
}

// RedisURL is the embedded broker's, with its password.
func (u *Up) RedisURL() string {
	b, err := os.ReadFile(filepath.Join(u.DataDir, "redis-password"))
	if err != nil {
		u.t.Fatal(err)
	}
	return "redis://:" + url.QueryEscape(strings.TrimSpace(string(b))) + "@" + u.addrs[4]
}

// Call asks a route of the API and decodes the answer into out, where that is not
// nil. An answer of 300 or more is an error that shows it.
func (u *Up) Call(method, path, body string, out any) (int, error) {
	return call(u.t, u.Token, method, u.API()+path, body, out)
}

// Life reads a task's timeline in the words of the known lives.
func (u *Up) Life(id string) ([]string, error) {
	var page struct {
		Data []struct {
			Type    string `json:"type"`
			Run     int    `json:"run"`
			Attempt int    `json:"attempt"`
		} `json:"data"`
	}
	if _, err := u.Call("GET", "/tasks/"+url.PathEscape(id)+"/timeline", "", &page); err != nil {
		return nil, err
	}
	life := make([]string, 0, len(page.Data))
	for _, e := range page.Data {
		s := fmt.Sprintf("r%d ", e.Run)
		if e.Attempt > 0 {
			s += fmt.Sprintf("a%d ", e.Attempt)
		}
		life = append(life, s+e.Type)
	}
	return life, nil
}

// Run runs another subcommand of the same binary on the same data directory and
// returns what it printed.
func (u *Up) Run(args ...string) (string, error) {
	cmd := exec.CommandContext(u.t.Context(), u.bin, append(args, "--data-dir", u.DataDir)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// SQL asks the embedded engine as any ClickHouse client could.
func (u *Up) SQL(query string) (string, error) {
	creds, err := engine.LoadCredentials(filepath.Join(u.DataDir, "clickhouse"))
	if err != nil {
		return "", err
	}
	target := "http://" + u.addrs[3] + "/?database=" + app.Database
	req, err := http.NewRequestWithContext(u.t.Context(), http.MethodPost, target, strings.NewReader(query))
	if err != nil {
		return "", err
	}
	req.SetBasicAuth(creds.User, creds.Password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, b)
	}
	return strings.TrimSpace(string(b)), err
}

// Lives reads the sequences of the usual lives of a task.
func Lives(t testing.TB) map[string][]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(proctest.Root(t), "timeline", "testdata", "lives.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Lives map[string][]string `json:"lives"`
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	return file.Lives
}
