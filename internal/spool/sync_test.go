package spool

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// openHooked opens a log whose fsyncs go through fn from the start.
func openHooked(t *testing.T, opts Options, fn func(*segment) error) *Log {
	t.Helper()
	opts.syncSegment = fn
	return open(t, opts)
}

func TestConcurrentSyncsShareOneFsync(t *testing.T) {
	gate, entered := make(chan struct{}), make(chan struct{}, 100)
	var blocking atomic.Bool
	l := openHooked(t, Options{Dir: t.TempDir()}, func(s *segment) error {
		if blocking.Load() {
			entered <- struct{}{}
			<-gate
		}
		return s.sync()
	})
	blocking.Store(true)
	first := fill(t, l, 1, 50)[0]
	var wg sync.WaitGroup
	syncTo := func(to Position) {
		wg.Go(func() {
			if err := l.Sync(t.Context(), to); err != nil {
				t.Error(err)
			}
		})
	}
	syncTo(first)
	<-entered // the first fsync is under way
	for range 50 {
		syncTo(fill(t, l, 1, 50)[0])
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	mine := errors.New("mine")
	cancel(mine)
	if err := l.Sync(ctx, l.End()); !errors.Is(err, mine) {
		t.Errorf("cancelled: %v", err)
	}
	if l.Durable() != 0 {
		t.Errorf("durable to %d before an fsync ended", l.Durable())
	}
	eventually(t, "all asked", func() bool { return l.syncs.wanted.Load() == uint64(l.End()) })
	close(gate)
	wg.Wait()
	if st := l.Stats(); st.Syncs > 4 || st.Durable != l.End() {
		t.Errorf("%d fsyncs for 51 callers, durable %d of %d", st.Syncs, st.Durable, st.End)
	}
	if err := l.Sync(t.Context(), l.End()+8); !errors.Is(err, ErrBadPosition) {
		t.Errorf("beyond the end: %v", err)
	}
}

func TestFailedFsyncIsForGood(t *testing.T) {
	for _, durable := range []bool{false, true} {
		var fails atomic.Bool
		broken := errors.New("broken disk")
		l := openHooked(t, Options{Dir: t.TempDir(), DurableOnly: durable}, func(s *segment) error {
			if fails.Swap(false) { // the next one would succeed, and prove nothing
				return broken
			}
			return s.sync()
		})
		good := fill(t, l, 1, 50)[0]
		if err := l.Sync(t.Context(), good); err != nil {
			t.Fatal(err)
		}
		fails.Store(true)
		bad := fill(t, l, 1, 50)[0]
		for range 3 {
			if err := l.Sync(t.Context(), bad); !errors.Is(err, ErrSyncFailed) || !errors.Is(err, broken) {
				t.Fatalf("sync: %v", err)
			}
		}
		if err := l.Sync(t.Context(), good); err != nil {
			t.Errorf("what was durable before: %v", err)
		}
		_, err := l.Append([]byte("more"))
		if durable != errors.Is(err, ErrSyncFailed) {
			t.Errorf("append (durable only: %v): %v", durable, err)
		}
		if st := l.Stats(); !errors.Is(st.SyncFailed, ErrSyncFailed) || st.Durable != good {
			t.Errorf("stats: %+v", st)
		}
		if err := l.Close(); !errors.Is(err, ErrSyncFailed) {
			t.Errorf("close: %v", err)
		}
	}
}

func TestDurableOnlyReadersSeeNothingUnsynced(t *testing.T) {
	l := open(t, Options{Dir: t.TempDir(), DurableOnly: true})
	to := fill(t, l, 3, 50)[2]
	var b Batch
	if err := l.ReadBatch(0, 0, 0, &b); err != nil || !b.Empty() {
		t.Fatalf("read %d frames, %v", len(b.Frames), err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := l.Wait(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wait: %v", err)
	}
	if err := l.ReadRange(0, to, &b); !errors.Is(err, ErrBadPosition) {
		t.Errorf("range: %v", err)
	}
	waited := make(chan error)
	go func() { waited <- l.Wait(context.Background(), 0) }()
	if err := l.Sync(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Error(err)
	}
	if err := l.ReadBatch(0, 0, 0, &b); err != nil || len(b.Frames) != 3 || b.To != to {
		t.Errorf("read %d frames to %d, %v", len(b.Frames), b.To, err)
	}
}

func TestWaiting(t *testing.T) {
	l := open(t, Options{Dir: t.TempDir()})
	waited := make(chan error)
	go func() { waited <- l.Wait(context.Background(), 0) }()
	fill(t, l, 1, 50)
	if err := <-waited; err != nil {
		t.Error(err)
	}
	end := l.End()
	go func() { waited <- l.Wait(context.Background(), end) }()
	go func() { waited <- l.WaitDurable(context.Background(), end) }()
	mustClose(t, l)
	for range 2 {
		if err := <-waited; !errors.Is(err, ErrClosed) {
			t.Errorf("wait over the close: %v", err)
		}
	}
}

func TestMarkWakesOnlyThoseItPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMark()
		at := Position(0)
		woken := make(chan Position, 2)
		for _, after := range []Position{10, 20} {
			go func() {
				err := m.wait(t.Context(), nil, after, func() (bool, error) { return at > after, nil })
				if err == nil {
					woken <- after
				}
			}()
		}
		synctest.Wait()
		at = 10
		m.raise(at)
		synctest.Wait()
		if len(woken) != 0 {
			t.Error("woken by the position that is not to be passed")
		}
		at = 11
		m.raise(at)
		synctest.Wait()
		if len(woken) != 1 || <-woken != 10 {
			t.Error("10 is not woken by 11")
		}
		at = 30
		m.raise(at)
		synctest.Wait()
		if len(woken) != 1 || <-woken != 20 {
			t.Error("20 is not woken by 30, after a wake-up in vain")
		}
	})
}

// TestSegmentDeletedUnderASync has a cursor pass segments that are settled and
// not yet counted as durable, while a Sync is under way that covers them.
func TestSegmentDeletedUnderASync(t *testing.T) {
	entered, gate := make(chan struct{}, 1), make(chan struct{})
	var blocking atomic.Bool
	l := openHooked(t, Options{Dir: t.TempDir(), SegmentBytes: 8 << 10}, func(s *segment) error {
		if blocking.CompareAndSwap(true, false) {
			entered <- struct{}{}
			<-gate
		}
		return s.sync()
	})
	c, err := l.Cursor("c")
	if err != nil {
		t.Fatal(err)
	}
	ends := fill(t, l, 40, 1500)
	end := ends[len(ends)-1]
	full := len(*l.segs.Load()) - 1
	if full < 2 {
		t.Fatalf("%d full segments", full)
	}
	eventually(t, "settled", func() bool { return (*l.segs.Load())[full-1].settled.Load() })
	if l.Durable() != 0 {
		t.Fatalf("durable to %d before a Sync", l.Durable())
	}
	blocking.Store(true)
	synced := make(chan error, 1)
	go func() { synced <- l.Sync(context.Background(), end) }()
	<-entered
	err = c.Advance(end)
	if err == nil {
		eventually(t, "deleted", func() bool { return l.Stats().SegmentsFreed == uint64(full) })
	}
	close(gate)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-synced; err != nil || l.Durable() < end {
		t.Errorf("sync: %v, durable to %d of %d", err, l.Durable(), end)
	}
}
