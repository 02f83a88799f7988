package spool

import (
	"fmt"
	"testing"
)

func TestSmoke(t *testing.T) {
	dir := t.TempDir()
	for round := range 5 {
		l, err := Open(Options{Dir: dir, SegmentBytes: 8192, MaxBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 50 {
			to, err := l.AppendFunc(false, func(dst []byte, seq uint64) []byte { return fmt.Appendf(dst, "frame %d %0*d", seq, i*10, 7) })
			if err != nil {
				t.Fatal(err)
			}
			if i%10 == 0 {
				if err := l.Sync(t.Context(), to); err != nil {
					t.Fatal(err)
				}
			}
		}
		var b Batch
		n := 0
		for at := l.Start(); ; at = b.To {
			if err := l.ReadBatch(at, 1000, 10, &b); err != nil {
				t.Fatal(err)
			}
			if b.Empty() {
				break
			}
			for i, f := range b.Frames {
				n++
				if b.Seqs[i] != uint64(n) {
					t.Fatal(b.Seqs[i], n)
				}
				var seq int
				fmt.Sscanf(string(f), "frame %d", &seq)
				if seq != n {
					t.Fatalf("%q at %d", f, n)
				}
			}
			if len(b.Damaged) > 0 {
				t.Fatal(b.Damaged)
			}
		}
		if n != 50*(round+1) {
			t.Fatal(n, round)
		}
		t.Logf("%+v", l.Stats())
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
