package agent_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/agenttest"
	"github.com/tasktrail/tasktrail/internal/proctest"
	"github.com/tasktrail/tasktrail/timeline"
)

// A collector that answers with whatever went wrong somewhere once: afterwards
// every event is there, under one id each.
func TestNothingIsLostToABadCollector(t *testing.T) {
	rec := agenttest.New(t, quick)
	rng := rand.New(rand.NewPCG(1, 2))
	rec.Collector().Answer(func(w http.ResponseWriter, _ []byte) bool {
		switch rng.IntN(6) {
		case 0:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 1:
			w.WriteHeader(http.StatusInternalServerError)
		case 2:
			w.WriteHeader(http.StatusUnauthorized)
		case 3: // taken, and the answer lost
			w.WriteHeader(http.StatusGatewayTimeout)
			return true
		default:
			return true
		}
		return false
	})
	const tasks = 50
	for i := range tasks {
		if _, err := rec.Do(t.Context(), task(fmt.Sprintf("t-%d", i), ""), succeeding); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	if err := rec.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	ids, seqs := map[timeline.ID]bool{}, map[uint64]bool{}
	for _, e := range rec.Collector().Events("") {
		ids[e.ID], seqs[e.SourceSeq] = true, true
	}
	if len(ids) != 5*tasks || len(seqs) != 5*tasks || !seqs[1] || !seqs[5*tasks] {
		t.Errorf("%d events with %d sequence numbers arrived, want %d of each, from 1 without a gap", len(ids), len(seqs), 5*tasks)
	}
	if s := rec.Stats(); s.Emitted != 5*tasks || s.Shed+s.Unwritten+s.Refused != 0 || s.Spooled != 0 {
		t.Errorf("the account does not balance: %+v", s)
	}
}

func TestAFullSpoolShedsAndSaysSo(t *testing.T) {
	cfg := quick
	cfg.SpoolMaxBytes = 1 << 20
	rec := agenttest.New(t, cfg)
	rec.Collector().Answer(func(w http.ResponseWriter, _ []byte) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		return false
	})
	n := 0
	for ; rec.Stats().Shed == 0; n++ {
		if n > 100_000 {
			t.Fatal("the spool never filled up")
		}
		if _, err := rec.Do(t.Context(), task(fmt.Sprintf("t-%d", n), ""), succeeding); err != nil {
			t.Fatal(err)
		}
	}
	// The task goes on, and its dead letter has the reserve.
	if _, err := rec.Do(t.Context(), task("fails", ""), failing(agent.Permanent(errUnwell))); err == nil {
		t.Error("the failure was lost")
	}
	rec.Collector().Answer(nil)
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	if err := rec.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	// Room comes back a moment after the collector has the events: by whole segments,
	// in the background.
	proctest.Eventually(t, 10*time.Second, "a task is recorded in full again", func() (bool, string) {
		before := rec.Stats().Shed
		if _, err := rec.Do(t.Context(), task("after", ""), succeeding); err != nil {
			t.Fatal(err)
		}
		return rec.Stats().Shed == before, fmt.Sprint("shed ", before)
	})
	var dlq bool
	for _, e := range rec.Events("fails") {
		dlq = dlq || e.Type == timeline.MovedToDLQ
	}
	if !dlq {
		t.Error("the dead letter of the task that failed while the spool was full is missing")
	}
	stored, gap := map[uint64]bool{}, uint64(0)
	for _, e := range rec.Collector().Events("") {
		stored[e.SourceSeq] = true
		if e.Type == timeline.Tombstone {
			gap += e.Gap.To - e.Gap.From + 1
		}
	}
	s := rec.Stats()
	tombstones := uint64(len(stored)) + s.Shed - s.Emitted
	if tombstones == 0 || gap < s.Shed {
		t.Errorf("emitted %d, stored %d, shed %d, marked %d: what was shed is not all marked", s.Emitted, len(stored), s.Shed, gap)
	}
}

func TestWhatAProcessLeftIsShippedByTheNext(t *testing.T) {
	dir := t.TempDir()
	c := agenttest.NewCollector(t)
	a, err := agent.New(agent.Config{SpoolDir: dir, CollectorURL: c.URL()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Do(t.Context(), task("left", ""), succeeding); err != nil {
		t.Fatal(err)
	}
	// Closed without ever having been started: nothing was shipped.
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a, err = agent.New(agent.Config{SpoolDir: dir, CollectorURL: c.URL()}); err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := len(c.Events("left")); got != 5 {
		t.Errorf("%d events of the task arrived, want 5", got)
	}
}
