package spool

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestFramesComeBackInOrderOverSegmentsAndRestarts(t *testing.T) {
	dir := t.TempDir()
	for _, durable := range []bool{false, true, false} { // either kind opens what the other wrote
		opts := Options{Dir: dir, SegmentBytes: 16 << 10, MaxBytes: 4 << 20, DurableOnly: durable}
		l := open(t, opts)
		before := l.NextSeq()
		ends := fill(t, l, 300, 6000)
		if err := l.Sync(t.Context(), ends[len(ends)-1]); err != nil {
			t.Fatal(err)
		}
		seqs, damaged := readAll(t, l, 0, 6000)
		wantSeqs(t, seqs, 1, before+299)
		if len(damaged) > 0 {
			t.Fatalf("damage in an intact log: %+v", damaged)
		}
		st := l.Stats()
		if st.Frames != before+299 || st.Appends != 300 || st.End != ends[len(ends)-1] || st.Durable != st.End || st.NextSeq != before+300 {
			t.Errorf("stats: %+v", st)
		}
		if st.Segments < 10 || st.DiskBytes != int64(st.Segments)*16<<10 {
			t.Errorf("%d segments of %d bytes", st.Segments, st.DiskBytes)
		}
		id := l.ID()
		mustClose(t, l)
		l = open(t, opts)
		if l.ID() != id || len(id) != 36 || strings.Count(id, "-") != 4 || l.NextSeq() != before+300 || l.Durable() != l.End() {
			t.Errorf("reopened: id %s (was %s), next %d, durable %d of %d", l.ID(), id, l.NextSeq(), l.Durable(), l.End())
		}
		mustClose(t, l)
	}
}

func TestAppendRefuses(t *testing.T) {
	l := open(t, Options{Dir: t.TempDir(), SegmentBytes: 8 << 10, MaxFrameBytes: 1000})
	f := func(name string, want error, call func() (Position, error)) {
		t.Helper()
		if to, err := call(); !errors.Is(err, want) || to != 0 {
			t.Errorf("%s: %d, %v; want %v", name, to, err, want)
		}
	}
	f("empty", ErrEmptyFrame, func() (Position, error) { return l.Append(nil) })
	f("nothing encoded", ErrEmptyFrame, func() (Position, error) {
		return l.AppendFunc(false, func(dst []byte, _ uint64) []byte { return dst })
	})
	f("too large", ErrFrameTooLarge, func() (Position, error) { return l.Append(make([]byte, 1001)) })
	f("too large, encoded", ErrFrameTooLarge, func() (Position, error) {
		return l.AppendFunc(false, func(dst []byte, _ uint64) []byte { return append(dst, make([]byte, 1001)...) })
	})
	if n := l.NextSeq(); n != 1 {
		t.Errorf("refused frames used numbers: next is %d", n)
	}
	if _, err := l.Append(make([]byte, 1000)); err != nil {
		t.Error(err)
	}
	mustClose(t, l)
	f("closed", ErrClosed, func() (Position, error) { return l.Append([]byte("x")) })
	if err := l.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	if err := l.ReadBatch(0, 0, 0, &Batch{}); !errors.Is(err, ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
	if err := l.Wait(t.Context(), l.End()); !errors.Is(err, ErrClosed) {
		t.Errorf("wait after close: %v", err)
	}
	if _, err := l.Cursor("late"); !errors.Is(err, ErrClosed) {
		t.Errorf("cursor after close: %v", err)
	}
}

func TestOptionsReportAllFaults(t *testing.T) {
	_, err := Open(Options{SegmentBytes: 100, MaxBytes: 5000, MaxFrameBytes: -1, Retain: -1})
	for _, field := range []string{"Dir", "SegmentBytes", "MaxFrameBytes", "Retain"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s is not named: %v", field, err)
		}
	}
}

