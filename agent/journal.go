package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// journal carries the counts of runs whose attempts come one at a time from a
// runner, from one attempt to the next, and over a restart that was not a death:
// attempt numbers are never used twice, and aborted attempts do not count.
type journal struct {
	mu   sync.Mutex
	path string
	runs map[runKey]journalEntry
}

type runKey struct {
	Namespace, ID string
	Run           int
}

type journalEntry struct {
	Attempt, Counted int
	Seq              uint64
	Last, Began      time.Time
	Started          bool
}

// maxJournal bounds the runs that are remembered. Past it an arbitrary one is
// forgotten, and its runner's own count holds.
const maxJournal = 100_000

func (j *journal) open(a *Agent) {
	j.runs = map[runKey]journalEntry{}
	if a.log == nil {
		return
	}
	j.path = filepath.Join(a.log.Dir(), "journal.json")
	var kept []savedRun
	if err := readJSON(j.path, &kept); err != nil {
		a.cfg.Logger.Warn("the journal of interrupted runs could not be read: their runner's counts hold", "error", err)
		return
	}
	for _, s := range kept {
		j.runs[s.Key] = s.Entry
	}
}

type savedRun struct {
	Key   runKey
	Entry journalEntry
}

// load gives the run its counts; it reports whether the journal had it.
func (j *journal) load(r *run) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	e, ok := j.runs[r.key()]
	if ok {
		r.attempt, r.counted, r.seq, r.last, r.started = e.Attempt, e.Counted, e.Seq, e.Last, e.Started
		if !e.Began.IsZero() {
			r.began = e.Began
		}
	}
	return ok
}

func (j *journal) store(r *run, over bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if over {
		delete(j.runs, r.key())
		return
	}
	if len(j.runs) >= maxJournal {
		for k := range j.runs {
			delete(j.runs, k)
			break
		}
	}
	j.runs[r.key()] = journalEntry{r.attempt, r.counted, r.seq, r.last, r.began, r.started}
}

// expect prepares a run that a command starts: its first event is written by the
// one who takes the command.
func (j *journal) expect(key runKey, last time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.runs) < maxJournal {
		j.runs[key] = journalEntry{Seq: 1, Last: last}
	}
}

func (j *journal) save() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.path == "" {
		return nil
	}
	kept := make([]savedRun, 0, len(j.runs))
	for k, e := range j.runs {
		kept = append(kept, savedRun{k, e})
	}
	if err := writeJSON(j.path, kept); err != nil {
		return fmt.Errorf("save the journal of interrupted runs: %w", err)
	}
	return nil
}

func (r *run) key() runKey { return runKey{r.task.Namespace, r.task.ID, r.number} }

// readJSON reads a file that may not be there.
func readJSON(path string, into any) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}

// writeJSON replaces a file as a whole.
func writeJSON(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
