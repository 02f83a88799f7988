package chaos

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/app/uptest"
	"github.com/tasktrail/tasktrail/internal/proctest"
)

// system is everything that runs, each part a process of its own.
type system struct {
	t         *testing.T
	up        *uptest.Up
	redis     *proctest.Process
	redisAddr string
	worker    *proctest.Process
	sidecar   *proctest.Process
	proxy     *proxy
	receiver  *receiver
	recorder  *recorder
	second    *second
	asynq     *asynqSide
	river     *riverSide
	clocks    clocks

	workerArgs  workerArgs
	sidecarAddr string
	sidecarDir  string
	runSpool    string
	sweeps      int
	lapBegan    time.Time
	repeated    map[string]bool // tasks with a run that ended twice: see mayRepeat
	// rand is the storm's.
	rand *rand.Rand
}

func startSystem(t *testing.T) *system {
	t.Helper()
	s := &system{t: t, redisAddr: proctest.FreeAddrs(t, 1)[0], receiver: newReceiver(t), sidecarDir: t.TempDir(), runSpool: t.TempDir(), repeated: map[string]bool{}}
	s.clocks = newClocks(t)
	s.startRedis()
	s.up = uptest.StartAs(t, s.clocks.tasktrail(t), s.clocks.up.Env(), append(s.alertArgs(), "--redis-url", "redis://"+s.redisAddr, "--api-rate", "10000")...)
	s.second = s.newSecond()
	s.startSecond()
	s.second.process.WaitReady(t, "http://"+s.second.http+"/readyz", time.Minute)
	s.proxy = newProxy(t, strings.TrimPrefix(s.up.Collector(), "http://"), s.second.http)
	s.workerArgs = workerArgs{Dir: t.TempDir(), Collector: s.proxy.url(), Token: s.up.Token, Receiver: s.receiver.url()}
	s.sidecarAddr = proctest.FreeAddrs(t, 1)[0]
	s.asynq = s.newAsynq()
	s.river = s.newRiver()
	s.recorder = startRecorder(t, filepath.Join(s.workerArgs.Dir, "spool"), filepath.Join(s.sidecarDir, "agent", "spool"), s.runSpool, s.asynq.args.Spool, s.river.args.Spool)
	s.startQueue()
	s.startAsynq()
	s.startPostgres()
	s.startRiver()
	s.startWorker()
	s.startSidecar()
	return s
}

// alertArgs are the flags of whoever sends alerts.
func (s *system) alertArgs() []string {
	return []string{
		"--webhook-url", s.receiver.server.URL + "/alerts", "--webhook-allow-private",
		"--webhook-secret", "whsec_" + base64.StdEncoding.EncodeToString([]byte("a key of chaos, of 24 bytes")),
	}
}

func (s *system) startRedis() {
	s.t.Helper()
	_, port, _ := strings.Cut(s.redisAddr, ":")
	s.redis = proctest.Start(s.t, nil, "redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", s.t.TempDir())
}

func (s *system) startWorker() {
	s.t.Helper()
	settings, err := json.Marshal(s.workerArgs)
	if err != nil {
		s.t.Fatal(err)
	}
	s.worker = proctest.Start(s.t, []string{workerEnv + "=" + string(settings)}, os.Args[0])
}

func (s *system) startSidecar() {
	s.t.Helper()
	s.sidecar = proctest.Start(s.t, s.clocks.sidecar.Env(), s.clocks.tasktrail(s.t), "agent", "--agent-addr", s.sidecarAddr,
		"--collector-url", s.proxy.url(), "--token", s.up.Token, "--data-dir", s.sidecarDir, "--callback-allow", "127.0.0.0/8",
		"--agent-retry-base", "20ms", "--agent-max-attempts", strconv.Itoa(maxAttempts), "--agent-workers", "8", "--callback-timeout", "20s")
}

// askSidecar asks the sidecar; 0 where it gave no answer.
func (s *system) askSidecar(ctx context.Context, method, path, body string) (int, map[string]any) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.sidecarAddr+path, strings.NewReader(body))
	if err != nil {
		return 0, nil
	}
	req.Header.Set("Content-Type", "application/json")
	return answer(req, s.up.Token)
}

func answer(req *http.Request, token string) (int, map[string]any) {
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil
	}
	var fields map[string]any
	_ = json.Unmarshal(b, &fields) // what is no object has no fields
	return resp.StatusCode, fields
}

// post sends OTLP as a foreign SDK does.
func (s *system) postOTLP(ctx context.Context, body []byte) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.proxy.url()+"/v1/logs", bytes.NewReader(body))
	if err != nil {
		return 0
	}
	req.Header.Set("Content-Type", "application/json")
	code, _ := answer(req, s.up.Token)
	return code
}

// api asks the API, with an end to its patience.
func (s *system) api(ctx context.Context, method, path, body, key string) (int, map[string]any) {
	ctx, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, method, s.up.API()+path, strings.NewReader(body))
	if err != nil {
		return 0, nil
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	return answer(req, s.up.Token)
}

// kill sends a signal to a process, or to its whole group where group is set.
func kill(pid int, group bool, sig syscall.Signal) {
	if pid <= 0 {
		return
	}
	if group {
		pid = -pid
	}
	_ = syscall.Kill(pid, sig)
}
