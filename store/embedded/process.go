package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// ProcessConfig is how a child process is run.
type ProcessConfig struct {
	// Command starts the child, which must call [RunChild]: this executable and
	// its subcommand. There is no default.
	Command []string
	// Env are variables of the child beside those of this process. Defaults to none.
	Env []string
	// LibPath, DataDir, Addr, MaxMemory, MaxBodyBytes, MaxResultBytes,
	// MaxConcurrent and EngineArgs are those of [Config].
	LibPath        string
	DataDir        string
	Addr           string
	MaxMemory      int64
	MaxBodyBytes   int64
	MaxResultBytes int64
	MaxConcurrent  int
	EngineArgs     []string
	// ReadyTimeout bounds how long Start waits for the first answer; a first start
	// from a cold disk reads half a gigabyte. Defaults to 60 s.
	ReadyTimeout time.Duration
	// StopTimeout is how long a stopping child is waited for before it is killed.
	// Defaults to 10 s.
	StopTimeout time.Duration
	// Logger takes restarts and what the child writes. Defaults to slog.Default.
	Logger *slog.Logger
}

func (c ProcessConfig) withDefaults() (ProcessConfig, error) {
	if len(c.Command) == 0 {
		return c, errors.New("embedded ClickHouse: Command is not set")
	}
	full, err := Config{
		LibPath: c.LibPath, DataDir: c.DataDir, Addr: c.Addr, MaxMemory: c.MaxMemory, MaxBodyBytes: c.MaxBodyBytes,
		MaxResultBytes: c.MaxResultBytes, MaxConcurrent: c.MaxConcurrent, EngineArgs: c.EngineArgs, Logger: c.Logger,
	}.withDefaults()
	if err != nil {
		return c, err
	}
	c.LibPath, c.Addr, c.Logger = full.LibPath, full.Addr, full.Logger
	if c.DataDir, err = filepath.Abs(c.DataDir); err != nil {
		return c, fmt.Errorf("embedded ClickHouse: data directory: %w", err)
	}
	if c.ReadyTimeout == 0 {
		c.ReadyTimeout = time.Minute
	}
	if c.StopTimeout == 0 {
		c.StopTimeout = 10 * time.Second
	}
	return c, nil
}

// Process keeps one engine alive as a child process: it is started again when it
// dies, and dies with this process. The listener belongs to this process, so
// that the address stays the same and clients wait through a restart instead
// of being refused.
type Process struct {
	cfg   ProcessConfig
	creds Credentials
	ln    *net.TCPListener
	file  *os.File // the listener as the child inherits it

	cancel context.CancelFunc
	done   chan struct{}

	mu       sync.Mutex
	cmd      *exec.Cmd
	restarts int
	lastErr  error
	stopped  bool
}

// Start starts the child and returns when it answers. ctx bounds the start
// alone; [Process.Stop] ends it.
func Start(ctx context.Context, cfg ProcessConfig) (*Process, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &Process{cfg: cfg, done: make(chan struct{})}
	if p.creds, err = LoadCredentials(cfg.DataDir); err != nil {
		return nil, fmt.Errorf("embedded ClickHouse: %w", err)
	}
	// Said here, where somebody waits for an answer, and not by a child that dies.
	lock, err := lockDir(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	lock.Unlock()
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("embedded ClickHouse: listen on TASKTRAIL_CLICKHOUSE_ADDR: %w", err)
	}
	p.ln = ln.(*net.TCPListener)
	if p.file, err = p.ln.File(); err != nil {
		_ = p.ln.Close()
		return nil, fmt.Errorf("embedded ClickHouse: listener: %w", err)
	}
	run, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	go p.supervise(run)
	if err := p.waitReady(ctx); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

// Addr is where the engine answers, host:port.
func (p *Process) Addr() string { return p.ln.Addr().String() }

// Credentials are the engine's users.
func (p *Process) Credentials() Credentials { return p.creds }

// DSN is the address for clickhouse-go, of the user that may write.
func (p *Process) DSN() string { return p.creds.DSN(p.Addr()) }

// ReaderDSN is the address for clickhouse-go, of the user that may read alone.
func (p *Process) ReaderDSN() string { return p.creds.ReaderDSN(p.Addr()) }

// ReaderDSN is the address for clickhouse-go of an engine that listens at addr, of
// the user that may read alone.
func (c Credentials) ReaderDSN(addr string) string {
	return dsn(addr, c.ReaderUser, c.ReaderPassword)
}

// DSN is the address for clickhouse-go of an engine that listens at addr.
func (c Credentials) DSN(addr string) string { return dsn(addr, c.User, c.Password) }

func dsn(addr, user, password string) string {
	return (&url.URL{Scheme: "http", Host: addr, User: url.UserPassword(user, password), Path: "/default"}).String()
}

// Restarts counts how often the child was started again.
func (p *Process) Restarts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.restarts
}