func TestEncodersThatMisbehave(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Options{Dir: dir, SegmentBytes: 8 << 10})
	fill(t, l, 3, 50)
	for name, fn := range map[string]func([]byte, uint64) []byte{
		"panics": func(dst []byte, _ uint64) []byte { _ = append(dst, bytes.Repeat([]byte{0xee}, 500)...); panic("mine") },
		"exits": func(dst []byte, _ uint64) []byte {
			_ = append(dst, bytes.Repeat([]byte{0xee}, 500)...)
			runtime.Goexit()
			return nil
		},
		"nil deref": func([]byte, uint64) []byte { var p *int; *p = 1; return nil }, //nolint:govet // the point of the case
	} {
		done := make(chan any)
		go func() {
			defer func() { done <- recover() }()
			_, _ = l.AppendFunc(false, fn)
		}()
		if r := <-done; r == nil && name != "exits" || r != nil && name == "panics" && r != "mine" {
			t.Errorf("%s: recovered %v", name, r)
		}
	}
	fill(t, l, 1, 50) // shorter than what was left behind it
	seqs, damaged := readAll(t, l, 0, 50)
	wantSeqs(t, seqs, 1, 4)
	if len(damaged) > 0 {
		t.Errorf("damage: %+v", damaged)
	}
	killed := t.TempDir()
	copyLog(t, dir, killed)
	l = open(t, Options{Dir: killed, SegmentBytes: 8 << 10})
	if st := l.Stats(); st.TornBytes == 0 || st.DamagedRanges != 0 {
		t.Errorf("what the encoder left was not cut off: %+v", st)
	}
	fill(t, l, 5, 50)
	seqs, _ = readAll(t, l, 0, 50)
	wantSeqs(t, seqs, 1, 9)
}

func TestEncodingBeyondTheSegmentGoesToTheNext(t *testing.T) {
	for _, durable := range []bool{false, true} {
		l := open(t, Options{Dir: t.TempDir(), SegmentBytes: 8 << 10, MaxBytes: 1 << 20, DurableOnly: durable})
		calls := 0
		for range 40 {
			to, err := l.AppendFunc(false, func(dst []byte, seq uint64) []byte {
				calls++
				return append(frame(dst, seq, 9), make([]byte, 3000)...)
			})
			if err != nil {
				t.Fatal(err)
			}
			if durable && l.Sync(t.Context(), to) != nil {
				t.Fatal("sync")
			}
		}
		var b Batch
		if err := l.ReadBatch(0, 1<<20, 0, &b); err != nil || len(b.Frames) != 40 || calls != 40 {
			t.Fatalf("%d frames of %d calls, %v", len(b.Frames), calls, err)
		}
		for i, f := range b.Frames {
			if err := sameFrame(f[:len(f)-3000], uint64(i+1), 9); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestSkippedNumbersShowAsAHole(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Options{Dir: dir})
	fill(t, l, 2, 50)
	if first := l.Skip(5); first != 3 {
		t.Errorf("skipped from %d", first)
	}
	fill(t, l, 1, 50)
	mustClose(t, l)
	l = open(t, Options{Dir: dir})
	seqs, damaged := readAll(t, l, 0, 50)
	if len(seqs) != 3 || seqs[2] != 8 || l.NextSeq() != 9 || len(damaged) != 0 {
		t.Errorf("numbers %v, next %d, damage %v", seqs, l.NextSeq(), damaged)
	}
}

func TestTruncatedSegmentIsAnErrorAndNotACrash(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Options{Dir: dir, SegmentBytes: 64 << 10})
	fill(t, l, 10, 100)
	if err := os.Truncate(filepath.Join(dir, segmentName(0)), 0); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := l.Append([]byte("x")); !errors.Is(err, ErrFault) {
			t.Fatalf("append: %v", err)
		}
	}
	var b Batch
	if err := l.ReadBatch(0, 0, 0, &b); err != nil || len(b.Frames) != 0 || len(b.Damaged) != 1 || b.To != l.End() {
		t.Errorf("read: %+v, %v", b.Damaged, err)
	}
	_ = l.Close()
	l = open(t, Options{Dir: dir, SegmentBytes: 64 << 10})
	fill(t, l, 10, 100)
	if seqs, _ := readAll(t, l, 0, 100); len(seqs) != 10 {
		t.Errorf("after opening anew: %v", seqs)
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	l := open(t, Options{Dir: t.TempDir(), SegmentBytes: 64 << 20, MaxBytes: 256 << 20})
	event := []byte("an event of some length")
	n := testing.AllocsPerRun(1000, func() {
		local := event
		if _, err := l.AppendFunc(false, func(dst []byte, seq uint64) []byte { return append(append(dst, byte(seq)), local...) }); err != nil {
			t.Error(err)
		}
		if _, err := l.Append(event); err != nil {
			t.Error(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
