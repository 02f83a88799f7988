package agent_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/agenttest"
	"github.com/tasktrail/tasktrail/internal/proctest"
	"github.com/tasktrail/tasktrail/timeline"
)

// A disk that somebody else fills: tasks go on, and what was emitted is stored,
// or counted and marked, once there is room.
func TestAFullDiskStopsNoTask(t *testing.T) {
	cfg := quick
	cfg.SpoolDir = proctest.SmallDisk(t, 32)
	rec := agenttest.New(t, cfg)
	rec.Collector().Answer(func(w http.ResponseWriter, _ []byte) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		return false
	})
	ballast := filepath.Join(cfg.SpoolDir, "ballast")
	fill(t, ballast)
	n := 0
	for ; rec.Stats().Shed+rec.Stats().Unwritten < 50; n++ {
		if n > 50_000 {
			t.Fatal("the disk never filled up")
		}
		if _, err := rec.Do(t.Context(), task(fmt.Sprintf("t-%d", n), ""), succeeding); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := rec.Do(t.Context(), task("fails", ""), failing(agent.Permanent(errUnwell))); err == nil {
		t.Error("the failure was lost")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	rec.Collector().Answer(nil)
	until(t, "a task recorded in full again", func() bool {
		before := rec.Stats()
		if _, err := rec.Do(t.Context(), task("after", ""), succeeding); err != nil {
			t.Fatal(err)
		}
		after := rec.Stats()
		return after.Shed == before.Shed && after.Unwritten == before.Unwritten
	})
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	if err := rec.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	stored, marked, tombstones := map[uint64]bool{}, uint64(0), uint64(0)
	for _, e := range rec.Collector().Events("") {
		if stored[e.SourceSeq] {
			continue
		}
		stored[e.SourceSeq] = true
		if e.Type == timeline.Tombstone {
			tombstones++
			marked += e.Gap.To - e.Gap.From + 1
		}
	}
	s := rec.Stats()
	if got := uint64(len(stored)) - tombstones + s.Shed + s.Unwritten; got != s.Emitted {
		t.Errorf("emitted %d, but stored %d, shed %d, unwritten %d", s.Emitted, uint64(len(stored))-tombstones, s.Shed, s.Unwritten)
	}
	if marked != s.Shed {
		t.Errorf("%d numbers are marked as missing, %d events were shed", marked, s.Shed)
	}
}

// fill writes a file until the disk has no room.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 4096); ; {
		if _, err := f.Write(block); err != nil {
			return // no room
		}
	}
}
