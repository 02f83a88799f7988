package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

const smallFrame = 120

var smallOpts = Options{SegmentBytes: 4 << 10, MaxBytes: 64 << 10, MaxFrameBytes: 1000, ReserveBytes: -1}

// killedLog makes a small log of some segments and copies it as a kill would
// leave it. It returns the files and where each frame ends.
func killedLog(t testing.TB, frames int) (files map[string][]byte, ends []Position) {
	t.Helper()
	dir, killed := memDir(t), memDir(t)
	opts := smallOpts
	opts.Dir = dir
	l := open(t, opts)
	c, err := l.Cursor("sink")
	if err != nil {
		t.Fatal(err)
	}
	ends = fill(t, l, frames, smallFrame)
	if err := errors.Join(c.Freeze(ends[2]), c.Advance(ends[2]), c.Freeze(ends[4])); err != nil {
		t.Fatal(err)
	}
	eventually(t, "seals", func() bool {
		segs := *l.segs.Load()
		return len(segs) < 2 || segs[len(segs)-2].settled.Load()
	})
	copyLog(t, dir, killed)
	mustClose(t, l)
	files = map[string][]byte{}
	entries, err := os.ReadDir(killed)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(killed, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = b
	}
	return files, ends
}

func writeFiles(t testing.TB, dir string, files map[string][]byte) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// checkSurvivors opens the log and checks that every frame is either intact or
// within reported damage, and returns how many are missing.
func checkSurvivors(t testing.TB, dir, what string, ends []Position) (missing int) {
	t.Helper()
	opts := smallOpts
	opts.Dir = dir
	l, err := Open(opts)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer mustClose(t, l)
	seqs, damaged := readAll(t, l, 0, smallFrame)
	there := map[uint64]bool{}
	last := uint64(0)
	for _, seq := range seqs {
		if seq <= last {
			t.Fatalf("%s: number %d after %d", what, seq, last)
		}
		there[seq], last = true, seq
	}
	opened := l.End()
	for i, to := range ends {
		if to > opened { // its header was wiped out at the end: nothing tells it from an append that did not finish
			break
		}
		seq := uint64(i + 1)
		if !there[seq] {
			missing++
			reported := false
			for _, d := range damaged {
				reported = reported || d.From < to && to <= d.To
			}
			if !reported {
				t.Fatalf("%s: frame %d, which ends at %d, is neither there nor reported: %+v", what, seq, to, damaged)
			}
		}
	}
	// The log goes on, with a number that nobody has.
	next := l.NextSeq()
	if next <= last {
		t.Fatalf("%s: the next number is %d after %d", what, next, last)
	}
	at := l.End()
	fill(t, l, 3, smallFrame)
	more, _ := readAll(t, l, at, smallFrame)
	wantSeqs(t, more, next, next+2)
	return missing
}

func TestTornTailAtEveryByte(t *testing.T) {
	const frames = 9
	files, ends := killedLog(t, frames)
	name := segmentName(0)
	dir := filepath.Join(memDir(t), "torn")
	first, last := segmentHeaderSize+int64(ends[5]), segmentHeaderSize+int64(ends[frames-1])
	for _, truncate := range []bool{false, true} {
		for at := first; at <= last; at++ {
			torn := map[string][]byte{}
			for n, b := range files {
				torn[n] = b
			}
			torn[name] = bytes.Clone(files[name])
			clear(torn[name][at:])
			if truncate {
				torn[name] = torn[name][:at]
			}
			writeFiles(t, dir, torn)
			what := fmt.Sprintf("torn at %d (truncated: %v)", at, truncate)

			opts := smallOpts
			opts.Dir = dir
			l := open(t, opts)
			seqs, _ := readAll(t, l, 0, smallFrame)
			whole := 0
			for whole < frames && segmentHeaderSize+int64(ends[whole]) <= at {
				whole++
			}
			// Zeros over a frame's padding, or over bytes that were zero, take nothing.
			if len(seqs) < whole || len(seqs) > whole+1 && !truncate {
				t.Fatalf("%s: %d frames, want %d", what, len(seqs), whole)
			}
			wantSeqs(t, seqs, 1, uint64(len(seqs)))
			next := l.NextSeq()
			fill(t, l, 2, smallFrame)
			mustClose(t, l)
			l = open(t, opts)
			again, _ := readAll(t, l, 0, smallFrame)
			if len(again) != len(seqs)+2 || again[len(seqs)] != next {
				t.Fatalf("%s: then %v", what, again)
			}
			mustClose(t, l)
		}
	}
}

