// Package spool_test measures our log beside two that are often used in its place,
// in one binary and one run: events of 250 bytes, appended alone, with an fsync
// each 1 000, and by 64 writers that each wait for theirs.
package spool_test

import (
	"bytes"
	"encoding/binary"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidwall/wal"
	"go.etcd.io/bbolt"

	"github.com/tasktrail/tasktrail/internal/spool"
)

const (
	group   = 1000
	writers = 64
)

var event = bytes.Repeat([]byte("e"), 250)

// journal is what is measured. append and commit are called by one goroutine,
// durable by many.
type journal struct {
	append  func() error
	commit  func() error // everything appended is on the disk
	durable func() error // append, and wait until it is on the disk
	close   func() error
}

func ours(b *testing.B, durableOnly bool) journal {
	b.Helper()
	l, err := spool.Open(spool.Options{Dir: b.TempDir(), DurableOnly: durableOnly})
	if err != nil {
		b.Fatal(err)
	}
	c, err := l.Cursor("bench")
	if err != nil {
		b.Fatal(err)
	}
	// What was written is read at once, as a sink would: the log stays small.
	done := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if err := c.Advance(l.End()); err != nil {
					b.Error(err)
					return
				}
			}
		}
	})
	var to spool.Position
	return journal{
		append: func() (err error) { to, err = l.Append(event); return err },
		commit: func() error { return l.Sync(b.Context(), to) },
		durable: func() error {
			to, err := l.Append(event)
			if err == nil {
				err = l.Sync(b.Context(), to)
			}
			return err
		},
		close: func() error { close(done); reader.Wait(); return l.Close() },
	}
}

func tidwall(b *testing.B, sync1 bool) journal {
	b.Helper()
	l, err := wal.Open(filepath.Join(b.TempDir(), "wal"), &wal.Options{NoSync: !sync1, SegmentSize: 16 << 20})
	if err != nil {
		b.Fatal(err)
	}
	var mu sync.Mutex
	var index uint64
	write := func() error {
		mu.Lock()
		defer mu.Unlock()
		index++
		return l.Write(index, event)
	}
	return journal{append: write, commit: l.Sync, durable: write, close: l.Close}
}

func bolt(b *testing.B, noSync bool) journal {
	b.Helper()
	db, err := bbolt.Open(filepath.Join(b.TempDir(), "bolt"), 0o600, &bbolt.Options{NoSync: noSync, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		b.Fatal(err)
	}
	bucket := []byte("events")
	if err := db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket(bucket); return err }); err != nil {
		b.Fatal(err)
	}
	var seq atomic.Uint64
	key := func() []byte { return binary.BigEndian.AppendUint64(nil, seq.Add(1)) }
	var tx *bbolt.Tx
	commit := func() error {
		if tx == nil {
			return nil
		}
		t := tx
		tx = nil
		return t.Commit()
	}
	inTx := 0
	return journal{
		append: func() error {
			if tx == nil {
				if tx, err = db.Begin(true); err != nil {
					return err
				}
				tx.Bucket(bucket).FillPercent = 1
			}
			if err := tx.Bucket(bucket).Put(key(), event); err != nil {
				return err
			}
			if inTx++; inTx%group == 0 {
				return commit()
			}
			return nil
		},
		commit:  commit,
		durable: func() error { return db.Batch(func(tx *bbolt.Tx) error { return tx.Bucket(bucket).Put(key(), event) }) },
		close:   func() error { return db.Close() },
	}
}

var journals = []struct {
	name string
	open func(b *testing.B, sync bool) journal
}{
	{"ours", func(b *testing.B, sync bool) journal { return ours(b, sync) }},
	{"tidwall_wal", func(b *testing.B, _ bool) journal { return tidwall(b, false) }},
	{"bbolt", func(b *testing.B, sync bool) journal { return bolt(b, !sync) }},
}

// BenchmarkAppend is an event on its way to the disk, safe from the death of the
// process where the peer does that at all.
func BenchmarkAppend(b *testing.B) {
	for _, j := range journals {
		b.Run(j.name, func(b *testing.B) {
			w := j.open(b, false)
			b.ReportAllocs()
			for b.Loop() {
				if err := w.append(); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			if err := w.commit(); err != nil {
				b.Fatal(err)
			}
			if err := w.close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkGroupCommit is the same with an fsync each 1 000 events, its time shared
// among them.
func BenchmarkGroupCommit(b *testing.B) {
	for _, j := range journals {
		b.Run(j.name, func(b *testing.B) {
			w := j.open(b, true)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if err := w.append(); err != nil {
					b.Fatal(err)
				}
				if n++; n%group == 0 {
					if err := w.commit(); err != nil {
						b.Fatal(err)
					}
				}
			}
			if err := w.commit(); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			if err := w.close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkDurable64Writers is 64 goroutines that each wait until theirs is on the
// disk.
func BenchmarkDurable64Writers(b *testing.B) {
	for _, j := range journals {
		b.Run(j.name, func(b *testing.B) {
			var w journal
			if j.name == "tidwall_wal" {
				w = tidwall(b, true)
			} else {
				w = j.open(b, true)
			}
			b.ReportAllocs()
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ResetTimer()
			var all sync.WaitGroup
			for range writers {
				all.Go(func() {
					for left.Add(-1) >= 0 {
						if err := w.durable(); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "durable_events/s")
			if err := w.close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
