package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tasktrail/tasktrail/internal/filelock"
)

// ErrLocked says that another process has the data directory open; the error
// that wraps it names the directory and the process.
var ErrLocked = errors.New("the data directory is in use")

// lockDir takes the directory for this process.
func lockDir(dir string) (*filelock.Lock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("embedded ClickHouse: data directory: %w", err)
	}
	lock, err := filelock.Try(filepath.Join(dir, "tasktrail.lock"))
	switch {
	case errors.Is(err, filelock.ErrHeld):
		return nil, fmt.Errorf("embedded ClickHouse: %w: %s: %w: stop that one, or choose another directory", ErrLocked, dir, err)
	case err != nil:
		return nil, fmt.Errorf("embedded ClickHouse: %w", err)
	}
	return lock, nil
}
