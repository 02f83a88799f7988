package chaos

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/internal/spool"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// recorder keeps what spools accepted, whoever dies: every segment file of them has
// a second name in the recorder's own directory, where no spool deletes it.
type recorder struct {
	t      *testing.T
	dir    string
	spools []string // parents of slots
	stop   chan struct{}
	done   chan struct{}

	mu sync.Mutex
	// links are the recorder's names for each file, the latest last: a segment that
	// was prepared and never used makes room for another of the same name.
	links map[string][]string
	err   error
}

// startRecorder looks every few milliseconds: a segment lives at least as long as
// it takes to ship 16 MiB.
func startRecorder(t *testing.T, spools ...string) *recorder {
	r := &recorder{t: t, dir: t.TempDir(), spools: spools, stop: make(chan struct{}), done: make(chan struct{}), links: map[string][]string{}}
	go func() {
		defer close(r.done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			r.look()
			select {
			case <-tick.C:
			case <-r.stop:
				return
			}
		}
	}()
	t.Cleanup(func() { close(r.stop); <-r.done })
	return r
}

func (r *recorder) look() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, parent := range r.spools {
		for _, pattern := range []string{"meta", "????????????????.*"} {
			files, err := filepath.Glob(filepath.Join(parent, "slot-*", pattern))
			r.err = errors.Join(r.err, err)
			for _, f := range files {
				r.link(f)
			}
		}
	}
}

func (r *recorder) link(f string) {
	info, err := os.Stat(f)
	if err != nil {
		return // it is gone already
	}
	inode := info.Sys().(*syscall.Stat_t).Ino //nolint:forcetypeassert // on Linux it is one
	name := fmt.Sprintf("%s/%d-%s", r.dir, inode, strings.ReplaceAll(strings.Trim(f, "/"), "/", "_"))
	if known := r.links[f]; len(known) > 0 && known[len(known)-1] == name {
		return
	}
	if err := os.Link(f, name); errors.Is(err, fs.ErrNotExist) {
		return
	} else if err != nil && !errors.Is(err, fs.ErrExist) {
		r.err = errors.Join(r.err, err)
		return
	}
	r.links[f] = append(r.links[f], name)
}

// emitted is what stands in the spools: the agents' own word for what happened.
type emitted struct {
	events map[timeline.ID]timeline.Event
	// shed is how many numbers tombstones stand for.
	shed uint64
}

// read decodes copies of everything that was recorded. The spools must be at rest.
func (r *recorder) read() emitted {
	r.t.Helper()
	r.look()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		r.t.Fatal(r.err)
	}
	got := emitted{events: map[timeline.ID]timeline.Event{}}
	slots := map[string]string{} // slot → its copy
	for f, links := range r.links {
		slot := filepath.Dir(f)
		if slots[slot] == "" {
			slots[slot] = r.t.TempDir()
		}
		b, err := os.ReadFile(links[len(links)-1])
		if err != nil {
			r.t.Fatal(err)
		}
		copied := filepath.Join(slots[slot], filepath.Base(f))
		// What was prepared and not written is zeros, which need no room.
		if err := errors.Join(os.WriteFile(copied, bytes.TrimRight(b, "\x00"), 0o600), os.Truncate(copied, int64(len(b)))); err != nil {
			r.t.Fatal(err)
		}
	}
	for slot, copied := range slots {
		r.readLog(slot, copied, &got)
	}
	return got
}

func (r *recorder) readLog(slot, dir string, into *emitted) {
	r.t.Helper()
	log, err := spool.Open(spool.Options{Dir: dir})
	if err != nil {
		r.t.Fatal(err)
	}
	defer log.Close()
	var b spool.Batch
	var rec wire.Record
	next := uint64(0)
	for at := log.Start(); at < log.End(); at = b.To {
		if err := log.ReadBatch(at, 1<<20, 10_000, &b); err != nil {
			r.t.Fatalf("read the record of %s: %v", slot, err)
		}
		if len(b.Damaged) > 0 {
			r.t.Errorf("the record of %s is damaged: %+v", slot, b.Damaged)
		}
		for i, f := range b.Frames {
			if err := wire.DecodeLogRecord(f, &rec); err != nil {
				r.t.Fatalf("decode a frame of %s: %v", slot, err)
			}
			var e timeline.Event
			rec.Event(&e)
			if e.Type == timeline.Tombstone {
				into.shed += e.Gap.To - e.Gap.From + 1
			}
			if next != 0 && b.Seqs[i] != next && into.shed == 0 {
				r.t.Errorf("%s: number %d follows %d, and nothing says why", slot, b.Seqs[i], next-1)
			}
			next = b.Seqs[i] + 1
			if e.SourceSeq != b.Seqs[i] {
				r.t.Errorf("%s: event %s says number %d and stands at %d", slot, e.ID, e.SourceSeq, b.Seqs[i])
			}
			into.events[e.ID] = e
		}
		if b.Empty() {
			break
		}
	}
}
