package spool

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// childEnv has the test binary play the process that a test kills or limits.
const childEnv = "SPOOL_TEST_CHILD"

func TestMain(m *testing.M) {
	if role := os.Getenv(childEnv); role != "" {
		os.Exit(child(role, os.Args[len(os.Args)-1]))
	}
	goleak.VerifyTestMain(m)
}

// frame is the payload that belongs to a number: its length and bytes follow
// from it, so that any payload read back can be checked.
func frame(dst []byte, seq uint64, most int) []byte {
	h := fnv.New64a()
	_ = binary.Write(h, binary.LittleEndian, seq)
	x := h.Sum64()
	n := 8 + int(x%uint64(most-7))
	dst = binary.LittleEndian.AppendUint64(dst, seq)
	for i := range n - 8 {
		dst = append(dst, byte(x>>(i%8*8))+byte(i))
	}
	return dst
}

func sameFrame(got []byte, seq uint64, most int) error {
	if want := frame(nil, seq, most); !bytes.Equal(got, want) {
		return fmt.Errorf("frame %d: got %d bytes %.20x, want %d bytes %.20x", seq, len(got), got, len(want), want)
	}
	return nil
}

// memDir is a directory where an fsync is free, for tests that open a log
// thousands of times.
func memDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "spool")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func open(t testing.TB, opts Options) *Log {
	t.Helper()
	l, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func mustClose(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// fill appends n frames of up to most bytes and returns the position behind each.
func fill(t testing.TB, l *Log, n, most int) []Position {
	t.Helper()
	var ends []Position
	for range n {
		to, err := l.AppendFunc(false, func(dst []byte, seq uint64) []byte { return frame(dst, seq, most) })
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, to)
	}
	return ends
}

// readAll reads from a position to the end, checks every payload, and returns
// the numbers it saw and the damage it was told of.
func readAll(t testing.TB, l *Log, from Position, most int) (seqs []uint64, damaged []Damage) {
	t.Helper()
	var b Batch
	for at := from; ; at = b.To {
		if err := l.ReadBatch(at, 700, 7, &b); err != nil {
			t.Fatal(err)
		}
		if b.Empty() {
			return seqs, damaged
		}
		if b.From < at {
			t.Fatalf("asked for %d, got %d", at, b.From)
		}
		for i, f := range b.Frames {
			if err := sameFrame(f, b.Seqs[i], most); err != nil {
				t.Fatal(err)
			}
		}
		seqs = append(seqs, b.Seqs...)
		damaged = append(damaged, b.Damaged...)
	}
}

func wantSeqs(t testing.TB, got []uint64, first, last uint64) {
	t.Helper()
	for i, seq := range got {
		if seq != first+uint64(i) {
			t.Fatalf("number %d at place %d, want %d", seq, i, first+uint64(i))
		}
	}
	if uint64(len(got)) != last-first+1 {
		t.Fatalf("%d frames, want %d to %d", len(got), first, last)
	}
}

// eventually polls with a deadline.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("%s: not in time", what)
		case <-tick.C:
		}
	}
}
