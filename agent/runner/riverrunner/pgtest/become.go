package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// Become turns this process into a server on the port of the loopback given, with its
// cluster in dir, which is made where it is not there; it returns only where that
// fails. The server keeps what it acknowledged when its processes are killed (not when
// the machine is): it is for tests that kill it.
func Become(dir string, port int) error {
	initdb, err := program("initdb")
	if err != nil {
		return err
	}
	postgres, err := program("postgres")
	if err != nil {
		return err
	}
	cred, err := unprivileged()
	if err != nil {
		return err
	}
	if cred != nil {
		err := errors.Join(os.Chown(dir, int(cred.Uid), int(cred.Gid)), os.Chdir(dir), syscall.Setgroups(nil),
			syscall.Setgid(int(cred.Gid)), syscall.Setuid(int(cred.Uid)))
		if err != nil {
			return fmt.Errorf("pgtest: become the user of the server: %w", err)
		}
	}
	data := filepath.Join(dir, "data")
	env := append(os.Environ(), "LC_ALL=C", "HOME="+dir)
	if _, err := os.Stat(filepath.Join(data, "PG_VERSION")); err != nil {
		init := exec.CommandContext(context.Background(), initdb, initArgs(data)...)
		init.Dir, init.Env = dir, env
		if out, err := init.CombinedOutput(); err != nil {
			return fmt.Errorf("pgtest: initdb: %w\n%s", err, out)
		}
	}
	return syscall.Exec(postgres, []string{
		postgres, "-D", data, "-p", strconv.Itoa(port), "-k", dir, "-c", "listen_addresses=127.0.0.1",
		// The kernel keeps what was written, whoever is killed.
		"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=50",
	}, env)
}
