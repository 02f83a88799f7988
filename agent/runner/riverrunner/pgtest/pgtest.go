// Package pgtest runs a real PostgreSQL server for tests: on a free port of the
// loopback, in a directory of its own that is removed with it. It is for tests
// alone: nothing it keeps survives a crash.
package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is one running PostgreSQL.
type Server struct {
	dir, addr string
	cred      *syscall.Credential
	cmd       *exec.Cmd
	output    *bytes.Buffer
	done      chan struct{}
	databases atomic.Int64
}

const startTimeout = 30 * time.Second

// New makes a database cluster and starts a server on it. The error names what to
// install where PostgreSQL is missing.
func New() (*Server, error) {
	initdb, err := program("initdb")
	if err != nil {
		return nil, err
	}
	postgres, err := program("postgres")
	if err != nil {
		return nil, err
	}
	s := &Server{}
	if s.cred, err = unprivileged(); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "pgtest-"); err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	if s.cred != nil {
		if err := os.Chown(s.dir, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
			return nil, s.abandon(err)
		}
	}
	init := s.command(initdb, initArgs(s.data())...)
	if out, err := init.CombinedOutput(); err != nil {
		return nil, s.abandon(fmt.Errorf("initdb: %w\n%s", err, out))
	}
	// The port is free when it is chosen; another process may take it before the
	// server does, then the next is tried.
	for range 5 {
		if err = s.start(postgres); err == nil {
			return s, nil
		}
	}
	return nil, s.abandon(err)
}

func initArgs(data string) []string {
	return []string{"-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"}
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) abandon(err error) error {
	return errors.Join(fmt.Errorf("pgtest: %w", err), os.RemoveAll(s.dir))
}

// program finds a server program: Debian keeps them out of PATH.
func program(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("pgtest: PostgreSQL's %s is not installed: apt-get install postgresql (make deps-test does it on Debian)", name)
	}
	return slices.Max(found), nil
}

// unprivileged is the user that the server runs as where this one is root, which
// PostgreSQL refuses; nil for this one.
func unprivileged() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("pgtest: user %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("pgtest: PostgreSQL does not run as root, and there is no user postgres: install the package postgresql, or run the tests as another user")
}

func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), name, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "HOME="+s.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred, Setpgid: true}
	dieWithParent(cmd.SysProcAttr)
	return cmd
}

func (s *Server) start(postgres string) error {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.addr = l.Addr().String()
	_ = l.Close()
	_, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		return err
	}
	s.cmd = s.command(postgres, "-D", s.data(), "-p", port, "-k", s.dir, "-c", "listen_addresses=127.0.0.1",
		"-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "max_connections=100")
	s.output, s.done = &bytes.Buffer{}, make(chan struct{})
	s.cmd.Stdout, s.cmd.Stderr = s.output, s.output
	if err := s.cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = s.cmd.Wait() // how it ended is in its output
		close(s.done)
	}()
	if err := s.waitReady(); err != nil {
		s.kill()
		return fmt.Errorf("start postgres: %w\n%s", err, s.output)
	}
	return nil
}

func (s *Server) waitReady() error {
	ctx, stop := context.WithTimeout(context.Background(), startTimeout)
	defer stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.exec(ctx, "SELECT 1")
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.done:
			return errors.New("the server ended")
		case <-ctx.Done():
			return err
		}
	}
}

func (s *Server) exec(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}

func (s *Server) url(database string) string {
	u := url.URL{Scheme: "postgres", User: url.User("postgres"), Host: s.addr, Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// Database makes an empty database and returns its URL.
func (s *Server) Database(ctx context.Context) (string, error) {
	name := "test_" + strconv.FormatInt(s.databases.Add(1), 10)
	if err := s.exec(ctx, "CREATE DATABASE "+name); err != nil {
		return "", fmt.Errorf("pgtest: create a database: %w", err)
	}
	return s.url(name), nil
}

// Close stops the server and removes what it kept.
func (s *Server) Close() error {
	_ = s.cmd.Process.Signal(syscall.SIGINT) // a fast shutdown; one that has ended needs none
	select {
	case <-s.done:
	case <-time.After(10 * time.Second):
		s.kill()
	}
	return os.RemoveAll(s.dir)
}

func (s *Server) kill() {
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	<-s.done
}
