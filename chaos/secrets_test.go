package chaos

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/redact"
	"github.com/tasktrail/tasktrail/agent/retry"
	"github.com/tasktrail/tasktrail/app/uptest"
	"github.com/tasktrail/tasktrail/internal/proctest"
	"github.com/tasktrail/tasktrail/timeline"
)

// canary is a secret that is planted and then looked for.
func canary(name string) string { return "canary-" + name + "-0123456789abcdef0123456789" }

// Secrets are where they have to be and nowhere else: not in logs, errors, metrics,
// timelines, alerts, and not on the disk of whoever needs them not.
func TestSecretsStayWhereTheyBelong(t *testing.T) {
	secrets := map[string]string{}
	plant := func(name string) string { secrets[name] = canary(name); return secrets[name] }
	plant("password") // of the input
	webhookKey := plant("webhook")
	secrets["webhook in base64"] = base64.StdEncoding.EncodeToString([]byte(webhookKey))
	sealKey := plant("seal-key-with")[:32]
	secrets["seal key"], secrets["seal key in base64"] = sealKey, base64.StdEncoding.EncodeToString([]byte(sealKey))

	var mu sync.Mutex
	var alerts strings.Builder
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path == "/work" { // a callback is given the input, as it should be
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = fmt.Fprintf(&alerts, "%v %s\n", r.Header, b)
		w.WriteHeader(http.StatusServiceUnavailable) // so that there are errors to tell of
	}))
	defer receiver.Close()
	redisAddr := proctest.FreeAddrs(t, 1)[0]
	_, port, _ := strings.Cut(redisAddr, ":")
	redis := proctest.Start(t, nil, "redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", t.TempDir(), "--requirepass", plant("redis"))
	up := uptest.Start(t, "--log-level", "debug", "--admin-token", plant("admin"), "--session-key", plant("session"), "--command-key", plant("command"),
		"--jwt-secret", plant("jwt"), "--jwt-issuer", "issuer", "--jwt-audience", "tasktrail", "--redis-url", "redis://:"+secrets["redis"]+"@"+redisAddr,
		"--webhook-url", receiver.URL+"/"+plant("hook-path"), "--webhook-secret", "whsec_"+secrets["webhook in base64"], "--webhook-allow-private")
	up.Token = secrets["admin"]
	sidecarAddr, sidecarDir := proctest.FreeAddrs(t, 1)[0], t.TempDir()
	sidecar := proctest.Start(t, nil, proctest.Build(t, "./cmd/tasktrail"), "agent", "--log-level", "debug", "--agent-addr", sidecarAddr,
		"--collector-url", up.Collector(), "--token", up.Token, "--data-dir", sidecarDir, "--callback-allow", "127.0.0.0/8",
		"--agent-retry-base", "20ms", "--agent-max-attempts", "2")
	sidecar.WaitReady(t, "http://"+sidecarAddr+"/readyz", 30*time.Second)

	s := &system{t: t, up: up, sidecarAddr: sidecarAddr}
	var said strings.Builder
	note := func(code int, fields map[string]any) { _, _ = fmt.Fprintln(&said, code, str(fields)) }
	// A callback with a password and a token in its URL, on a port where nobody is; one
	// that refuses; one that is malformed; one to where it must not go.
	gone := proctest.FreeAddrs(t, 1)[0]
	callback := plant("callback")
	for i, u := range []string{
		"http://user:" + callback + "@" + gone + "/?token=" + callback, receiver.URL + "/work?token=" + callback, "http://%zz" + callback, "ftp://h/" + callback,
		"http://10.0.0.1/" + callback,
	} {
		note(s.askSidecar(t.Context(), http.MethodPost, "/v1/tasks", fmt.Sprintf(
			`{"task_id":"canary-%d","type":"payment","callback_url":%q,"input":{"password":%q}}`, i, u, secrets["password"])))
	}
	// An agent in a program, with a key to seal what is redacted; the error of its
	// executor repeats the input, as errors do.
	a, err := agent.New(agent.Config{
		CollectorURL: up.Collector(), Token: up.Token, SpoolDir: t.TempDir(), Retry: retry.Policy{MaxAttempts: 1},
		SealKeys: []redact.Key{{ID: "k1", Secret: [32]byte([]byte(sealKey))}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err = a.Do(t.Context(), agent.Task{Task: timeline.Task{ID: "canary-sealed", Type: "payment", Input: timeline.Payload(`{"password":"` + secrets["password"] + `"}`)}},
		func(context.Context, agent.Task) (agent.Result, error) {
			return agent.Result{}, errors.New(`sign in: {"password":"` + secrets["password"] + `"} was refused`)
		})
	if err == nil {
		t.Error("the task succeeded")
	}
	ctx, stop := within(t.Context(), 20*time.Second)
	defer stop()
	if err := a.Close(ctx); err != nil {
		t.Error(err)
	}
	redis.Kill() // whoever uses it complains
	const tasks = 6
	proctest.Eventually(t, time.Minute, "every task failed, and there are alerts", func() (bool, string) {
		code, fields := s.api(t.Context(), http.MethodGet, "/tasks?state=failed", "", "")
		data, _ := fields["data"].([]any)
		mu.Lock()
		defer mu.Unlock()
		return code == http.StatusOK && len(data) == tasks && alerts.Len() > 0, fmt.Sprint(code, len(data))
	})
	for _, path := range []string{"/tasks", "/failed-tasks", "/errors", "/alerts", "/tasks/monitoring/health", "/tasks/canary-0/timeline", "/tasks/canary-1/timeline",
		"/tasks/canary-2/timeline", "/tasks/canary-3/timeline", "/tasks/canary-4/timeline", "/tasks/canary-sealed/timeline", "/tasks/canary-sealed/attempts",
		"/tasks/canary-0", "/tasks/canary-1", "/tasks/canary-sealed", "/channels", "/keys", "/requeue-urls",
	} {
		code, fields := s.api(t.Context(), http.MethodGet, path, "", "")
		if code >= http.StatusInternalServerError || code == 0 {
			t.Errorf("%s: %d %v", path, code, fields)
		}
		note(code, fields)
	}
	wrong, fields := s.ask(up.API()+"/tasks", plant("wrong-token"))
	note(wrong, fields)
	if wrong != http.StatusUnauthorized {
		t.Errorf("a wrong token: %d", wrong)
	}
	for _, url := range []string{strings.TrimSuffix(up.API(), "/api/v1") + "/metrics", up.Collector() + "/metrics", "http://" + sidecarAddr + "/metrics"} {
		said.WriteString(text(t, url, up.Token))
	}
	mu.Lock()
	told := alerts.String()
	mu.Unlock()
	for name, secret := range secrets {
		for where, has := range map[string]string{
			"the log of up": up.Process.Output(), "the sidecar's log": sidecar.Output(), "an answer or metrics": said.String(), "an alert": told,
		} {
			if i := strings.Index(has, secret); i >= 0 {
				t.Errorf("%s is in %s: %q", name, where, has[max(i-120, 0):min(i+len(secret)+40, len(has))])
			}
		}
		for _, dir := range []string{filepath.Join(up.DataDir), filepath.Join(sidecarDir, "agent", "spool")} {
			for _, f := range holding(t, dir, secret) {
				t.Errorf("%s is in %s", name, f)
			}
		}
	}
}

// ask asks with a token of its own.
func (s *system) ask(url, token string) (int, map[string]any) {
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, url, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer(req, token)
}

func text(t *testing.T, url, token string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// holding lists the files under a directory that hold some text.
func holding(t *testing.T, dir, secret string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil //nolint:nilerr // the engine's files come and go
		}
		b, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(b), secret) {
			found = append(found, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
