package chaos

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/tasktrail/tasktrail/internal/proctest"
)

// riverSide is a worker on River (./riverworker) and its PostgreSQL, which keeps what
// it acknowledged over a kill.
type riverSide struct {
	worker, postgres *proctest.Process
	postgresAddr     string
	postgresDir      string
	args             riverArgs
}

// riverArgs are the worker's settings.
type riverArgs struct {
	Database, Listen                  string
	Spool, Collector, Token, Receiver string
	MaxAttempts                       int
}

func (s *system) newRiver() *riverSide {
	s.t.Helper()
	// Not below the test's own directories: PostgreSQL's user may not enter them.
	dir, err := os.MkdirTemp("", "chaos-postgres-")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			s.t.Error(err)
		}
	})
	addrs := proctest.FreeAddrs(s.t, 2)
	return &riverSide{postgresAddr: addrs[0], postgresDir: dir, args: riverArgs{
		Database: "postgres://postgres@" + addrs[0] + "/postgres?sslmode=disable&connect_timeout=2", Listen: addrs[1], Spool: s.t.TempDir(), Collector: s.proxy.url(), Token: s.up.Token,
		Receiver: s.receiver.url(), MaxAttempts: maxAttempts,
	}}
}

func (s *system) startPostgres() {
	s.t.Helper()
	_, port, _ := strings.Cut(s.river.postgresAddr, ":")
	s.river.postgres = proctest.Start(s.t, nil, proctest.Build(s.t, "./chaos/riverworker"), "postgres", s.river.postgresDir, port)
}

// killPostgres ends the server and every process of it: each is a group of its own.
func (s *system) killPostgres() {
	backends := proctest.Children(s.river.postgres.Pid())
	s.river.postgres.Kill()
	for _, pid := range backends {
		kill(pid, false, syscall.SIGKILL)
	}
	proctest.Eventually(s.t, time.Minute, "PostgreSQL's processes are gone", func() (bool, string) {
		left := slices.DeleteFunc(slices.Clone(backends), func(pid int) bool { return syscall.Kill(pid, 0) != nil })
		return len(left) == 0, fmt.Sprint(left)
	})
}

func (s *system) startRiver() {
	s.t.Helper()
	settings, err := json.Marshal(s.river.args)
	if err != nil {
		s.t.Fatal(err)
	}
	s.river.worker = proctest.Start(s.t, s.clocks.river.Env(), s.clocks.build(s.t, "./chaos/riverworker"), string(settings))
}
