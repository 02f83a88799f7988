package chaos

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tasktrail/tasktrail/internal/proctest"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// settleWithin is how long things may take to come to rest: an accepted retry that
// was lost on its way is sent again after 30 s, and a collector that lost a
// connection without hearing of it needs 35 s to say so.
const settleWithin = 3 * time.Minute

// quiet waits until every task has come to its end at its runner and in the API. It
// returns the tasks that it added to that end.
func (s *system) quiet(tasks []*task) []*task {
	s.t.Helper()
	s.again() // it may have needed longer to fail than its disk was full
	sweeps := []*task{s.sweep()}
	proctest.Eventually(s.t, settleWithin, "the worker's queue is empty", func() (bool, string) {
		names := s.pending()
		return len(names) == 0, strings.Join(names, " ")
	})
	open := slices.Clone(tasks)
	proctest.Eventually(s.t, settleWithin, "every task has its state", func() (bool, string) {
		var last string
		states, err := s.states(open)
		if err != nil {
			return false, err.Error()
		}
		open = slices.DeleteFunc(open, func(t *task) bool {
			is := states[t.id]
			last = fmt.Sprintf("%s: %s in run %d, want %s in run %d", t.id, is.State, is.Run, t.state(), t.run())
			return is.Run == t.run() && (is.State == t.state() || is.State == timeline.StateFailed)
		})
		// What a command could not ship before it ended, the next one ships.
		if len(open) > 0 && !slices.ContainsFunc(open, func(t *task) bool { return t.kind != byRun }) {
			sweeps = append(sweeps, s.sweep())
		}
		return len(open) == 0, fmt.Sprintf("%d are open, %s", len(open), last)
	})
	return sweeps
}

// sweep runs a command that succeeds, for the sake of what the ones before it left
// in their spool.
func (s *system) sweep() *task {
	s.sweeps++
	t := &task{id: fmt.Sprintf("run-sweep-%d", s.sweeps), kind: byRun, plan: plan{{ok}}}
	s.submitRun(s.t.Context(), t)
	return t
}

// check holds everything that was promised against what there is. all are the
// tasks of every round, tasks those of this one.
func (s *system) check(all, tasks []*task) {
	s.t.Helper()
	died := s.checkEvents(all)
	s.lap("looking for every event")
	s.checkTasks(tasks, died)
	s.lap("looking at every task")
	s.checkHealth(all)
	proctest.Eventually(s.t, time.Minute, "tasktrail verify balances", func() (bool, string) {
		s.again()
		out, err := s.balance()
		return err == nil, fmt.Sprint(out, err)
	})
	s.lap("health and verify")
}

// checkEvents compares the spools' record with the store, id by id. It returns how
// many attempts of each task's runs never ended: those that a worker died on.
func (s *system) checkEvents(all []*task) map[string]int {
	s.t.Helper()
	record := s.recorder.read()
	var there stored
	proctest.Eventually(s.t, time.Minute, "every event that a spool accepted is stored", func() (bool, string) {
		var err error
		if there, err = s.stored(); err != nil {
			return false, err.Error()
		}
		missing := 0
		var one timeline.Event
		for id, e := range record.events {
			if e.Type != timeline.Tombstone && there.events[id.String()] == "" {
				missing++
				one = e
			}
		}
		return missing == 0, fmt.Sprintf("%d of %d are missing, one is %s of %s (%s, number %d)", missing, len(record.events), one.Type, one.Task.ID, one.SourceID, one.SourceSeq)
	})
	if len(there.twice) > 0 {
		s.t.Errorf("%d events are stored twice: %q", len(there.twice), there.twice)
	}
	if record.shed > 0 {
		s.t.Errorf("%d events were shed, and no spool was full", record.shed)
	}
	// The collector's own outcomes (dlq_resolved) come a moment after what they follow
	// from.
	proctest.Eventually(s.t, time.Minute, "what no spool has written is accounted for", func() (bool, string) {
		now, err := s.stored()
		if err != nil {
			return false, err.Error()
		}
		wrong := strangers(all, record, now)
		return wrong == "", wrong
	})
	open := map[string]map[string]bool{} // task → run and attempt that have not ended
	for _, e := range record.events {
		at := fmt.Sprintf("%d/%d", e.Run, e.Attempt)
		if open[e.Task.ID] == nil {
			open[e.Task.ID] = map[string]bool{}
		}
		switch e.Type {
		case timeline.AttemptStarted:
			if _, ended := open[e.Task.ID][at]; !ended {
				open[e.Task.ID][at] = true
			}
		case timeline.AttemptSuccess, timeline.AttemptFailed, timeline.AttemptAborted:
			open[e.Task.ID][at] = false
		}
	}
	died := map[string]int{}
	for id, attempts := range open {
		for _, o := range attempts {
			if o {
				died[id]++
			}
		}
	}
	return died
}

// strangers says what does not add up of what no spool has written: foreign SDKs'
// events, operators', the collector's own.
func strangers(all []*task, record emitted, there stored) (wrong string) {
	known := map[string]bool{}
	for id := range record.events {
		known[id.String()] = true
	}
	found := map[string]int{}
	for id, typ := range there.events {
		if !known[id] {
			found[typ]++
		}
	}
	want := map[string]int{}
	for _, t := range all {
		want["dlq_retry_requested"] += t.retries
		if t.retries > 0 && t.plan.completes(t.run()) {
			want["dlq_resolved"] += t.retries
		}
		if t.kind != byOTLP {
			continue
		}
		for _, typ := range []string{"task_created", "task_started", "attempt_started"} {
			want[typ]++
		}
		if t.plan.completes(1) {
			want["attempt_success"]++
			want["task_completed"]++
		} else {
			want["attempt_failed"]++
			want["task_failed"]++
			want["moved_to_dlq"]++
		}
	}
	for typ, n := range found {
		if want[typ] != n {
			wrong += fmt.Sprintf("%d events of type %s came from no spool, want %d; ", n, typ, want[typ])
		}
	}
	return wrong
}