// PID is the process id of the child, 0 while there is none.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil || p.cmd.Process == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Stop ends the child and waits for it. Stopping twice does nothing.
func (p *Process) Stop() error {
	p.mu.Lock()
	again := p.stopped
	p.stopped = true
	p.mu.Unlock()
	p.cancel()
	<-p.done
	if again {
		return nil
	}
	return errors.Join(p.file.Close(), p.ln.Close())
}

// The wait between restarts doubles from the first to the second of these; a
// child that lived for stableAfter begins anew.
const (
	restartMin  = 100 * time.Millisecond
	restartMax  = 10 * time.Second
	stableAfter = time.Minute
)

func (p *Process) supervise(ctx context.Context) {
	defer close(p.done)
	wait := restartMin
	for {
		began := time.Now()
		err := p.runOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) >= stableAfter {
			wait = restartMin
		}
		p.mu.Lock()
		p.lastErr = err
		p.restarts++
		p.mu.Unlock()
		p.cfg.Logger.Error("embedded ClickHouse died and is started again", "error", err, "in", wait)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait/2 + rand.N(wait/2)):
		}
		wait = min(2*wait, restartMax)
	}
}

// runOnce runs the child until it ends or ctx does.
func (p *Process) runOnce(ctx context.Context) error {
	text, err := json.Marshal(childConfig{
		LibPath: p.cfg.LibPath, DataDir: p.cfg.DataDir, MaxMemory: p.cfg.MaxMemory, MaxBodyBytes: p.cfg.MaxBodyBytes,
		MaxResultBytes: p.cfg.MaxResultBytes, MaxConcurrent: p.cfg.MaxConcurrent, EngineArgs: p.cfg.EngineArgs,
	})
	if err != nil {
		return fmt.Errorf("encode the child's configuration: %w", err)
	}
	reading, writing, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("pipe to the child: %w", err)
	}
	defer func() { _ = writing.Close() }()
	output := &logLines{logger: p.cfg.Logger}
	// Not bound to a context: it is asked to stop first, and killed only if it does not.
	cmd := exec.Command(p.cfg.Command[0], p.cfg.Command[1:]...) //nolint:noctx // see above
	cmd.Env = append(append(os.Environ(), p.cfg.Env...), childEnv+"="+string(text), "TZ=UTC")
	cmd.ExtraFiles = []*os.File{p.file, reading}
	cmd.Stdout, cmd.Stderr = output, output
	// What the child leaves behind must not hold Wait.
	cmd.WaitDelay = time.Second
	p.mu.Lock()
	err = cmd.Start()
	if err == nil {
		p.cmd = cmd
	}
	p.mu.Unlock()
	_ = reading.Close()
	if err != nil {
		return fmt.Errorf("start %s: %w", p.cfg.Command[0], err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err = <-ended:
		case <-time.After(p.cfg.StopTimeout):
			_ = cmd.Process.Kill()
			err = <-ended
		}
	}
	p.mu.Lock()
	p.cmd = nil
	p.mu.Unlock()
	if tail := output.tail(); err != nil && tail != "" {
		return fmt.Errorf("%w: %s", err, tail)
	}
	return err
}

// waitReady asks until the child answers.
func (p *Process) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.ReadyTimeout)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		if ping(ctx, client, p.Addr()) {
			return nil
		}
		p.mu.Lock()
		last, restarts := p.lastErr, p.restarts
		p.mu.Unlock()
		if restarts >= 3 && last != nil {
			return fmt.Errorf("embedded ClickHouse does not start: %w", last)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("embedded ClickHouse was not ready within %s: %w", p.cfg.ReadyTimeout, errors.Join(ctx.Err(), last))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func ping(ctx context.Context, client *http.Client, addr string) bool {
	// A request waits in the listener's queue while the child loads; a short
	// patience lets a child that died be seen.
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/ping", nil)
	if err != nil {
		return false
	}
	res, err := client.Do(req)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<10))
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}
