package spool

import (
	"errors"
	"os"
	"syscall"
	"testing"
)

// TestFullDisk uses a file system of one mebibyte where this user may mount one,
// else a limit on the size of files.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m")
	if errors.Is(err, os.ErrPermission) {
		out, err := childCommand(t, "rlimit", dir).CombinedOutput()
		if err != nil {
			t.Fatalf("no tmpfs may be mounted, and with a limit on file sizes: %v\n%s", err, out)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	if err := useFullDisk(dir, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
}
