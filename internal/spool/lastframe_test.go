package spool

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// spoilt is a closed log of ten frames, with the bytes of the last one changed, and the
// position of that one.
func spoilt(t *testing.T, spoil func(frame []byte)) (dir string, last Position) {
	t.Helper()
	dir = t.TempDir()
	log, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		last = log.End()
		if _, err = log.Append(fmt.Appendf(nil, "the frame with the number %03d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	spoil(b[segmentHeaderSize+int64(last) : len(bytes.TrimRight(b, "\x00"))])
	if err := os.WriteFile(files[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, last
}

// A reader that had read up to the last frame finds its header damaged after a restart,
// and nothing tells it which number it was to have but the frames before it.
func TestADamagedLastHeaderIsMissedByWhoBeginsThere(t *testing.T) {
	for name, spoil := range map[string]func(frame []byte){
		"the length":  func(f []byte) { f[0] ^= 1 },
		"the check":   func(f []byte) { f[15] ^= 1 },
		"all of it":   func(f []byte) { clear(f[1:]) },
		"the payload": func(f []byte) { f[len(f)-4] ^= 1 },
	} {
		dir, last := spoilt(t, spoil)
		log, err := Open(Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		var b Batch
		if err := log.ReadBatch(last, 0, 0, &b); err != nil {
			t.Fatal(err)
		}
		if len(b.Frames) != 0 || len(b.Damaged) != 1 || b.Damaged[0].FirstSeq != 10 || b.Damaged[0].NextSeq != 11 {
			t.Errorf("%s: %d frames and the damage %+v, want the number 10", name, len(b.Frames), b.Damaged)
		}
		if seq := log.NextSeq(); seq != 11 {
			t.Errorf("%s: the next frame gets the number %d, want 11", name, seq)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Where the frame before, which was read, is damaged by now too, it is not called
// missing.
func TestADamageThatWasReadBeforeIsNotMissed(t *testing.T) {
	var dir string
	var last Position
	dir, last = spoilt(t, func(f []byte) { f[0] ^= 1 })
	files, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	b[segmentHeaderSize+int64(last)-12] ^= 1 // in the payload of the frame before
	if err := os.WriteFile(files[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	var batch Batch
	if err := log.ReadBatch(last, 0, 0, &batch); err != nil {
		t.Fatal(err)
	}
	if len(batch.Damaged) != 1 || batch.Damaged[0].FirstSeq != 10 || batch.Damaged[0].NextSeq != 11 {
		t.Errorf("the damage %+v, want the number 10 alone", batch.Damaged)
	}
}

// The last frame of a log that was closed goes bad, and it is read before anything is
// appended behind it: the reader, who does not come past it again, must hear of it.
func TestADamagedLastFrameIsMissedAtOnce(t *testing.T) {
	const frames = 10
	const last = uint64(frames) // numbers begin with 1
	dir, _ := spoilt(t, func(f []byte) { f[len(f)-4] ^= 1 })
	log, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	var batch Batch
	if err := log.ReadBatch(0, 0, 0, &batch); err != nil {
		t.Fatal(err)
	}
	if len(batch.Frames) != frames-1 || len(batch.Damaged) != 1 || batch.Damaged[0].FirstSeq != last || batch.Damaged[0].Missing() != 1 {
		t.Errorf("%d frames and the damage %+v, want %d and the number %d", len(batch.Frames), batch.Damaged, frames-1, last)
	}
	if _, err := log.Append([]byte("the one behind")); err != nil {
		t.Fatal(err)
	}
	// One who had looked where the end was before that, and reads now, hears of it too.
	var late Batch
	late.begin(log, 0)
	if err := log.read(&late, batch.To, batch.To, math.MaxInt, math.MaxInt); err != nil {
		t.Fatal(err)
	}
	if len(late.Damaged) != 1 || late.Damaged[0].Missing() != 1 {
		t.Errorf("read late: damage %+v", late.Damaged)
	}
	if err := log.ReadBatch(batch.To, 0, 0, &batch); err != nil {
		t.Fatal(err)
	}
	if len(batch.Frames) != 1 || batch.Seqs[0] != last+1 || len(batch.Damaged) != 0 {
		t.Errorf("behind it: %d frames %v, damage %+v", len(batch.Frames), batch.Seqs, batch.Damaged)
	}
}
