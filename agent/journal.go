package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/internal/spool"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// journal carries the counts of runs whose attempts come one at a time from a
// runner, from one attempt to the next, and over a restart: attempt numbers are
// never used twice, aborted attempts do not count, and those whose worker died
// under them do.
//
// On disk it is a snapshot with a position of the spool; what the spool holds
// behind the position is folded into it when the agent starts.
type journal struct {
	mu   sync.Mutex
	path string
	runs map[runKey]journalEntry
	// keepEnds: see Config.KeepEnds.
	keepEnds bool

	saved spool.Position // that of the latest snapshot; only the saver looks at it
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
	// Running: the attempt had begun and not ended. In a snapshot that is read back
	// its worker died.
	Running bool `json:",omitempty"`
	// Deaths counts the workers that died on the run.
	Deaths int `json:",omitempty"`
	// Died: it was the last attempt whose worker died; Aborted: it does not count.
	Died, Aborted bool `json:",omitempty"`
	// End is how the run ended, where ends are kept until they are forgotten.
	End *End `json:",omitempty"`
}

const (
	// maxJournal bounds the runs that are remembered. Past it an arbitrary one is
	// forgotten, and its runner's own count holds.
	maxJournal = 100_000
	// A snapshot is written every journalEvery, or once so much was recorded since
	// the last, so that a start has little to read.
	journalEvery = 30 * time.Second
	journalBytes = 8 << 20
	// journalAge is how long a run is remembered of which nothing more was heard.
	journalAge = 7 * 24 * time.Hour
	// maxReplay bounds what a start reads of the spool.
	maxReplay = 64 << 20
	// poisonDeaths is how many workers may die on a run before it is given up.
	poisonDeaths = 3
)

type savedJournal struct {
	Position spool.Position
	Runs     []savedRun
}

type savedRun struct {
	Key   runKey
	Entry journalEntry
}

func (j *journal) open(a *Agent) {
	j.runs, j.keepEnds = map[runKey]journalEntry{}, a.cfg.KeepEnds
	if a.log == nil {
		return
	}
	j.path = filepath.Join(a.log.Dir(), "journal.json")
	var kept savedJournal
	if err := readJSON(j.path, &kept); err != nil {
		a.cfg.Logger.Warn("the journal of interrupted runs could not be read: their runner's counts hold", "error", err)
		kept = savedJournal{}
	}
	for _, s := range kept.Runs {
		j.runs[s.Key] = s.Entry
	}
	if err := j.replay(a.log, kept.Position); err != nil {
		a.cfg.Logger.Warn("what was recorded before the last end could not all be read: the runner's counts hold for it", "error", err)
	}
	for k, e := range j.runs {
		if e.Running {
			e.Running, e.Died = false, true
			e.Deaths++
			j.runs[k] = e
		}
	}
}

// replay folds what was recorded after a snapshot.
func (j *journal) replay(log *spool.Log, from spool.Position) error {
	end := log.End()
	if from > end { // of a log that is not this one any more
		from = log.Start()
	}
	if end-from > maxReplay {
		return fmt.Errorf("%d bytes since the last snapshot, at most %d are read", end-from, maxReplay)
	}
	var b spool.Batch
	var rec wire.Record
	for from < end {
		if err := log.ReadBatch(from, 1<<20, 10_000, &b); err != nil {
			return err
		}
		if b.Empty() {
			return nil
		}
		for _, f := range b.Frames {
			if wire.DecodeLogRecord(f, &rec) == nil && len(rec.Runner) > 0 && rec.Run > 0 {
				j.fold(&rec)
			}
		}
		from = b.To
	}
	return nil
}

