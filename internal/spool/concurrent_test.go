package spool

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// TestEverythingAtOnce has appenders, syncers, readers with cursors, and stats
// work on one small log, which wraps around many times.
func TestEverythingAtOnce(t *testing.T) {
	const writers, each, most = 6, 1500, 2000
	for _, durable := range []bool{false, true} {
		t.Run(fmt.Sprintf("durable=%v", durable), func(t *testing.T) {
			l := open(t, Options{Dir: t.TempDir(), SegmentBytes: 64 << 10, MaxBytes: 1 << 20, DurableOnly: durable})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var appending, reading sync.WaitGroup
			for _, name := range []string{"one", "two"} {
				c, err := l.Cursor(name)
				if err != nil {
					t.Fatal(err)
				}
				reading.Go(func() {
					defer cancel()
					var b Batch
					for next := uint64(1); next <= writers*each; {
						if err := l.Wait(ctx, c.Position()); err != nil {
							t.Error(err)
							return
						}
						if err := l.ReadBatch(c.Position(), 64<<10, 100, &b); err != nil || len(b.Damaged) > 0 {
							t.Error(err, b.Damaged)
							return
						}
						if durable && b.To > l.Durable() {
							t.Errorf("read to %d, durable to %d", b.To, l.Durable())
						}
						for i, f := range b.Frames {
							if err := sameFrame(f, b.Seqs[i], most); err != nil || b.Seqs[i] != next {
								t.Errorf("number %d, want %d: %v", b.Seqs[i], next, err)
								return
							}
							next++
						}
						if b.Empty() {
							continue
						}
						if err := errors.Join(c.Freeze(b.To), c.Advance(b.To)); err != nil {
							t.Error(err)
							return
						}
					}
					<-ctx.Done()
				})
			}
			var refused atomic.Int64
			for w := range writers {
				appending.Go(func() {
					for n := 0; n < each && ctx.Err() == nil; {
						to, err := l.AppendFunc(n%10 == 0, func(dst []byte, seq uint64) []byte { return frame(dst, seq, most) })
						if errors.Is(err, ErrFull) {
							refused.Add(1)
							if s := l.End(); durable && l.Sync(ctx, s) != nil {
								return
							}
							_ = l.Stats()
							continue
						}
						if err != nil {
							t.Error(err)
							return
						}
						if n++; durable || n%(w+20) == 0 {
							if err := l.Sync(ctx, to); err != nil {
								t.Error(err)
								return
							}
							if l.Durable() < to {
								t.Errorf("synced to %d, durable to %d", to, l.Durable())
							}
						}
					}
				})
			}
			appending.Wait()
			eventually(t, "cursors at the end", func() bool {
				at, _ := l.slowest()
				return at == l.End() || ctx.Err() != nil
			})
			cancel()
			reading.Wait()
			st := l.Stats()
			if st.Appends != writers*each || st.SegmentsFreed == 0 || st.DiskBytes > 1<<20 || st.DamagedRanges != 0 {
				t.Errorf("stats: %+v", st)
			}
			t.Logf("%d refused when full, %d segments freed, %d fsyncs", refused.Load(), st.SegmentsFreed, st.Syncs)
		})
	}
}
