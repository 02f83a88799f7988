package spool

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// consume keeps a cursor at the end, so that a benchmark never fills its log.
func consume(b *testing.B, l *Log) (stop func()) {
	b.Helper()
	c, err := l.Cursor("bench")
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
				if err := c.Advance(l.End()); err != nil {
					b.Error(err)
					return
				}
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

// BenchmarkAppend is the cost of one event of 250 bytes to the goroutine that
// appends it, with another goroutine that deletes what was appended.
func BenchmarkAppend(b *testing.B) {
	event := bytes.Repeat([]byte("e"), 250)
	for _, c := range []struct {
		name string
		call func(l *Log) error
	}{
		{"copy", func(l *Log) error { _, err := l.Append(event); return err }},
		{"encode", func(l *Log) error {
			_, err := l.AppendFunc(false, func(dst []byte, seq uint64) []byte {
				return append(append(dst, byte(seq)), event...)
			})
			return err
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			l, err := Open(Options{Dir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			defer consume(b, l)()
			b.ReportAllocs()
			b.SetBytes(int64(len(event)))
			for b.Loop() {
				if err := c.call(l); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkAppendPaced is the same at a pace that the disk can keep: after each
// 1000 events the clock stands still until the pages ahead are there.
func BenchmarkAppendPaced(b *testing.B) {
	event := bytes.Repeat([]byte("e"), 250)
	l, err := Open(Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	defer consume(b, l)()
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if i%1000 == 0 {
			b.StopTimer()
			for !caughtUp(l) {
				runtime.Gosched()
			}
			b.StartTimer()
		}
		if _, err := l.Append(event); err != nil {
			b.Fatal(err)
		}
	}
}

// caughtUp tells that the keeper has nothing to do.
func caughtUp(l *Log) bool {
	l.mu.Lock()
	populated := l.populated >= min(l.off+populateAhead/2, l.active.size)
	ready := populated && (l.next != nil || l.off < l.active.size/2)
	s := l.active
	l.mu.Unlock()
	s.mapMu.Lock() // until the populating that is under way is done
	defer s.mapMu.Unlock()
	return ready && len(l.keepKick) == 0
}

// BenchmarkAppendSync64Writers is 64 goroutines that each append an event of 250
// bytes and wait until it is on the disk.
func BenchmarkAppendSync64Writers(b *testing.B) {
	event := bytes.Repeat([]byte("e"), 250)
	l, err := Open(Options{Dir: b.TempDir(), DurableOnly: true})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	defer consume(b, l)()
	b.ReportAllocs()
	var left atomic.Int64
	left.Store(int64(b.N))
	before := l.Stats().Syncs
	b.ResetTimer()
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				to, err := l.Append(event)
				if err == nil {
					err = l.Sync(b.Context(), to)
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	syncs := l.Stats().Syncs - before
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "durable_events/s")
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(syncs), "us/fsync")
	b.ReportMetric(float64(b.N)/float64(syncs), "events/fsync")
}

// BenchmarkGroupCommit is one goroutine with a sync every 1000 events: of those
// just appended, or of the thousand before, which the disk then writes while the
// next are appended.
func BenchmarkGroupCommit(b *testing.B) {
	event := bytes.Repeat([]byte("e"), 250)
	for _, name := range []string{"wait", "overlap"} {
		b.Run(name, func(b *testing.B) {
			l, err := Open(Options{Dir: b.TempDir(), DurableOnly: true})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			defer consume(b, l)()
			b.ReportAllocs()
			var to, before Position
			n := 0
			for b.Loop() {
				to, err = l.Append(event)
				if n++; err == nil && n%1000 == 0 {
					if name == "wait" {
						before = to
					}
					err = l.Sync(b.Context(), before)
					before = to
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			if err := l.Sync(b.Context(), to); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkRecover is opening a log that was killed: every frame of its last
// segment is checked.
func BenchmarkRecover(b *testing.B) {
	for _, size := range []int{250, 64 << 10} {
		b.Run(map[int]string{250: "250B", 64 << 10: "64KiB"}[size], func(b *testing.B) {
			dir, copied := b.TempDir(), b.TempDir()
			l, err := Open(Options{Dir: dir, SegmentBytes: 256 << 20, MaxBytes: 1 << 30})
			if err != nil {
				b.Fatal(err)
			}
			event := bytes.Repeat([]byte("e"), size)
			for l.End() < 200<<20 {
				if _, err := l.Append(event); err != nil {
					b.Fatal(err)
				}
			}
			copyLog(b, dir, copied)
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
			s, err := openSegment(filepath.Join(copied, segmentName(0)), 0)
			if err != nil {
				b.Fatal(err)
			}
			defer s.file.Close()
			b.SetBytes(200 << 20)
			b.ReportAllocs()
			for b.Loop() {
				l := &Log{opts: Options{}.withDefaults(), who: l.who, sealer: l.sealer}
				l.log = l.opts.Logger
				l.segs.Store(&[]*segment{s})
				if err := l.readSegments(); err != nil || s.end < 200<<20 {
					b.Fatal(err, s.end)
				}
			}
		})
	}
}

// BenchmarkRead is a reader of batches of a mebibyte.
func BenchmarkRead(b *testing.B) {
	l, err := Open(Options{Dir: b.TempDir(), SegmentBytes: 64 << 20, MaxBytes: 256 << 20})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	event := bytes.Repeat([]byte("e"), 250)
	for l.End() < 32<<20 {
		if _, err := l.Append(event); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	var batch Batch
	at := Position(0)
	for b.Loop() {
		if err := l.ReadBatch(at, 1<<20, 0, &batch); err != nil {
			b.Fatal(err)
		}
		if at = batch.To; at > 30<<20 {
			at = 0
		}
	}
}

// copyLog copies a log's files as a kill would leave them.
func copyLog(tb testing.TB, from, to string) {
	tb.Helper()
	entries, err := os.ReadDir(from)
	if err != nil {
		tb.Fatal(err)
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".tmp" { // the keeper may rename it meanwhile
			continue
		}
		b, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, e.Name()), b, 0o600)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
}
