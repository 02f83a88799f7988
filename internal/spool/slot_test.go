package spool

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestADirectoryHasOneLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deeper", "log")
	l := open(t, Options{Dir: dir})
	_, err := Open(Options{Dir: dir})
	var locked *LockedError
	if !errors.Is(err, ErrLocked) || !errors.As(err, &locked) || locked.Dir != dir || !strings.Contains(err.Error(), dir) {
		t.Errorf("opened twice: %v", err)
	}
	mustClose(t, l)
	mustClose(t, open(t, Options{Dir: dir}))
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v, %v", st.Mode(), err)
	}
}

func TestSlots(t *testing.T) {
	parent := filepath.Join(memDir(t), "slots")
	if dirs, err := Orphans(parent); err != nil || len(dirs) != 0 {
		t.Errorf("before the first: %v, %v", dirs, err)
	}
	var logs []*Log
	for range 3 {
		l, err := OpenSlot(parent, Options{SegmentBytes: 64 << 10})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if _, err := l.Cursor("ship"); err != nil {
			t.Fatal(err)
		}
		logs = append(logs, l)
	}
	if logs[0].Dir() == logs[1].Dir() || logs[0].ID() == logs[1].ID() {
		t.Error("two logs in one slot")
	}
	fill(t, logs[1], 3, 50)
	fill(t, logs[2], 3, 50)
	c, err := logs[2].Cursor("ship")
	if err != nil || c.Advance(logs[2].End()) != nil {
		t.Fatal(err)
	}
	if dirs, err := Orphans(parent); err != nil || len(dirs) != 0 {
		t.Errorf("while all are held: %v, %v", dirs, err)
	}
	id := logs[1].ID()
	for _, l := range logs {
		mustClose(t, l)
	}
	dirs, err := Orphans(parent)
	if err != nil || !slices.Equal(dirs, []string{logs[1].Dir()}) {
		t.Fatalf("orphans: %v, %v", dirs, err)
	}
	l := open(t, Options{Dir: dirs[0]})
	if seqs, _ := readAll(t, l, 0, 50); l.ID() != id || len(seqs) != 3 {
		t.Errorf("adopted %s with %v", l.ID(), seqs)
	}
	next, err := OpenSlot(parent, Options{})
	if err != nil || next.Dir() != logs[0].Dir() {
		t.Errorf("the first free slot: %v, %v", next, err)
	}
	mustClose(t, next)
	if err := l.Destroy(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dirs[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("destroyed and there: %v", err)
	}
}

func TestOpenSlotSaysWhyItCannot(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSlot(file, Options{}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a file as parent: %v", err)
	}
}
