package chaos

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/app/uptest"
	"github.com/tasktrail/tasktrail/internal/proctest"
	"github.com/tasktrail/tasktrail/internal/spool"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

const (
	damagedTasks = 60
	flips        = 5
	// torn is less than the last frame.
	torn = 24
)

// The disk spoils what stands in an agent's spool and in a collector's log while
// their processes are down: single bits anywhere, and the last page of the log. What
// is not spoiled is stored, and each number that is not stored is declared.
func TestChaosOfDamagedLogs(t *testing.T) {
	first := *seed
	if first == 0 {
		first = uint64(time.Now().UnixNano())
	}
	u := uptest.Start(t)
	for round := range *rounds {
		n := first + uint64(round)
		t.Logf("round %d: -seed %d", round+1, n)
		r := rand.New(rand.NewPCG(n, 1))
		damagedSpool(t, u, r, round)
		damagedCollector(t, u, r, round)
		if t.Failed() {
			t.Fatalf("round %d failed: go test ./chaos -run TestChaosOfDamagedLogs -seed %d", round+1, n)
		}
	}
}

// recordTasks has an agent record tasks, and closes it. With shipped, the collector has
// taken all of them, in requests of ten; without, they stay in the spool.
func recordTasks(t *testing.T, u *uptest.Up, collector, dir, prefix string, tasks int, shipped bool) {
	t.Helper()
	a, err := agent.New(agent.Config{CollectorURL: collector, Token: u.Token, SpoolDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := within(t.Context(), 30*time.Second)
	defer stop()
	for i := range tasks {
		task := agent.Task{Task: timeline.Task{ID: fmt.Sprintf("%s-%d", prefix, i), Type: "payment", Queue: "damaged"}}
		if _, err := a.Do(ctx, task, func(context.Context, agent.Task) (agent.Result, error) { return agent.Result{}, nil }); err != nil {
			t.Fatal(err)
		}
		if shipped && i%10 == 9 {
			if err := a.Flush(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	if shipped {
		if err := a.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	_ = a.Close(ctx) // that not everything was shipped is what may be wanted
}

// original reads a copy of a spool: its log's id, and the numbers in it.
func original(t *testing.T, spools string) (source string, numbers []uint64) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(spools, "slot-0000"))); err != nil {
		t.Fatal(err)
	}
	log, err := spool.Open(spool.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	var b spool.Batch
	for at := log.Start(); at < log.End() && (at == log.Start() || !b.Empty()); at = b.To {
		if err := log.ReadBatch(at, 1<<20, 10_000, &b); err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, b.Seqs...)
	}
	return log.ID(), numbers
}

// written returns the log's last file and how much of it was written.
func written(t *testing.T, dir string) (file string, size int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files { // by name, which is by position
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(bytes.TrimRight(b, "\x00")); n > segmentHeader {
			file, size = f, n
		}
	}
	return file, size
}

// segmentHeader is what stands in a segment before its first frame.
const segmentHeader = 128

// spoil flips bits of the file between two places, and tears what is before the
// second of them.
func spoil(t *testing.T, r *rand.Rand, file string, from, to, bits int) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	one := make([]byte, 1)
	for range bits {
		at := int64(from + r.IntN(to-from))
		_, err := f.ReadAt(one, at)
		one[0] ^= 1 << r.IntN(8)
		_, werr := f.WriteAt(one, at)
		if err := errors.Join(err, werr); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.WriteAt(make([]byte, torn), int64(to-torn)); err != nil {
		t.Fatal(err)
	}
}

// fate is what became of a source's numbers.
type fate struct {
	stored   map[uint64]bool
	declared map[uint64]bool // by tombstones
}

func fateOf(u *uptest.Up, source string) (fate, error) {
	got := fate{map[uint64]bool{}, map[uint64]bool{}}
	out, err := u.SQL("SELECT hex(record) FROM events FINAL FORMAT TSV")
	if err != nil {
		return got, err
	}
	var rec wire.Record
	for line := range strings.Lines(out) {
		b, err := hex.DecodeString(strings.TrimSpace(line))
		if err == nil {
			err = wire.DecodeLogRecord(b, &rec)
		}
		if err != nil {
			return got, err
		}
		if string(rec.SourceID) != source {
			continue
		}
		var e timeline.Event
		rec.Event(&e)
		got.stored[e.SourceSeq] = true
	}
	gaps, err := u.SQL("SELECT from_seq, to_seq FROM gaps FINAL WHERE source_id = '" + source + "' FORMAT TSV")
	for line := range strings.Lines(gaps) {
		var from, to uint64
		if _, err := fmt.Sscan(line, &from, &to); err != nil {
			return got, fmt.Errorf("the gap %q: %w", line, err)
		}
		for n := from; n <= to; n++ {
			got.declared[n] = true
		}
	}
	return got, err
}

// damagedSpool: an agent is away from its collector, ends, and its disk goes bad.
func damagedSpool(t *testing.T, u *uptest.Up, r *rand.Rand, round int) {
	t.Helper()
	dir, prefix := t.TempDir(), fmt.Sprintf("spool-%d", round)
	recordTasks(t, u, "http://"+proctest.FreeAddrs(t, 1)[0], dir, prefix, damagedTasks, false)
	source, numbers := original(t, dir)
	file, size := written(t, filepath.Join(dir, "slot-0000"))
	spoil(t, r, file, segmentHeader, size, flips)
	recordTasks(t, u, u.Collector(), dir, prefix+"-after", 1, true)
	var lost int
	proctest.Eventually(t, time.Minute, "each number of the spool is stored or declared", func() (bool, string) {
		got, err := fateOf(u, source)
		if err != nil {
			return false, err.Error()
		}
		open, both := []uint64{}, 0
		lost = 0
		for _, n := range numbers {
			switch {
			case got.stored[n] && got.declared[n]:
				both++
			case got.declared[n]:
				lost++
			case !got.stored[n]:
				open = append(open, n)
			}
		}
		return len(open) == 0 && both == 0, fmt.Sprintf("of %d numbers %v are neither, %d are both", len(numbers), open, both)
	})
	if lost == 0 || lost > flips+1 {
		t.Errorf("%d events of %d are lost; %d bits were flipped and the last frame was torn", lost, len(numbers), flips)
	}
	t.Logf("  the spool: %d of %d events are lost, and declared", lost, len(numbers))
}

// damagedCollector: the store is away, the collector is killed with what it
// acknowledged in its log, and its disk goes bad.
func damagedCollector(t *testing.T, u *uptest.Up, r *rand.Rand, round int) {
	t.Helper()
	dir, logs := t.TempDir(), filepath.Join(u.DataDir, "collector", "log")
	_, from := written(t, logs)
	kill(u.Engine(), false, syscall.SIGSTOP)
	recordTasks(t, u, u.Collector(), dir, fmt.Sprintf("collector-%d", round), damagedTasks, true)
	u.Process.Kill()
	source, numbers := original(t, dir)
	file, to := written(t, logs)
	spoil(t, r, file, from, to, 2)
	u.Restart()
	proctest.Eventually(t, time.Minute, "verify tells what is lost", func() (bool, string) {
		got, err := fateOf(u, source)
		if err != nil {
			return false, err.Error()
		}
		lost := 0
		for _, n := range numbers {
			if !got.stored[n] {
				lost++
			}
		}
		out, err := u.Run("verify")
		told := spoiled.FindString(out)
		// The six requests are a frame each at least, and each fault spoils one at most.
		return err != nil && told != "" && lost > 0 && lost < len(numbers), fmt.Sprintf("%d of %d are lost, verify: %v, %q", lost, len(numbers), err, told)
	})
	out, _ := u.Run("verify")
	told := spoiled.FindString(out)
	u.Process.Kill()
	u.Restart()
	if out, err := u.Run("verify"); err == nil || spoiled.FindString(out) != told {
		t.Errorf("after a restart verify says %v, %q, and before it %q", err, out, told)
	}
}

var spoiled = regexp.MustCompile(`the disk has spoiled [1-9]\d* frames of its log`)