func TestFlippedByteAtEveryOffset(t *testing.T) {
	files, ends := killedLog(t, 80)
	dir := filepath.Join(memDir(t), "flipped")
	step := 1
	if testing.Short() {
		step = 7
	}
	for name, content := range files {
		limit := len(content)
		if base, ok := parseSegmentName(name); ok && base > ends[len(ends)-1] {
			limit = segmentHeaderSize + 64 // a spare: zeros all the way
		} else if ok && int64(ends[len(ends)-1]-base)+segmentHeaderSize < int64(limit) {
			limit = segmentHeaderSize + int(ends[len(ends)-1]-base) + 64
		}
		for at := 0; at < limit; at += step {
			flipped := map[string][]byte{}
			for n, b := range files {
				flipped[n] = b
			}
			flipped[name] = bytes.Clone(content)
			flipped[name][at] ^= 1 << (at % 8)
			writeFiles(t, dir, flipped)
			what := fmt.Sprintf("%s flipped at %d", name, at)
			if missing := checkSurvivors(t, dir, what, ends); missing > 1 {
				t.Fatalf("%s: %d frames are lost", what, missing)
			}
		}
	}
}

func TestPagesLostInThePowerCut(t *testing.T) {
	dir := memDir(t)
	opts := Options{Dir: dir, SegmentBytes: 64 << 10}
	l := open(t, opts)
	ends := fill(t, l, 300, 200)
	killed := memDir(t)
	copyLog(t, dir, killed)
	path := filepath.Join(killed, segmentName(0))
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	clear(b[8192:16384]) // never written, while what follows was
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	opts.Dir = killed
	l = open(t, opts)
	seqs, damaged := readAll(t, l, 0, 200)
	if len(damaged) != 1 || damaged[0].Missing() != uint64(300-len(seqs)) || seqs[len(seqs)-1] != 300 || l.End() != ends[299] {
		t.Fatalf("%d frames to %d, damage %+v, end %d of %d", len(seqs), seqs[len(seqs)-1], damaged, l.End(), ends[299])
	}
	if got := l.Damaged(); len(got) != 1 || got[0] != damaged[0] {
		t.Errorf("listed: %+v, read: %+v", got, damaged)
	}
	if st := l.Stats(); st.DamagedRanges != 1 || st.DamagedFrames != damaged[0].Missing() || st.DamagedBytes != uint64(damaged[0].To-damaged[0].From) {
		t.Errorf("stats: %+v", st)
	}
	raw, err := l.ReadRaw(damaged[0].From, damaged[0].To, nil)
	if err != nil || len(raw) != int(damaged[0].To-damaged[0].From) {
		t.Errorf("raw: %d bytes, %v", len(raw), err)
	}
	// The same range, frozen, is the same batch however often it is read.
	var one, two Batch
	if err := errors.Join(l.ReadRange(0, l.End(), &one), l.ReadRange(0, l.End(), &two)); err != nil {
		t.Fatal(err)
	}
	if one.Token() != two.Token() || len(one.Frames) != len(two.Frames) || len(one.Damaged) != 1 {
		t.Errorf("%s and %s, %+v", one.Token(), two.Token(), one.Damaged)
	}
}

