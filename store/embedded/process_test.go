package embedded_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/store/embedded"
	"github.com/tasktrail/tasktrail/store/storetest"
)

func TestAKilledEngineComesBackWithItsData(t *testing.T) {
	dir := t.TempDir()
	p, err := embedded.Start(t.Context(), storetest.Config(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Stop() }()
	must(t, p.DSN(), "", "CREATE TABLE t (a UInt32) ENGINE = MergeTree ORDER BY a")
	must(t, p.DSN(), "", "INSERT INTO t VALUES (1), (2)")
	if err := syscall.Kill(p.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// The listener outlives the child, so that a client at worst asks twice.
	deadline := time.Now().Add(time.Minute)
	for {
		n, err := try(p.DSN(), "SELECT count() FROM t")
		if err == nil {
			if n != "2\n" {
				t.Errorf("count is %q", n)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	if p.Restarts() != 1 {
		t.Errorf("%d restarts", p.Restarts())
	}

	// Another process must keep its hands off the directory.
	_, err = embedded.Start(t.Context(), storetest.Config(dir))
	if !errors.Is(err, embedded.ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("second start: %v", err)
	}
	info, err := os.Stat(filepath.Join(dir, "tasktrail-credentials.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("credentials: %v %v", info, err)
	}

	first := p.Credentials()
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(); err != nil {
		t.Errorf("stopped twice: %v", err)
	}
	again, err := embedded.Start(t.Context(), storetest.Config(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Stop() }()
	if again.Credentials() != first {
		t.Error("the users changed")
	}
	if n := must(t, again.ReaderDSN(), "", "SELECT count() FROM t"); n != "2\n" {
		t.Errorf("count is %q", n)
	}
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	taken := storetest.Process(t).Addr()
	for name, c := range map[string]struct {
		change func(*embedded.ProcessConfig)
		want   string
	}{
		"no directory":  {func(c *embedded.ProcessConfig) { c.DataDir = "" }, "DataDir"},
		"no command":    {func(c *embedded.ProcessConfig) { c.Command = nil }, "Command"},
		"bad address":   {func(c *embedded.ProcessConfig) { c.Addr = "nonsense" }, "host:port"},
		"taken address": {func(c *embedded.ProcessConfig) { c.Addr = taken }, "TASKTRAIL_CLICKHOUSE_ADDR"},
		"memory":        {func(c *embedded.ProcessConfig) { c.MaxMemory = 1; c.MaxConcurrent = -1 }, "MaxConcurrent"},
		"dead command": {func(c *embedded.ProcessConfig) {
			c.Command = []string{"/bin/sh", "-c", "echo out of order >&2; exit 3"}
		}, "out of order"},
		"missing command": {func(c *embedded.ProcessConfig) { c.Command = []string{"/nonexistent"} }, "/nonexistent"},
		"broken library":  {func(c *embedded.ProcessConfig) { c.LibPath = "/etc/hostname" }, "/etc/hostname"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := storetest.Config(t.TempDir())
			c.change(&cfg)
			p, err := embedded.Start(t.Context(), cfg)
			if err == nil {
				_ = p.Stop()
				t.Fatal("it started")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestAMissingLibraryNamesTheCommand(t *testing.T) {
	t.Setenv(embedded.LibraryEnv, "/nonexistent/libchdb.so")
	if _, err := embedded.FindLibrary(); !errors.Is(err, embedded.ErrNoLibrary) || !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	t.Setenv(embedded.LibraryEnv, "")
	t.Chdir(t.TempDir())
	if path, err := embedded.FindLibrary(); err == nil {
		t.Logf("installed at %s", path)
	} else if !strings.Contains(err.Error(), "npm ci --prefix deploy/embedded") {
		t.Error(err)
	}
}