// checkTasks holds a round's tasks against the model: what the lists and the store say
// of all of them, and of each eighth what its own routes say.
func (s *system) checkTasks(tasks []*task, died map[string]int) {
	s.t.Helper()
	states, err := s.states(tasks)
	letters, err2 := s.letters()
	there, err3 := s.stored()
	if err := errors.Join(err, err2, err3); err != nil {
		s.t.Errorf("look at the tasks: %v", err)
		return
	}
	for i, t := range tasks {
		is := states[t.id]
		poison := died[t.id] >= 3 && is.State == timeline.StateFailed
		if is.Run != t.run() || is.State != t.state() && !poison {
			s.t.Errorf("%s (%v): %s in run %d, want %s in run %d; %d attempts died", t.id, t.plan, is.State, is.Run, t.state(), t.run(), died[t.id])
			continue
		}
		s.checkLife(t, there.lives[t.id], poison)
		if i%8 == 0 {
			s.checkRoutes(t, is, there.lives[t.id])
		}
		if done := s.receiver.done(t.id); t.kind != byRun && t.kind != byOTLP && (done > 1 || is.State == timeline.StateCompleted && done != 1) {
			s.t.Errorf("%s is %s, and its work was done %d times", t.id, is.State, done)
		}
		want := 0 // as many as runs failed
		for r := 1; r <= t.run(); r++ {
			if !t.plan.completes(r) {
				want++
			}
		}
		if len(letters[t.id]) != want && !poison {
			s.t.Errorf("%s has %d dead letters, want %d: %s", t.id, len(letters[t.id]), want, str(letters[t.id]))
		}
		calls := min(len(letters[t.id]), 1)
		proctest.Eventually(s.t, time.Minute, fmt.Sprintf("%s has %d alerts", t.id, calls), func() (bool, string) {
			n := s.receiver.alerted(t.id)
			return n == calls, fmt.Sprint(n)
		})
	}
}

// checkRoutes compares what a task's own routes say with the list and the store.
func (s *system) checkRoutes(t *task, is folded, stored []string) {
	s.t.Helper()
	if state, run, err := s.state(t); err != nil || state != is.State || run != is.Run {
		s.t.Errorf("%s is %s in run %d (%v), and by the list %s in run %d", t.id, state, run, err, is.State, is.Run)
	}
	life, err := s.up.Life(t.id)
	if slices.Sort(life); err != nil || !slices.Equal(life, slices.Sorted(slices.Values(stored))) {
		s.t.Errorf("the timeline of %s is %q (%v), and stored is %q", t.id, life, err, stored)
	}
}

// checkLife looks at a task's timeline: nothing happens twice, and each run begins
// and ends.
func (s *system) checkLife(t *task, life []string, poison bool) {
	s.t.Helper()
	count := map[string]int{}
	for _, e := range life {
		count[e]++
	}
	for e, n := range count {
		if n == 2 && s.mayRepeat(t) && (strings.HasSuffix(e, " task_completed") || strings.HasSuffix(e, " task_failed")) {
			s.repeated[t.id] = true
			s.log(t.id + " ended twice: its worker was killed before its runner heard of the end")
			continue
		}
		if n > 1 {
			s.t.Errorf("%s: %s is there %d times: %q", t.id, e, n, life)
		}
	}
	for r := 1; r <= t.run(); r++ {
		end := "task_failed"
		if t.plan.completes(r) && !poison {
			end = "task_completed"
		}
		for _, e := range []string{"task_started", end} {
			if e == "task_started" && s.mayRepeat(t) {
				continue // its worker may be killed after it took the attempt's number
			}
			if n := count[fmt.Sprintf("r%d %s", r, e)]; n != 1 && !s.repeated[t.id] {
				s.t.Errorf("%s (%v): run %d has no %s: %q", t.id, t.plan, r, e, life)
			}
		}
	}
}

// mayRepeat says whether a kill of a task's worker can go between what the agent wrote
// and what the runner, whose queue is elsewhere, was told: docs/reliability.md. The
// work is done once all the same.
func (s *system) mayRepeat(t *task) bool { return *leases && (t.kind == byAsynq || t.kind == byRiver) }

// checkHealth compares the counts of the health route with the truth.
func (s *system) checkHealth(all []*task) {
	s.t.Helper()
	want := map[timeline.State]int64{}
	for _, t := range all {
		want[t.state()]++
	}
	proctest.Eventually(s.t, time.Minute, "health tells the truth", func() (bool, string) {
		var h readmodel.Health
		if err := s.health(&h); err != nil {
			return false, err.Error()
		}
		sum := h.Tasks[timeline.StateCompleted] + h.Tasks[timeline.StateFailed]
		// One that ended twice counts twice.
		ok := sum >= int64(len(all)) && sum <= int64(len(all)+len(s.repeated)) && h.QueueDepth == 0 && h.WaitingRetries == 0 && h.Tasks[timeline.StateRetrying]+h.Tasks[timeline.StateInProgress]+h.Tasks[timeline.StatePending]+h.Tasks[timeline.StateLost] == 0
		// A task on which three workers died failed, whatever its service would have said.
		ok = ok && h.Tasks[timeline.StateCompleted] <= want[timeline.StateCompleted]+int64(len(s.repeated))
		return ok, fmt.Sprintf("%s, want %v of %d tasks", str(h.Tasks), want, len(all))
	})
}