func TestUnsyncedPositionsAreNotReusedAfterAPowerCut(t *testing.T) {
	dir := memDir(t)
	opts := Options{Dir: dir, SegmentBytes: 64 << 10}
	l := open(t, opts)
	c, err := l.Cursor("sink")
	if err != nil {
		t.Fatal(err)
	}
	ends := fill(t, l, 100, 200)
	if err := errors.Join(c.Freeze(ends[70]), c.Advance(ends[70])); err != nil {
		t.Fatal(err)
	}
	f := func(what string, change func(path string), keepSession bool, jumps bool) {
		t.Helper()
		killed := memDir(t)
		copyLog(t, dir, killed)
		path := filepath.Join(killed, segmentName(0))
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		clear(b[ends[50]+segmentHeaderSize:])
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if !keepSession {
			m, err := os.ReadFile(filepath.Join(killed, metaName))
			if err != nil {
				t.Fatal(err)
			}
			encodeSession(m[sessionAt:], "another boot", false)
			if err := os.WriteFile(filepath.Join(killed, metaName), m, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		change(killed)
		o := opts
		o.Dir = killed
		l := open(t, o)
		if jumped := l.End() > ends[50]; jumped != jumps {
			t.Errorf("%s: end %d after frames to %d", what, l.End(), ends[50])
		}
		if jumps && (l.End() < ends[99] || l.NextSeq() <= 51) {
			t.Errorf("%s: end %d, next number %d", what, l.End(), l.NextSeq())
		}
		at := l.End()
		next := l.NextSeq()
		fill(t, l, 5, 200)
		seqs, _ := readAll(t, l, at, 200)
		wantSeqs(t, seqs, next, next+4)
		kept := 51
		for _, name := range l.Cursors() {
			c, err := l.Cursor(name)
			if err != nil {
				t.Fatal(err)
			}
			if seqs, _ := readAll(t, l, c.Position(), 200); len(seqs) != 5 {
				t.Errorf("%s: the cursor sees %v", what, seqs)
			}
			kept = 0
		}
		mustClose(t, l)
		l = open(t, o)
		all, _ := readAll(t, l, 0, 200)
		if len(all) < 5 || kept > 0 && len(all) != kept+5 {
			t.Errorf("%s: then %v", what, all)
		}
	}
	removeCursor := func(dir string) {
		if err := os.Remove(filepath.Join(dir, "sink"+cursorSuffix)); err != nil {
			t.Fatal(err)
		}
	}
	f("a cursor stands beyond the end", func(string) {}, true, true)
	f("another boot", removeCursor, false, true)
	f("the same boot", removeCursor, true, false)
}

func TestIdentityIsFoundInSegments(t *testing.T) {
	files, ends := killedLog(t, 80)
	dir := filepath.Join(memDir(t), "meta")
	delete(files, metaName)
	writeFiles(t, dir, files)
	if n := checkSurvivors(t, dir, "no meta file", ends); n != 0 {
		t.Errorf("%d frames lost", n)
	}
	for name := range files {
		if _, ok := parseSegmentName(name); ok {
			files[name] = bytes.Clone(files[name])
			clear(files[name][:64])
		}
	}
	writeFiles(t, dir, files)
	opts := smallOpts
	opts.Dir = dir
	if l, err := Open(opts); err == nil {
		_ = l.Close()
		t.Error("opened a log that nothing identifies")
	}
}

func TestCleanCloseSparesTheScan(t *testing.T) {
	dir := memDir(t)
	opts := Options{Dir: dir, SegmentBytes: 64 << 10}
	l := open(t, opts)
	ends := fill(t, l, 100, 200)
	mustClose(t, l)
	b, err := os.ReadFile(filepath.Join(dir, segmentName(0)))
	if err != nil {
		t.Fatal(err)
	}
	c, ok := decodeCheckpoint(b[checkpointAt:], 64<<10)
	if !ok || c.sealed || c.end != segmentHeaderSize+int64(ends[99]) || c.nextSeq != 101 || c.frames != 100 {
		t.Fatalf("checkpoint: %+v", c)
	}
	l = open(t, opts)
	more := fill(t, l, 100, 200) // the checkpoint is stale from here on
	killed := memDir(t)
	copyLog(t, dir, killed)
	opts.Dir = killed
	l = open(t, opts)
	seqs, _ := readAll(t, l, 0, 200)
	wantSeqs(t, seqs, 1, 200)
	if l.End() != more[99] || l.Stats().Frames != 200 {
		t.Errorf("end %d of %d, %d frames", l.End(), more[99], l.Stats().Frames)
	}
}

// badSector is a segment file with a page that can't be read.
type badSector struct {
	b       []byte
	lo, hi  int64
	reached int
}

func (f *badSector) ReadAt(p []byte, off int64) (int, error) {
	end := min(off+int64(len(p)), int64(len(f.b)))
	if off >= f.lo && off < f.hi {
		f.reached++
		return 0, errors.New("input/output error")
	}
	if off < f.lo && end > f.lo {
		return copy(p, f.b[off:f.lo]), errors.New("input/output error")
	}
	n := copy(p, f.b[off:end])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func TestUnreadablePagesAreSteppedOver(t *testing.T) {
	dir := memDir(t)
	l := open(t, Options{Dir: dir, SegmentBytes: 64 << 10})
	ends := fill(t, l, 200, 200)
	b, err := os.ReadFile(filepath.Join(dir, segmentName(0)))
	if err != nil {
		t.Fatal(err)
	}
	f := &badSector{b: b, lo: 8192, hi: 12288}
	var sc scanner
	sc.reset(l.sealer, f, 0, segmentHeaderSize+int64(ends[199]))
	seen, off := 0, int64(segmentHeaderSize)
	for off < sc.limit {
		payload, seq, ok, _ := sc.frame(off)
		if !ok {
			next, found := sc.resync(off)
			if !found || next < f.hi {
				t.Fatalf("from %d: %d, %v", off, next, found)
			}
			off = next
			continue
		}
		if err := sameFrame(payload, seq, 200); err != nil {
			t.Fatal(err)
		}
		seen++
		off += frameSize(len(payload))
	}
	if f.reached == 0 || seen < 140 || seen >= 199 {
		t.Errorf("%d frames seen, %d bad reads", seen, f.reached)
	}
}

func TestAFrameIsValidInItsPlaceOnly(t *testing.T) {
	s := sealer{salt: 7}
	b := make([]byte, 64)
	copy(b[16:], "payload")
	binary.LittleEndian.PutUint64(b, s.seal(b, 4096, 7, 9))
	f := func(what string, s sealer, pos Position, want bool) {
		t.Helper()
		h := s.header(b, pos, 64)
		if got := h.ok && s.valid(b, pos, h); got != want {
			t.Errorf("%s: valid is %v", what, got)
		}
		h.ok = true
		if got := s.valid(b, pos, h); got != want {
			t.Errorf("%s: checksum right is %v", what, got)
		}
	}
	f("its place", s, 4096, true)
	f("another place", s, 4104, false)
	f("another log", sealer{salt: 8}, 4096, false)
	if h := s.header(b, 4096, 16); h.ok {
		t.Error("a length beyond the room passes")
	}
}
