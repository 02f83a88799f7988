// Package livetest starts a real redis-server for tests, and takes it away from
// them in every way a Redis goes away: stopped, restarted empty, paused.
//
// It is for tests alone. It never skips: where there is no redis-server, the
// test fails and says how to install one.
package livetest

import (
	"bytes"
	"context"
	"net"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Password is what the server asks for.
const Password = "livetest"

// Redis is one redis-server on a free port of the loopback, without
// persistence.
type Redis struct {
	tb   testing.TB
	addr string
	dir  string
	args []string
	// cluster: it runs in cluster mode.
	cluster bool

	mu     sync.Mutex
	cmd    *exec.Cmd
	output *bytes.Buffer
	client *redis.Client
}

// Start runs a redis-server until the test ends. args are further arguments of
// the server, such as "--maxmemory", "1mb".
func Start(tb testing.TB, args ...string) *Redis {
	tb.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		tb.Fatal("redis-server is not in PATH; install it: apt-get install redis-server")
	}
	r := &Redis{tb: tb, dir: tb.TempDir(), args: args}
	// The port is free when it is chosen; another process may take it before the
	// server does, then the next is tried.
	for try := range 5 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatalf("find a free port: %v", err)
		}
		r.addr = l.Addr().String()
		_ = l.Close()
		if err = r.start(); err == nil {
			break
		}
		if try == 4 {
			tb.Fatalf("start redis-server: %v\n%s", err, r.output)
		}
	}
	tb.Cleanup(func() {
		r.kill()
		_ = r.client.Close()
	})
	return r
}

// StartCluster runs a redis-server in cluster mode that holds every slot: one
// node, and all the rules of a cluster about which keys go together. Its URL
// says so.
func StartCluster(tb testing.TB) *Redis {
	tb.Helper()
	r := Start(tb, "--cluster-enabled", "yes")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := r.client.ClusterAddSlotsRange(ctx, 0, 16383).Err(); err != nil {
		tb.Fatalf("give the cluster its slots: %v", err)
	}
	for {
		info, err := r.client.ClusterInfo(ctx).Result()
		if err != nil {
			tb.Fatalf("wait for the cluster: %v", err)
		}
		if strings.Contains(info, "cluster_state:ok") {
			break
		}
		<-time.After(10 * time.Millisecond)
	}
	r.cluster = true
	return r
}

// Addr is host:port, the same over restarts.
func (r *Redis) Addr() string { return r.addr }

// URL is the URL with the password, as package live takes it.
func (r *Redis) URL() string {
	u := "redis://:" + Password + "@" + r.addr
	if r.cluster {
		u += "?cluster=true"
	}
	return u
}

// Client is a client for looking inside.
func (r *Redis) Client() *redis.Client { return r.client }

func (r *Redis) start() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	host, port, err := net.SplitHostPort(r.addr)
	if err != nil {
		return err
	}
	args := append([]string{"--port", port, "--bind", host, "--save", "", "--appendonly", "no", "--requirepass", Password,
		"--dir", r.dir}, r.args...)
	r.output = &bytes.Buffer{}
	r.cmd = exec.Command("redis-server", args...)
	r.cmd.Stdout, r.cmd.Stderr = r.output, r.output
	r.cmd.SysProcAttr = dieWithParent()
	if err := r.cmd.Start(); err != nil {
		return err
	}
	if r.client == nil || r.client.Options().Addr != r.addr {
		r.client = redis.NewClient(&redis.Options{Addr: r.addr, Password: Password, MaxRetries: -1, Protocol: 2})
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		err := r.client.Ping(ctx).Err()
		cancel()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			_ = r.cmd.Process.Kill()
			_ = r.cmd.Wait()
			r.cmd = nil
			return err
		}
		<-time.After(10 * time.Millisecond)
	}
}

func (r *Redis) kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Signal(syscall.SIGCONT)
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
	r.cmd = nil
}

// Stop kills the server; connections are refused until RestartEmpty.
func (r *Redis) Stop() {
	r.tb.Helper()
	r.kill()
}

// RestartEmpty kills the server where it runs and starts it at the same address
// with nothing in it.
func (r *Redis) RestartEmpty() {
	r.tb.Helper()
	r.kill()
	if err := r.start(); err != nil {
		r.tb.Fatalf("restart redis-server: %v\n%s", err, r.output)
	}
}

// Pause stops the process: connections stand and nothing answers.
func (r *Redis) Pause() { r.signal(syscall.SIGSTOP) }

// Resume continues after Pause.
func (r *Redis) Resume() { r.signal(syscall.SIGCONT) }

func (r *Redis) signal(s syscall.Signal) {
	r.tb.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cmd == nil {
		r.tb.Fatal("redis-server is not running")
	}
	if err := r.cmd.Process.Signal(s); err != nil {
		r.tb.Fatalf("signal redis-server: %v", err)
	}
}
