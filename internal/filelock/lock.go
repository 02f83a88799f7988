// Package filelock keeps processes apart by an advisory lock on a file. The lock
// ends with the process that holds it, however that ends. Where the system has
// no such locks (it is no Unix) every call succeeds, and the operator keeps
// processes apart.
package filelock

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// ErrHeld says that another process holds the lock; the error that wraps it names
// the process where the file tells.
var ErrHeld = errors.New("in use by another process")

// Lock is a lock that is held.
type Lock struct{ f *os.File }

// Unlock gives it free; the file stays, so that nobody locks one that is gone.
func (l *Lock) Unlock() { _ = l.f.Close() }

// Try takes the lock on the file, which it makes where it is missing, and leaves
// the number of this process in it; an error that wraps [ErrHeld] where it is
// taken.
func Try(path string) (*Lock, error) { return acquire(path, false) }

// Wait is Try that waits until the lock is free.
func Wait(path string) (*Lock, error) { return acquire(path, true) }

func acquire(path string, wait bool) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock: %w", err)
	}
	taken, err := lock(f, wait)
	if err == nil && !taken {
		var pid [32]byte
		n, _ := f.ReadAt(pid[:], 0)
		err = ErrHeld
		if text := strings.TrimSpace(string(pid[:n])); text != "" {
			err = fmt.Errorf("%w (%s)", ErrHeld, text)
		}
	}
	if err == nil {
		err = errors.Join(f.Truncate(0), writePID(f))
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &Lock{f}, nil
}

func writePID(f *os.File) error {
	_, err := f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	return err //nolint:wrapcheck // names the file
}
