package collector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tasktrail/tasktrail/internal/spool"
	"github.com/tasktrail/tasktrail/timeline"
)

// What the disk spoiled before a sink had it is counted once, whoever reads it how
// often, and a restart does not forget it.
func TestWhatWasSpoiledIsNotForgotten(t *testing.T) {
	dir := t.TempDir()
	run := func(sink *recorder, during func(c *Collector)) {
		t.Helper()
		c, err := New(testConfig(dir), Deps{Auth: testTokens, Sinks: []SinkSpec{quick(sink)}})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		during(c)
		if err := c.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}
	down := newRecorder("truth")
	down.fail = func(*spool.Batch) error { return errors.New("away") }
	run(down, func(c *Collector) {
		for i := range 5 {
			accept(t, c, event(fmt.Sprint("spoiled-", i), 1, 1, uint64(i+1), timeline.AttemptStarted))
		}
	})
	flip(t, filepath.Join(dir, "log"), []byte("spoiled-2"))

	up := newRecorder("truth")
	for n := range 3 {
		run(up, func(c *Collector) {
			up.awaitCount(t, 4)
			eventually(t, "the damage is counted", func() bool { l := c.Ledger(); return l.Damaged == 1 && l.Sinks[0].Damaged == 1 })
			// A frame behind the damage each time: what was counted is not counted again.
			accept(t, c, event(fmt.Sprint("later-", n), 1, 1, uint64(10+n), timeline.AttemptStarted))
			up.awaitCount(t, 5+n)
			if l := c.Ledger(); l.Damaged != 1 {
				t.Errorf("%d frames are said to be spoiled, want 1", l.Damaged)
			}
		})
	}
	if ids := taskIDs(up.events(t)); slices.Contains(ids, "spoiled-2") || len(ids) != 7 {
		t.Errorf("delivered: %q", ids)
	}
}

// A log that is new has nothing spoiled.
func TestWhatWasSpoiledIsOfItsLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "truth.spoiled")
	s, err := openSpoiled(path, "one", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.note([]spool.Damage{{From: 8, To: 64, FirstSeq: 2, NextSeq: 4}}); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]uint64{"one": 2, "another": 0} {
		if s, err = openSpoiled(path, id, slog.New(slog.DiscardHandler)); err != nil || s.frames() != want {
			t.Errorf("log %s: %d frames, want %d (%v)", id, s.frames(), want, err)
		}
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err = openSpoiled(path, "one", slog.New(slog.DiscardHandler)); err != nil || s.frames() != 0 {
		t.Errorf("a file that is no count: %d frames, %v; want the count to begin anew", s.frames(), err)
	}
}

// flip changes a bit of a text in the files of a directory.
func flip(t *testing.T, dir string, text []byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(b, text); at >= 0 {
			b[at] ^= 1
			if err := os.WriteFile(f, b, 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("no file of %s holds %q", dir, text)
}
