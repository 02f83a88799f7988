//go:build unix

package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// ErrLocked says that another process has the data directory open; the error
// that wraps it names the directory and the process.
var ErrLocked = errors.New("the data directory is in use")

// lockDir takes the directory for this process; the lock ends with the process,
// however it ends, or with the returned file.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("embedded ClickHouse: data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "tasktrail.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("embedded ClickHouse: lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		var pid [32]byte
		n, _ := f.ReadAt(pid[:], 0)
		_ = f.Close()
		return nil, fmt.Errorf("embedded ClickHouse: %w: %s by process %s: stop that one, or choose another directory",
			ErrLocked, dir, strings.TrimSpace(string(pid[:n])))
	}
	_ = f.Truncate(0)
	if _, err := fmt.Fprintf(f, "%d\n", os.Getpid()); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("embedded ClickHouse: lock: %w", err)
	}
	return f, nil
}
