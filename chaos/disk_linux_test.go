package chaos

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// smallDisk mounts a file system that a test can fill up.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=128m"); err != nil {
		t.Fatalf("mount a small tmpfs (the test needs to be root, or in a user namespace: unshare -rm go test ./chaos): %v", err)
	}
	t.Cleanup(func() {
		// Whoever was killed has let go of its files.
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func ballast(dir string) string { return filepath.Join(dir, "ballast") }

// fillDisk leaves no room at all.
func fillDisk(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(ballast(dir))
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	for _, size := range []int{1 << 20, 4096} {
		for block := make([]byte, size); err == nil; {
			_, err = f.Write(block)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Error(err)
		}
		err = nil
	}
}

func freeDisk(t *testing.T, dir string) {
	t.Helper()
	if err := os.Remove(ballast(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
