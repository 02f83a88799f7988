package chaos

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

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
