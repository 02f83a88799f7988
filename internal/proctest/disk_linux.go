package proctest

import (
	"fmt"
	"syscall"
	"testing"
)

// SmallDisk mounts a file system of so many mebibytes that a test can fill up, until
// it ends; whoever uses it must have let go of its files by then.
func SmallDisk(t testing.TB, mebibytes int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mebibytes)); err != nil {
		t.Fatalf("mount a small tmpfs (the test needs to be root, or in a user namespace: unshare -rm go test): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}