// fold takes one event. Events that a snapshot has seen already change nothing.
func (j *journal) fold(rec *wire.Record) {
	key := runKey{string(rec.Namespace), string(rec.TaskID), rec.Run}
	e, known := j.runs[key]
	if rec.Type.Terminal() {
		if delete(j.runs, key); j.keepEnds {
			e.End, e.Running = endOf(rec), false
			j.runs[key] = e
		}
		return
	}
	if !known && len(j.runs) >= maxJournal {
		return
	}
	at := time.Unix(0, rec.OccurredAt).UTC()
	if rec.Attempt > e.Attempt && rec.Type != timeline.CircuitBreakerHalfOpened {
		if e.Running { // the one before never ended
			e.Deaths++
		}
		e.Attempt = rec.Attempt
		e.Counted++
		e.Running, e.Aborted = true, false
	}
	switch rec.Type {
	case timeline.TaskCreated:
		if !known {
			return // the side that enqueued may have written it: nothing ran yet
		}
	case timeline.TaskStarted:
		e.Started = true
		if e.Began.IsZero() {
			e.Began = at
		}
	case timeline.AttemptFailed, timeline.AttemptSuccess:
		e.Running = e.Running && rec.Attempt < e.Attempt
	case timeline.AttemptAborted:
		if e.Running && rec.Attempt == e.Attempt {
			e.Running, e.Aborted = false, true
			e.Counted--
		}
	}
	e.Seq = max(e.Seq, rec.Seq)
	if at.After(e.Last) {
		e.Last = at
	}
	j.runs[key] = e
}

// load gives the run its counts; it reports whether the journal had it.
func (j *journal) load(r *run, carry []byte) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	e, ok := j.runs[r.key()]
	if c, carried := carriedEntry(carry); carried {
		e, ok = c.resumed(e), true
	}
	if ok {
		r.attempt, r.counted, r.seq, r.last, r.started, r.deaths = e.Attempt, e.Counted, e.Seq, e.Last, e.Started, e.Deaths
		if !e.Began.IsZero() {
			r.began = e.Began
		}
	}
	return ok
}

func (j *journal) store(r *run, over bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if over && !j.keepEnds {
		delete(j.runs, r.key())
		return
	}
	if len(j.runs) >= maxJournal {
		for k := range j.runs {
			delete(j.runs, k)
			break
		}
	}
	j.runs[r.key()] = r.entry()
}

// expect prepares a run that a command starts: its first event is written by the
// one who takes the command.
func (j *journal) expect(key runKey, last time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	// A command that comes again after the process died finds the run under way.
	if _, known := j.runs[key]; !known && len(j.runs) < maxJournal {
		j.runs[key] = journalEntry{Seq: 1, Last: last}
	}
}

// run writes snapshots until ctx ends.
func (j *journal) run(ctx context.Context, a *Agent) {
	if a.log == nil {
		return
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var at time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			since := a.log.End() - j.saved
			if since == 0 || since < journalBytes && now.Sub(at) < journalEvery {
				continue
			}
			at = now
			if err := j.save(a); err != nil {
				a.cfg.Logger.Warn("keep the journal of runs", "error", err)
			}
		}
	}
}

// save writes a snapshot. The position is taken first: what happens while the
// runs are read stands behind it too, and folding it twice changes nothing.
func (j *journal) save(a *Agent) error {
	if j.path == "" {
		return nil
	}
	kept := savedJournal{Position: a.log.End()}
	running := map[runKey]journalEntry{}
	for _, r := range a.live.steps() {
		if e, over := r.snapshot(); !over || j.keepEnds {
			running[r.key()] = e
		}
	}
	oldest := time.Now().Add(-journalAge)
	j.mu.Lock()
	for k, e := range j.runs {
		if e.Last.Before(oldest) { // another worker has it
			delete(j.runs, k)
			continue
		}
		if live, ok := running[k]; ok && live.Seq >= e.Seq {
			e = live
		}
		delete(running, k)
		kept.Runs = append(kept.Runs, savedRun{k, e})
	}
	j.mu.Unlock()
	for k, e := range running {
		kept.Runs = append(kept.Runs, savedRun{k, e})
	}
	if err := writeJSON(j.path, kept); err != nil {
		return fmt.Errorf("save the journal of interrupted runs: %w", err)
	}
	j.saved = kept.Position
	return nil
}

// is reports whether the run is that of the key.
func (r *run) is(key runKey) bool {
	return r.task.ID == key.ID && r.number == key.Run && r.task.Namespace == key.Namespace
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
