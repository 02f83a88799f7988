package spool

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestCursorFreezesTheSameBatchOverRestarts(t *testing.T) {
	dir := memDir(t)
	opts := Options{Dir: dir, SegmentBytes: 8 << 10, MaxBytes: 1 << 20}
	l := open(t, opts)
	c, err := l.Cursor("store")
	if err != nil {
		t.Fatal(err)
	}
	fill(t, l, 100, 300)
	var b Batch
	if err := l.ReadBatch(c.Position(), 9000, 40, &b); err != nil || len(b.Frames) != 40 {
		t.Fatalf("%d frames, %v", len(b.Frames), err)
	}
	if err := errors.Join(c.Freeze(b.To), c.Freeze(b.To)); err != nil {
		t.Fatal(err)
	}
	token, want := b.Token(), slices.Concat(b.Frames...)
	if token != fmt.Sprintf("%s:%d-%d", l.ID(), b.From, b.To) {
		t.Errorf("token %s", token)
	}
	if err := c.Freeze(b.To + 8); !errors.Is(err, ErrFrozen) {
		t.Errorf("another range: %v", err)
	}
	if err := c.Advance(l.End()); !errors.Is(err, ErrFrozen) {
		t.Errorf("past the range: %v", err)
	}
	killed := memDir(t)
	copyLog(t, dir, killed)
	mustClose(t, l)
	for _, dir := range []string{dir, killed} {
		opts.Dir = dir
		l := open(t, opts)
		fill(t, l, 100, 300)
		c, err := l.Cursor("store")
		if err != nil {
			t.Fatal(err)
		}
		from, to, ok := c.Frozen()
		if !ok {
			t.Fatal("no frozen range")
		}
		if err := l.ReadRange(from, to, &b); err != nil {
			t.Fatal(err)
		}
		if b.Token() != token || !bytes.Equal(slices.Concat(b.Frames...), want) {
			t.Errorf("another batch: %s, was %s", b.Token(), token)
		}
		if err := l.ReadRange(from, to-8, &b); !errors.Is(err, ErrBadPosition) {
			t.Errorf("a range that ends within a frame: %v", err)
		}
		if err := c.Advance(to); err != nil {
			t.Fatal(err)
		}
		if _, _, ok := c.Frozen(); ok || c.Position() != to {
			t.Errorf("after advancing: %d, frozen %v", c.Position(), ok)
		}
		seqs, _ := readAll(t, l, c.Position(), 300)
		wantSeqs(t, seqs, 41, 200)
		mustClose(t, l)
		l = open(t, opts)
		if c, err = l.Cursor("store"); err != nil || c.Position() != to {
			t.Errorf("reopened: %v, %v", c, err)
		}
	}
}

func TestCursorRules(t *testing.T) {
	l := open(t, Options{Dir: memDir(t)})
	ends := fill(t, l, 5, 50)
	a, err := l.Cursor("a")
	if err != nil || a.Position() != 0 || a.Name() != "a" {
		t.Fatalf("%v, %v", a, err)
	}
	if again, err := l.Cursor("a", FromEnd()); err != nil || again != a {
		t.Errorf("asked twice: %v, %v", again, err)
	}
	end, err := l.Cursor("end", FromEnd())
	if err != nil || end.Position() != ends[4] {
		t.Errorf("from the end: %v, %v", end, err)
	}
	if err := a.Advance(ends[2]); err != nil {
		t.Error(err)
	}
	for what, call := range map[string]func() error{
		"back":                  func() error { return a.Advance(ends[0]) },
		"beyond the end":        func() error { return a.Advance(ends[4] + 8) },
		"freeze what was dealt": func() error { return a.Freeze(ends[2]) },
		"freeze beyond":         func() error { return a.Freeze(ends[4] + 8) },
	} {
		if err := call(); !errors.Is(err, ErrBadPosition) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := errors.Join(a.Advance(ends[2]), a.Thaw(), a.Freeze(ends[4]), a.Thaw(), a.Advance(ends[3])); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"", "A", "a/b", "..", ".a", strings.Repeat("a", 65), "ä"} {
		if _, err := l.Cursor(name); err == nil {
			t.Errorf("name %q passes", name)
		}
	}
	if got := l.Cursors(); !slices.Equal(got, []string{"a", "end"}) {
		t.Errorf("cursors: %v", got)
	}
	if err := errors.Join(l.RemoveCursor("a"), l.RemoveCursor("a"), l.RemoveCursor("never")); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{"advance": a.Advance(ends[4]), "freeze": a.Freeze(ends[4])} {
		if !errors.Is(err, ErrCursorRemoved) {
			t.Errorf("%s after removal: %v", what, err)
		}
	}
	if a, err = l.Cursor("a"); err != nil || a.Position() != 0 {
		t.Errorf("made anew: %v, %v", a, err)
	}
	mustClose(t, l)
	if err := a.Advance(ends[4]); !errors.Is(err, ErrClosed) {
		t.Errorf("advance after close: %v", err)
	}
}

func TestCursorFileThatTearsFallsBackOneStep(t *testing.T) {
	dir := memDir(t)
	l := open(t, Options{Dir: dir})
	c, err := l.Cursor("a")
	if err != nil {
		t.Fatal(err)
	}
	ends := fill(t, l, 5, 50)
	if err := errors.Join(c.Advance(ends[0]), c.Advance(ends[1])); err != nil {
		t.Fatal(err)
	}
	newer := int(c.state.gen % 2)
	mustClose(t, l)
	f := func(want Position, resets uint64, tear ...int) {
		t.Helper()
		path := filepath.Join(dir, "a"+cursorSuffix)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, slot := range tear {
			b[slot*slotBytes+9] ^= 0xff
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		l := open(t, Options{Dir: dir})
		c, err := l.Cursor("a")
		if err != nil || c.Position() != want || l.Stats().CursorsReset != resets {
			t.Errorf("torn %v: %d, want %d; %d resets, %v", tear, c.Position(), want, l.Stats().CursorsReset, err)
		}
		mustClose(t, l)
	}
	f(ends[1], 0)
	f(ends[0], 0, newer)
	f(0, 1, 1-newer)
}
