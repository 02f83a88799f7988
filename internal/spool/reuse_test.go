package spool

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// reuseOpts are options of a small log, and how large its frames are: where it is
// synced all the time so large that some are written by system calls.
func reuseOpts(dir string, durable bool) (Options, int) {
	opts := smallOpts
	opts.Dir = dir
	if durable {
		opts.DurableOnly, opts.SegmentBytes, opts.MaxBytes, opts.MaxFrameBytes = true, 64<<10, 1<<20, 10<<10
		return opts, 3 * writeFrom / 2
	}
	return opts, smallFrame
}

// reusedLog makes a small log whose last segment is a file that held another one
// before, and copies it as a kill would leave it: before the last frames were
// appended, and after. It returns where the kept frames end, by number.
func reusedLog(t testing.TB, durable bool) (before, after map[string][]byte, active string, ends map[uint64]Position) {
	t.Helper()
	dir := memDir(t)
	opts, most := reuseOpts(dir, durable)
	l := open(t, opts)
	c, err := l.Cursor("sink")
	if err != nil {
		t.Fatal(err)
	}
	read := func() map[string][]byte {
		files := map[string][]byte{}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			b, err := os.ReadFile(filepath.Join(dir, e.Name()))
			switch {
			case err == nil:
				files[e.Name()] = b
			case !errors.Is(err, os.ErrNotExist): // one that is being prepared or given away
				t.Fatal(err)
			}
		}
		return files
	}
	for reused := 0; reused < 3; {
		to := fill(t, l, 1, most)[0]
		if err := errors.Join(l.Sync(t.Context(), to), c.Freeze(to), c.Advance(to)); err != nil {
			t.Fatal(err)
		}
		l.mu.Lock()
		fresh := l.off < l.active.size/4 && l.active.reused
		at := l.active.base
		l.mu.Unlock()
		if segmentName(at) != active && fresh {
			active = segmentName(at)
			reused++
		}
		eventually(t, "consumed segments go", func() bool { return len(*l.segs.Load()) <= 2 })
	}
	ends = map[uint64]Position{}
	keep := func(n int) {
		first := l.NextSeq()
		for i, to := range fill(t, l, n, most) {
			ends[first+uint64(i)] = to
		}
	}
	keep(2)
	if err := l.Sync(t.Context(), l.End()); err != nil {
		t.Fatal(err)
	}
	before = read()
	keep(1)
	after = read()
	if n := len(after); n > 6 {
		t.Errorf("%d files: segments are made anew and not used again", n)
	}
	mustClose(t, l)
	return before, after, active, ends
}

// survives opens the log and checks that every frame kept is either intact or
// within reported damage.
func survives(t *testing.T, dir, what string, ends map[uint64]Position, durable bool) (missing int) {
	t.Helper()
	opts, most := reuseOpts(dir, durable)
	opts.DurableOnly = false
	l, err := Open(opts)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer mustClose(t, l)
	seqs, damaged := readAll(t, l, 0, most)
	there := map[uint64]bool{}
	for i, seq := range seqs {
		if i > 0 && seq <= seqs[i-1] {
			t.Fatalf("%s: number %d after %d", what, seq, seqs[i-1])
		}
		there[seq] = true
	}
	for seq, to := range ends {
		reported := to > l.End()
		for _, d := range damaged {
			reported = reported || d.From < to && to <= d.To
		}
		if !there[seq] {
			missing++
			if !reported {
				t.Fatalf("%s: frame %d, which ends at %d, is neither there nor reported: %+v", what, seq, to, damaged)
			}
		}
	}
	next, at := l.NextSeq(), l.End()
	fill(t, l, 3, most)
	more, _ := readAll(t, l, at, most)
	wantSeqs(t, more, next, next+2)
	return missing
}

func TestSegmentsAreUsedAgain(t *testing.T) {
	for _, durable := range []bool{false, true} {
		_, after, active, ends := reusedLog(t, durable)
		dir := filepath.Join(memDir(t), "killed")
		writeFiles(t, dir, after)
		opts, _ := reuseOpts(dir, durable)
		l := open(t, opts)
		if st := l.Stats(); st.TornBytes != 0 || st.DamagedRanges != 0 {
			t.Errorf("what the file held before passes for something: %+v", st)
		}
		mustClose(t, l)
		writeFiles(t, dir, after)
		if n := survives(t, dir, "killed", ends, durable); n != 0 {
			t.Errorf("%d frames are missing", n)
		}
		if _, ok := after[active]; !ok {
			t.Errorf("%s is not there", active)
		}
	}
}

func TestFlippedByteInASegmentUsedAgain(t *testing.T) {
	_, after, active, ends := reusedLog(t, false)
	dir := filepath.Join(memDir(t), "flipped")
	base, _ := parseSegmentName(active)
	last := Position(0)
	for _, to := range ends {
		last = max(last, to)
	}
	for at := int64(0); at < segmentHeaderSize+int64(last-base)+frameHeaderSize; at++ {
		flipped := map[string][]byte{}
		for n, b := range after {
			flipped[n] = b
		}
		flipped[active] = bytes.Clone(after[active])
		flipped[active][at] ^= 0x41
		writeFiles(t, dir, flipped)
		if n := survives(t, dir, fmt.Sprintf("flipped at %d", at), ends, false); n > 1 {
			t.Errorf("flipped at %d: %d frames are missing", at, n)
		}
	}
}

// After a power cut any part of what was not synced may be there and any not.
func TestTornAppendInASegmentUsedAgain(t *testing.T) {
	before, after, active, ends := reusedLog(t, false)
	dir := filepath.Join(memDir(t), "torn")
	synced := map[uint64]Position{}
	var last uint64
	for seq := range ends {
		last = max(last, seq)
	}
	for seq, to := range ends {
		if seq != last {
			synced[seq] = to
		}
	}
	base, _ := parseSegmentName(active)
	to := segmentHeaderSize + int64(ends[last]-base)
	for at := segmentHeaderSize + int64(ends[last-1]-base); at <= to+frameAlign; at++ {
		for name, halves := range map[string][2]map[string][]byte{"begun": {after, before}, "begun at its end": {before, after}} {
			torn := map[string][]byte{}
			for n, b := range after {
				torn[n] = b
			}
			torn[active] = append(bytes.Clone(halves[0][active][:at]), halves[1][active][at:]...)
			writeFiles(t, dir, torn)
			if n := survives(t, dir, fmt.Sprintf("%s, torn at %d", name, at), synced, false); n != 0 {
				t.Errorf("%s, torn at %d: %d synced frames are missing", name, at, n)
			}
		}
	}
}
