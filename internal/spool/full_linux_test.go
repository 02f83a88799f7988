package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

// A disk on which two segments of full size have no room fills up, by the log and
// by somebody else: what was read is given back and the log goes on, with large
// frames too.
func TestSmallDiskRecovers(t *testing.T) {
	for _, size := range []int64{17 << 20, 32 << 20, 48 << 20} {
		dir := t.TempDir()
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
			t.Fatalf("mount a small tmpfs (the test needs to be root, or in a user namespace: unshare -rm go test ./internal/spool): %v", err)
		}
		func() {
			defer func() {
				if err := syscall.Unmount(dir, 0); err != nil {
					t.Error(err)
				}
			}()
			l := open(t, Options{Dir: filepath.Join(dir, "log")})
			defer mustClose(t, l)
			c, err := l.Cursor("sink")
			if err != nil {
				t.Fatal(err)
			}
			ballast := filepath.Join(dir, "ballast")
			fillDisk(t, ballast)
			for round := range 3 {
				n := 0
				for ; ; n++ {
					if _, err := l.Append(make([]byte, 300)); errors.Is(err, ErrFull) {
						break
					} else if err != nil {
						t.Fatal(err)
					}
				}
				if _, err := l.AppendReserved(make([]byte, 300)); err != nil {
					t.Errorf("%d MiB, round %d: the reserve: %v", size>>20, round, err)
				}
				if round == 0 {
					if err := os.Remove(ballast); err != nil {
						t.Fatal(err)
					}
				}
				if err := l.Sync(t.Context(), l.End()); err != nil {
					t.Fatal(err)
				}
				if err := c.Advance(l.End()); err != nil {
					t.Fatal(err)
				}
				took := func(bytes int) {
					t.Helper()
					eventually(t, "room again", func() bool {
						_, err := l.Append(make([]byte, bytes))
						if err == nil {
							err = c.Advance(l.End())
						}
						return err == nil
					})
				}
				took(300)
				if size > 17<<20 { // as large as a payload with its task
					took(600 << 10)
				}
			}
		}()
	}
}

// fillDisk writes a file until the disk has no room.
func fillDisk(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 4096); ; {
		if _, err := f.Write(block); err != nil {
			return // no room
		}
	}
}
