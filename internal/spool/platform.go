//go:build linux || darwin

package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

const lockName = "lock"

// onDescriptor calls fn with the file's descriptor, which stays open meanwhile.
func onDescriptor(f *os.File, fn func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := conn.Control(func(fd uintptr) { failed = fn(int(fd)) }); err != nil {
		return err
	}
	return failed
}

// mapShared maps the file for reading and writing. The mapping outlives the
// descriptor.
func mapShared(f *os.File, size int64) (data []byte, err error) {
	err = onDescriptor(f, func(fd int) (err error) {
		data, err = syscall.Mmap(fd, 0, int(size), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
		return err
	})
	return data, err
}

func unmapShared(data []byte) error { return syscall.Munmap(data) }

// freeBytes is what the file system of a directory has left for this user.
func freeBytes(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("ask for free space: %w", err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil //nolint:unconvert // a smaller type on other systems
}

// fillZero allocates blocks by writing them.
func fillZero(f *os.File, size int64) error {
	zero := make([]byte, min(size, 1<<20))
	for off := int64(0); off < size; off += int64(len(zero)) {
		if _, err := f.WriteAt(zero[:min(int64(len(zero)), size-off)], off); err != nil {
			return err
		}
	}
	return nil
}

// lockDir takes the directory for this log alone, until the file is closed or
// the process ends. The lock belongs to the open file, so that a second log in
// the same process is refused too.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockName)
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, fmt.Errorf("open lock file: %w", err)
		}
		err = onDescriptor(f, func(fd int) error { return syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB) })
		if err != nil {
			_ = f.Close()
			if errors.Is(err, syscall.EWOULDBLOCK) {
				return nil, &LockedError{Dir: dir}
			}
			return nil, fmt.Errorf("lock directory %s: %w", dir, err)
		}
		// Somebody may have deleted the directory between the two calls: then the
		// lock is on a file that nobody else will find.
		mine, err := f.Stat()
		if err == nil {
			there, statErr := os.Stat(path)
			if statErr == nil && os.SameFile(mine, there) {
				return f, nil
			}
			if statErr != nil && !errors.Is(statErr, os.ErrNotExist) {
				err = statErr
			}
		}
		_ = f.Close()
		if err != nil {
			return nil, fmt.Errorf("lock directory %s: %w", dir, err)
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make directory: %w", err)
		}
	}
}
