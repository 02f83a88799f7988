package spool

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

func TestFullLogKeepsItsReserve(t *testing.T) {
	opts := Options{Dir: t.TempDir(), SegmentBytes: 32 << 10, MaxBytes: 128 << 10, ReserveBytes: 8 << 10}
	l := open(t, opts)
	if _, err := l.Cursor("sink"); err != nil {
		t.Fatal(err)
	}
	appendUntilFull := func(call func([]byte) (Position, error)) (n int) {
		t.Helper()
		for {
			if _, err := call(make([]byte, 500)); errors.Is(err, ErrFull) {
				return n
			} else if err != nil {
				t.Fatal(err)
			}
			n++
		}
	}
	n := appendUntilFull(l.Append)
	if least := (128<<10 - 8<<10) * 9 / 10 / 520; n < least {
		t.Errorf("full after %d frames, want at least %d", n, least)
	}
	if st := l.Stats(); st.FullRefused == 0 || st.FreeBytes > 1000 || st.DiskBytes > opts.MaxBytes {
		t.Errorf("full: %+v", st)
	}
	if reserved := appendUntilFull(l.AppendReserved); reserved < 8<<10/520-1 {
		t.Errorf("the reserve took %d frames", reserved)
	}
	mustClose(t, l)
	l = open(t, opts)
	if _, err := l.Append([]byte("x")); !errors.Is(err, ErrFull) {
		t.Errorf("reopened: %v", err)
	}
	c, err := l.Cursor("sink")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Advance(l.End()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "room again", func() bool { _, err := l.Append(make([]byte, 500)); return err == nil })
	if st := l.Stats(); st.SegmentsFreed == 0 {
		t.Errorf("nothing was freed: %+v", st)
	}
	if again := appendUntilFull(l.Append); again < n*2/3 {
		t.Errorf("then full after %d, before after %d", again, n)
	}
}

// useFullDisk fills a log on a disk that has no more room once choke was called:
// Append is refused, the preallocated reserve is there, also after opening anew.
func useFullDisk(dir string, choke func() error) error {
	opts := Options{Dir: filepath.Join(dir, "log"), SegmentBytes: 64 << 10, MaxBytes: 64 << 20, ReserveBytes: 16 << 10}
	l, err := Open(opts)
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }()
	if err := choke(); err != nil {
		return fmt.Errorf("choke: %w", err)
	}
	total := 0
	for {
		_, err := l.AppendFunc(false, func(dst []byte, seq uint64) []byte { return frame(dst, seq, 900) })
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil {
			return fmt.Errorf("append %d: %w", total, err)
		}
		if total++; total > 64<<20/32 {
			return errors.New("never full")
		}
	}
	if st := l.Stats(); st.FullRefused != 1 || st.DiskBytes > 8<<20 {
		return fmt.Errorf("full: %+v", st)
	}
	reserved := 0
	for round := range 2 {
		for range 8 {
			if _, err := l.AppendFunc(true, func(dst []byte, seq uint64) []byte { return frame(dst, seq, 900) }); err != nil {
				return fmt.Errorf("reserved frame %d in round %d: %w", reserved, round, err)
			}
			reserved++
		}
		if err := l.Close(); err != nil {
			return fmt.Errorf("close on a full disk: %w", err)
		}
		if l, err = Open(opts); err != nil {
			return fmt.Errorf("open on a full disk: %w", err)
		}
		if _, err := l.Append(make([]byte, 900)); !errors.Is(err, ErrFull) {
			return fmt.Errorf("append after opening anew: %w", err)
		}
	}
	var b Batch
	if err := l.ReadRange(l.Start(), l.End(), &b); err != nil || len(b.Frames) != total+reserved || len(b.Damaged) > 0 {
		return fmt.Errorf("%d of %d+%d frames, damage %v: %w", len(b.Frames), total, reserved, b.Damaged, err)
	}
	for i, f := range b.Frames {
		if err := sameFrame(f, uint64(i+1), 900); err != nil {
			return err
		}
	}
	return nil
}

func TestFullDiskByFileSizeLimit(t *testing.T) {
	if out, err := childCommand(t, "rlimit", t.TempDir()).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestConsumedSegmentsAreDeletedWhenAllCursorsHavePassed(t *testing.T) {
	l := open(t, Options{Dir: t.TempDir(), SegmentBytes: 8 << 10, MaxBytes: 4 << 20})
	var cursors []*Cursor
	for _, name := range []string{"a", "b"} {
		c, err := l.Cursor(name)
		if err != nil {
			t.Fatal(err)
		}
		cursors = append(cursors, c)
	}
	ends := fill(t, l, 400, 200)
	if err := cursors[0].Advance(ends[399]); err != nil {
		t.Fatal(err)
	}
	if err := cursors[1].Advance(ends[199]); err != nil {
		t.Fatal(err)
	}
	eventually(t, "deletion up to the slower cursor", func() bool { return l.Start() > ends[100] && l.Start() <= ends[199] })
	seqs, _ := readAll(t, l, ends[199], 200)
	wantSeqs(t, seqs, 201, 400)
	var b Batch
	if err := l.ReadRange(0, ends[0], &b); !errors.Is(err, ErrGone) {
		t.Errorf("deleted range: %v", err)
	}
	if err := l.RemoveCursor("b"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "deletion after the slower cursor left", func() bool { return l.Start() > ends[350] })
	if err := cursors[1].Advance(ends[399]); !errors.Is(err, ErrCursorRemoved) {
		t.Errorf("removed cursor: %v", err)
	}
	eventually(t, "their files are gone", func() bool {
		files, err := filepath.Glob(filepath.Join(l.Dir(), "*"+segmentSuffix))
		return err == nil && len(files) == l.Stats().Segments
	})
}

func TestRetainKeepsUntilRoomIsNeeded(t *testing.T) {
	l := open(t, Options{Dir: t.TempDir(), SegmentBytes: 8 << 10, MaxBytes: 64 << 10, Retain: time.Hour})
	c, err := l.Cursor("sink")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		ends := fill(t, l, 1, 200)
		if err := c.Advance(ends[0]); err != nil {
			t.Fatal(err)
		}
		if i == 100 && l.Start() != 0 {
			t.Errorf("deleted before its time: start is %d", l.Start())
		}
		if i%50 == 0 { // room is found among sealed segments
			eventually(t, "seals", func() bool {
				segs := *l.segs.Load()
				return len(segs) < 2 || segs[len(segs)-2].settled.Load()
			})
		}
	}
	if l.Start() == 0 || l.Stats().FullRefused != 0 {
		t.Errorf("start %d, %+v", l.Start(), l.Stats())
	}
}
