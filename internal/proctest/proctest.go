// Package proctest builds and runs this repository's own programs for tests that
// need real processes: ones that can be killed. It knows nothing of what the
// programs do.
package proctest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Root is the top folder of the repository.
func Root(t testing.TB) string {
	t.Helper()
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		t.Fatal("proctest: the binary carries no source paths")
	}
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

var builds sync.Map // package path → *build

type build struct {
	once sync.Once
	path string
	err  error
}

// Build compiles a command of the repository, once a test process, and returns
// the binary's path. A command that has a module of its own is compiled in that. The binary lies in the repository's bin folder, where the
// engine library is found from.
func Build(t testing.TB, pkg string) string {
	t.Helper()
	return compile(t, pkg, "")
}

// compile is Build with flags of the compiler; variant tells what they make of it from
// other builds of the command.
func compile(t testing.TB, pkg, variant string, flags ...string) string {
	t.Helper()
	root := Root(t)
	v, _ := builds.LoadOrStore(pkg+variant, &build{})
	b := v.(*build)
	b.once.Do(func() {
		b.path = filepath.Join(root, "bin", fmt.Sprintf("%s%s-under-test-%d", filepath.Base(pkg), variant, os.Getpid()))
		cmd := exec.Command("go", slices.Concat([]string{"build", "-o", b.path}, flags, []string{pkg})...)
		cmd.Dir = root
		if _, err := os.Stat(filepath.Join(root, pkg, "go.mod")); err == nil {
			cmd.Dir = filepath.Join(root, pkg)
			cmd.Args[len(cmd.Args)-1] = "."
		}
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			b.err = fmt.Errorf("build %s: %w\n%s", pkg, err, out)
		}
	})
	if b.err != nil {
		t.Fatal(b.err)
	}
	return b.path
}

// RemoveBuilds deletes what Build made; for a TestMain, after the tests.
func RemoveBuilds() {
	builds.Range(func(_, v any) bool {
		_ = os.Remove(v.(*build).path)
		return true
	})
}

// FreeAddrs returns n addresses of the loopback whose ports nobody listened on a
// moment ago.
func FreeAddrs(t testing.TB, n int) []string {
	t.Helper()
	addrs := make([]string, n)
	for i := range addrs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addrs[i] = l.Addr().String()
	}
	return addrs
}

// Process is a running program. Its output is kept and shown when the test fails.
type Process struct {
	cmd  *exec.Cmd
	out  *tail
	done chan struct{}
	err  error
}

// Start runs a program in a process group of its own, and kills it at the end of
// the test if it still runs.
func Start(t testing.TB, env []string, name string, args ...string) *Process {
	t.Helper()
	p := &Process{cmd: exec.Command(name, args...), out: &tail{}, done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("output of %s %s:\n%s", filepath.Base(name), strings.Join(args, " "), p.out)
		}
	})
	return p
}

// Kill ends the process and every child of it with SIGKILL, and waits.
func (p *Process) Kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

// KillAlone ends the process with SIGKILL and leaves its children to themselves.
func (p *Process) KillAlone() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	<-p.done
}

// Stop asks the process to end with SIGTERM and waits, bounded by ctx.
func (p *Process) Stop(ctx context.Context) error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("%s did not stop: %w", p.cmd.Path, context.Cause(ctx))
	}
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Pid is the process's id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Output is the end of what the process has printed.
func (p *Process) Output() string { return p.out.String() }

// Children are a process's children, whichever of its threads has started them.
func Children(parent int) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	var children []int
	for _, f := range stats {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		_, rest, ok := strings.Cut(string(b), ") ")
		fields := strings.Fields(rest)
		if !ok || len(fields) < 2 || fields[1] != strconv.Itoa(parent) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		children = append(children, pid)
	}
	return children
}

// WaitReady waits until the URL answers 200, and fails the test when the process
// ends before or the time is over.
func (p *Process) WaitReady(t testing.TB, url string, within time.Duration) {
	t.Helper()
	Eventually(t, within, url+" answers 200", func() (bool, string) {
		select {
		case <-p.done:
			t.Fatalf("the process ended: %v\n%s", p.err, p.out)
		default:
		}
		resp, err := http.Get(url)
		if err != nil {
			return false, err.Error()
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK, resp.Status
	})
}

// Eventually polls until the condition holds, and fails the test with the last
// word of it when the time is over.
func Eventually(t testing.TB, within time.Duration, what string, holds func() (bool, string)) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, last := holds()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("not within %v: %s: %s", within, what, last)
		}
	}
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

const tailBytes = 64 << 10

func (b *tail) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf.Write(p)
	if extra := b.buf.Len() - tailBytes; extra > 0 {
		b.buf.Next(extra)
	}
	return len(p), nil
}

func (b *tail) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
