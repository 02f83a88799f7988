package collector

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/tasktrail/tasktrail/internal/spool"
	"github.com/tasktrail/tasktrail/timeline"
)

// watchSnapshot is the memory of a watch at a position of a log.
type watchSnapshot struct {
	LogID   string           `json:"log_id"`
	At      spool.Position   `json:"at"`
	Runs    []snapshotRun    `json:"runs,omitempty"`
	Letters []snapshotLetter `json:"letters,omitempty"`
	Pending []timeline.Event `json:"pending,omitempty"`
}

type snapshotRun struct {
	Key runKey `json:"key"`
	run
}

type snapshotLetter struct {
	Key    runKey      `json:"key"`
	Letter timeline.ID `json:"letter"`
}

// open takes up where the last snapshot stands.
func (w *watch) open(log *spool.Log, path string, now time.Time) error {
	w.log, w.path = log, path
	var err error
	if w.cursor, err = log.Cursor(watchName); err != nil {
		return fmt.Errorf("open cursor of the watch: %w", err)
	}
	w.started, w.saved, w.at = now, now, w.cursor.Position()
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read snapshot of the watch: %w", err)
	}
	var s watchSnapshot
	if err := json.Unmarshal(b, &s); err != nil || s.LogID != log.ID() || s.At < w.cursor.Position() || s.At > log.End() {
		w.c.cfg.Logger.Warn("the snapshot of running tasks is not of this log; those that run now may not be declared lost", "error", err)
		return nil
	}
	w.at, w.pending = s.At, s.Pending
	for _, r := range s.Runs {
		w.runs[r.Key] = &r.run
	}
	for _, l := range s.Letters {
		w.letters[l.Key] = l.Letter
	}
	return nil
}

// save writes the snapshot and then moves the cursor to where it stands, from
// time to time: the larger it is the less often, so that it costs little.
func (w *watch) save(now bool) {
	w.mu.Lock()
	every := snapshotEvery * time.Duration(1+len(w.runs)/10_000)
	if !w.changed || !now && w.c.deps.Now().Sub(w.saved) < every {
		w.mu.Unlock()
		return
	}
	s := watchSnapshot{LogID: w.log.ID(), At: w.at, Pending: w.pending}
	for key, r := range w.runs {
		s.Runs = append(s.Runs, snapshotRun{key, *r})
	}
	for key, id := range w.letters {
		s.Letters = append(s.Letters, snapshotLetter{key, id})
	}
	b, err := json.Marshal(s)
	w.changed, w.saved = false, w.c.deps.Now()
	w.mu.Unlock()
	if err == nil {
		err = writeDurably(w.path, b)
	}
	if err == nil {
		err = w.cursor.Advance(s.At)
	}
	if err != nil {
		w.c.sayOnce("snapshot", "the snapshot of running tasks can't be written", "error", err)
		w.mu.Lock()
		w.changed = true
		w.mu.Unlock()
	}
}
