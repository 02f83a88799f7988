package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/retry"
	"github.com/tasktrail/tasktrail/app"
	"github.com/tasktrail/tasktrail/internal/proctest"
	engine "github.com/tasktrail/tasktrail/store/embedded"
	"github.com/tasktrail/tasktrail/timeline"
)

func TestMain(m *testing.M) {
	code := m.Run()
	proctest.RemoveBuilds()
	os.Exit(code)
}

// up is a `tasktrail up` of its own, on a data directory and addresses that stay
// the same over its deaths.
type up struct {
	t     *testing.T
	bin   string
	data  string
	addrs []string // http, otlp grpc, otlp http, clickhouse, redis
	proc  *proctest.Process
	token string
}

func startUp(t *testing.T) *up {
	t.Helper()
	u := &up{t: t, bin: proctest.Build(t, "./cmd/tasktrail"), data: t.TempDir(), addrs: proctest.FreeAddrs(t, 5)}
	u.start()
	_, token, err := app.Connection(u.data)
	if err != nil {
		t.Fatal(err)
	}
	u.token = token
	return u
}

func (u *up) start() {
	u.t.Helper()
	u.proc = proctest.Start(u.t, nil, u.bin, "up", "--data-dir", u.data, "--http-addr", u.addrs[0], "--otlp-grpc-addr", u.addrs[1],
		"--otlp-http-addr", u.addrs[2], "--clickhouse-addr", u.addrs[3], "--redis-addr", u.addrs[4])
	u.proc.WaitReady(u.t, "http://"+u.addrs[0]+"/readyz", time.Minute)
}

func (u *up) collector() string { return "http://" + u.addrs[2] }

// api calls a route of the API and decodes the answer into out, where that is not nil.
func (u *up) api(method, path, body string, out any) (int, error) {
	req, err := http.NewRequestWithContext(u.t.Context(), method, "http://"+u.addrs[0]+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+u.token)
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
	if out != nil && resp.StatusCode < 300 {
		err = json.Unmarshal(b, out)
	} else if resp.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %.300s", method, path, resp.Status, b)
	}
	return resp.StatusCode, err
}

// life reads a task's timeline in the form of the list of known lives.
func (u *up) life(id string) ([]string, error) {
	var page struct {
		Data []struct {
			Type    string `json:"type"`
			Run     int    `json:"run"`
			Attempt int    `json:"attempt"`
		} `json:"data"`
	}
	if _, err := u.api("GET", "/tasks/"+url.PathEscape(id)+"/timeline", "", &page); err != nil {
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

// sql asks the embedded engine as any ClickHouse client could.
func (u *up) sql(query string) (string, error) {
	creds, err := engine.LoadCredentials(filepath.Join(u.data, "clickhouse"))
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(u.t.Context(), "POST", "http://"+u.addrs[3]+"/?database="+app.Database, strings.NewReader(query))
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
	if resp.StatusCode != 200 {
		return "", fmt.Errorf("%s: %s", resp.Status, b)
	}
	return strings.TrimSpace(string(b)), err
}

// knownLives reads the sequences of the usual lives of a task.
func knownLives(t *testing.T) map[string][]string {
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

func newAgent(t *testing.T, u *up, cfg agent.Config) *agent.Agent {
	t.Helper()
	cfg.CollectorURL, cfg.Token = u.collector(), u.token
	if cfg.SpoolDir == "" {
		cfg.SpoolDir = t.TempDir()
	}
	a, err := agent.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := a.Close(ctx); err != nil {
			t.Errorf("close the agent: %v", err)
		}
	})
	return a
}

var plannedLives = []string{"success", "success", "retry_then_success", "exhausted_after_2", "permanent"}

func planned(life string) agent.Func {
	return func(ctx context.Context, _ agent.Task) (agent.Result, error) {
		n, _ := agent.AttemptFrom(ctx)
		switch {
		case life == "permanent":
			return agent.Result{}, agent.Permanent(errors.New("no such account"))
		case life == "exhausted_after_2", life == "retry_then_success" && n.Number == 1:
			return agent.Result{}, errors.New("the service is not well")
		}
		return agent.Result{Output: []byte(`{"ok":true}`)}, nil
	}
}

// Whatever is killed and whenever: afterwards every event of every task is there,
// once.
func TestKillNineLosesNothing(t *testing.T) {
	u := startUp(t)
	lives := knownLives(t)
	a := newAgent(t, u, agent.Config{Retry: retry.Policy{MaxAttempts: 2, Base: 20 * time.Millisecond, Cap: 50 * time.Millisecond}})

	const tasks, workers = 400, 8
	numbers := make(chan int)
	var working sync.WaitGroup
	for range workers {
		working.Go(func() {
			for i := range numbers {
				life := plannedLives[i%len(plannedLives)]
				_, _ = a.Do(t.Context(), agent.Task{Task: timeline.Task{
					ID: fmt.Sprintf("kill-%s-%d", life, i), Type: "payment", Queue: "money", Provider: fmt.Sprintf("p-%d", i), Amount: "120.00", Currency: "USD",
				}}, planned(life))
			}
		})
	}
	killAt := map[int]string{}
	for _, what := range []string{"everything", "tasktrail alone", "everything"} {
		killAt[20+rand.IntN(tasks-40)] = what
	}
	for i := range tasks {
		numbers <- i
		switch killAt[i] {
		case "everything":
			t.Logf("kill -9 of everything at task %d", i)
			u.proc.Kill()
			u.start()
		case "tasktrail alone":
			t.Logf("kill -9 of tasktrail at task %d", i)
			u.proc.KillAlone()
			u.start()
		}
	}
	close(numbers)
	working.Wait()

	want := 0
	for i := range tasks {
		life := plannedLives[i%len(plannedLives)]
		want += len(lives[life])
		id := fmt.Sprintf("kill-%s-%d", life, i)
		proctest.Eventually(t, 30*time.Second, id+" has its life", func() (bool, string) {
			got, err := u.life(id)
			return err == nil && slices.Equal(got, lives[life]), fmt.Sprint(got, err)
		})
	}
	counts, err := u.sql("SELECT count(), uniqExact(event_id) FROM events WHERE task_id LIKE 'kill-%' FORMAT TSV")
	if err != nil {
		t.Fatal(err)
	}
	if counts != fmt.Sprintf("%d\t%d", want, want) {
		t.Errorf("the store holds (rows, different events) %q, want %d of both", counts, want)
	}
}
