package spool

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// The last frame of a log that was closed goes bad, and it is read before anything is
// appended behind it: the reader, who does not come past it again, must hear of it.
func TestADamagedLastFrameIsMissedAtOnce(t *testing.T) {
	dir := t.TempDir()
	log, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	const frames = 10
	const last = uint64(frames) // numbers begin with 1
	for i := range frames {
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
	b[len(bytes.TrimRight(b, "\x00"))-4] ^= 1
	if err := os.WriteFile(files[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	if log, err = Open(Options{Dir: dir}); err != nil {
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
