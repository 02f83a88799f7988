package query

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/query/auth"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

const (
	// bulkActor is who changes a bulk action where no operator does.
	bulkActor = "tasktrail"
	// bulkPutBack is how long after its retry a dead letter that is pending counts as
	// one the store is late with; after that it was put back.
	bulkPutBack = 30 * time.Second
	// bulkOutcomes bounds how long an action waits for the outcome of its last items.
	bulkOutcomes = 30 * time.Minute
	// bulkBackoff is the wait after a part could not be reached.
	bulkBackoff = time.Second
	// outcomeBatch is how many tasks' outcomes are read at once.
	outcomeBatch = 100
)

// bulkJob works on one bulk action.
type bulkJob struct {
	s    *Server
	stop context.CancelCauseFunc

	mu    sync.Mutex
	state *bulkState
	dirty map[int]bool // chunks whose results are not on record
	note  string
	moved time.Time // when an item last changed

	next     int // the first item that may be waiting
	asked    int // items acted on
	open     map[string]bool
	notOpen  time.Time // when the breakers were last looked at
	polled   time.Time
	saved    time.Time
	pollFrom int
}

func newBulkJob(s *Server, state *bulkState, stop context.CancelCauseFunc) *bulkJob {
	j := &bulkJob{s: s, stop: stop, state: state, dirty: map[int]bool{}, moved: s.now()}
	for i := range state.results {
		if state.results[i].Status != itemWaiting {
			j.asked++
		}
	}
	return j
}

// halt makes the job put on record what it did and end.
func (j *bulkJob) halt(why string) { j.stop(errors.New(why)) }

func (j *bulkJob) progress() bulkProgress {
	j.mu.Lock()
	defer j.mu.Unlock()
	p := j.state.progress()
	p.Note, p.UpdatedAt = j.note, j.moved
	return p
}

func (j *bulkJob) snapshot() *bulkState {
	j.mu.Lock()
	defer j.mu.Unlock()
	return &bulkState{j.state.namespace, j.state.header, j.state.items, slices.Clone(j.state.results)}
}

func (j *bulkJob) set(i int, r bulkResult) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.state.results[i].Status == itemWaiting && r.Status != itemWaiting {
		j.asked++
	}
	r.At = j.s.now().UTC()
	j.state.results[i], j.dirty[i/bulkChunk], j.moved = r, true, r.At
}

func (j *bulkJob) say(note string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.note = note
}

// run works until the action is over, is halted, or ctx ends.
func (j *bulkJob) run(ctx context.Context) {
	defer func() {
		// What was done goes on record also where the service is stopping.
		saveCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		if err := j.save(saveCtx); err != nil {
			j.s.log.Warn("keep the progress of a bulk action", "bulk_id", j.state.header.ID, "error", err)
		}
	}()
	pace := time.NewTimer(0)
	defer pace.Stop()
	due := j.s.now()
	gap := time.Duration(float64(time.Second) / j.state.header.Rate)
	for ctx.Err() == nil {
		wait, over, err := j.step(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case over:
			return
		case err != nil:
			j.say("waits: " + short(err))
			j.s.log.Warn("work on a bulk action", "bulk_id", j.state.header.ID, "error", err)
			wait = bulkBackoff
		case wait == 0:
			// An item was acted on: the next one's time is one gap later, and what a
			// late item cost is not made up for by a burst.
			if due = due.Add(gap); due.Before(j.s.now().Add(-gap)) {
				due = j.s.now()
			}
			wait = due.Sub(j.s.now())
		}
		if wait <= 0 {
			continue
		}
		pace.Reset(wait)
		select {
		case <-ctx.Done():
		case <-pace.C:
		}
	}
}

// short is an error as an operator is told it: without what is for the log alone.
func short(err error) string {
	if f := asFailure(err); f.detail != "" {
		return f.detail
	}
	return statuses[asFailure(err).code].title
}

// step does what is next: it looks after the outcomes, keeps the progress, decides,
// and acts on one item. wait is how long until the next step, 0 for the pace of
// the action.
func (j *bulkJob) step(ctx context.Context) (wait time.Duration, over bool, err error) {
	now := j.s.now()
	interval := j.s.cfg.BulkInterval
	if now.Sub(j.polled) >= interval {
		j.polled = now
		if err := j.pollOutcomes(ctx); err != nil {
			return 0, false, err
		}
	}
	if now.Sub(j.saved) >= interval {
		if err := j.save(ctx); err != nil {
			return 0, false, err
		}
	}
	h := &j.state.header
	p := j.progress()
	if why := j.stopWhy(p); why != "" {
		return 0, true, j.end(ctx, bulkStopped, why)
	}
	j.skipDone()
	if j.next == len(j.state.items) {
		switch {
		case p.Running == 0:
			return 0, true, j.end(ctx, bulkCompleted, "")
		case now.Sub(j.moved) > bulkOutcomes:
			return 0, true, j.end(ctx, bulkCompleted, fmt.Sprintf("%d retries have no outcome yet; their tasks show it", p.Running))
		}
		j.say("every item was acted on; waits for the outcomes")
		return interval, false, nil
	}
	if h.Canary > 0 && h.PastFinished == 0 && j.asked >= h.Canary && p.Running > 0 && !j.canaryOver() {
		j.say(fmt.Sprintf("waits for the outcome of the first %d", h.Canary))
		return interval, false, nil
	}
	item := j.state.items[j.next]
	if h.Stop.OnBreakerOpen && item.Provider != "" {
		if err := j.lookAtBreakers(ctx, now); err != nil {
			return 0, false, err
		}
		if j.open[item.Provider] {
			return 0, true, j.end(ctx, bulkStopped, fmt.Sprintf("the breaker of %s is open", item.Provider))
		}
	}
	j.say("")
	res, err := j.act(ctx, item)
	if err != nil {
		return 0, false, err
	}
	j.set(j.next, res)
	return 0, false, nil
}

// skipDone moves on to the first item that waits.
func (j *bulkJob) skipDone() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.next < len(j.state.items) && j.state.results[j.next].Status != itemWaiting {
		j.next++
	}
}

// canaryOver reports whether the first items all have their outcome.
func (j *bulkJob) canaryOver() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	left := j.state.header.Canary
	for i := range j.state.results {
		if left == 0 {
			break
		}
		switch j.state.results[i].Status {
		case itemRunning, itemWaiting:
			return false
		case itemSkipped:
		default:
			left--
		}
	}
	return true
}

// stopWhy says which rule stops the action; empty where none does.
func (j *bulkJob) stopWhy(p bulkProgress) string {
	h := &j.state.header
	finished, failed := p.Succeeded+p.Failed-h.PastFinished, p.Failed-h.PastFailed
	if finished <= 0 {
		return ""
	}
	share := float64(failed) / float64(finished)
	canary := h.Canary > 0 && h.PastFinished == 0 && finished <= h.Canary && p.Running == 0 && j.asked >= h.Canary
	if share > h.Stop.FailureShare && (finished >= h.Stop.MinFinished || canary) {
		return fmt.Sprintf("%d of %d finished items failed, more than the share of %g", failed, finished, h.Stop.FailureShare)
	}
	return ""
}

func (j *bulkJob) lookAtBreakers(ctx context.Context, now time.Time) error {
	if now.Sub(j.notOpen) < j.s.cfg.BulkInterval {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, j.s.cfg.QueryTimeout)
	defer cancel()
	h, err := j.s.deps.Reader.Health(ctx, readmodel.Scope{Namespace: j.state.namespace}, time.Minute)
	if err != nil {
		return readFailure("look at the breakers", err)
	}
	j.notOpen, j.open = now, map[string]bool{}
	for _, b := range h.ActiveBreakers {
		if b.State == timeline.BreakerOpen {
			j.open[b.Provider] = true
		}
	}
	return nil
}

// act does to an item what the action is about, as the operator who asked for it.
// An error says that a part could not be reached, and the item still waits.
func (j *bulkJob) act(ctx context.Context, item bulkItem) (bulkResult, error) {
	ctx, cancel := context.WithTimeout(ctx, j.s.cfg.QueryTimeout)
	defer cancel()
	h := &j.state.header
	r := &request{
		ctx: ctx, scope: j.state.scope(), id: h.ID, bulk: h.ID,
		principal: auth.Principal{ID: h.CreatedBy, Namespace: j.state.namespace, UserID: h.UserID, Scopes: []auth.Scope{auth.ScopeOperate}},
	}
	o := order{reason: h.Reason}
	var a accepted
	var err error
	if h.Action == bulkDiscard {
		a, err = j.s.discardLetter(r, o, item.DeadLetter)
	} else {
		a, err = j.s.retryLetter(r, o, item.DeadLetter)
	}
	switch {
	case err == nil && h.Action == bulkDiscard:
		return bulkResult{Status: itemDiscarded}, nil
	case err == nil:
		return bulkResult{Status: itemRunning, NextRun: a.Run}, nil
	}
	f := asFailure(err)
	if status := statuses[f.code].status; status >= 500 || status == 429 {
		return bulkResult{}, err
	}
	if done, ok, err := j.doneBefore(ctx, item); err != nil || ok {
		return done, err
	}
	return bulkResult{Status: itemSkipped, Code: string(f.code), Detail: f.detail}, nil
}

// doneBefore finds out whether this very action acted on the item already, and
// could not keep that: the item's timeline says so.
func (j *bulkJob) doneBefore(ctx context.Context, item bulkItem) (bulkResult, bool, error) {
	events, err := j.s.events(ctx, j.state.scope(), item.TaskID)
	if errors.Is(err, readmodel.ErrNotFound) {
		return bulkResult{}, false, nil
	}
	if err != nil {
		return bulkResult{}, false, err
	}
	for i := range events {
		e := &events[i]
		if e.DeadLetter == nil || e.DeadLetter.ID != item.DeadLetter || e.Attributes[bulkAttribute] != j.state.header.ID {
			continue
		}
		switch e.Type {
		case timeline.DLQRetryRequested:
			return bulkResult{Status: itemRunning, NextRun: e.Run}, true, nil
		case timeline.DLQDiscarded:
			return bulkResult{Status: itemDiscarded}, true, nil
		}
	}
	return bulkResult{}, false, nil
}

// pollOutcomes looks what became of the next batch of accepted retries.
func (j *bulkJob) pollOutcomes(ctx context.Context) error {
	j.mu.Lock()
	var batch []int
	n := len(j.state.items)
	for k := 0; k < n && len(batch) < outcomeBatch; k++ {
		if i := (j.pollFrom + k) % n; j.state.results[i].Status == itemRunning {
			batch = append(batch, i)
		}
	}
	if len(batch) > 0 {
		j.pollFrom = (batch[len(batch)-1] + 1) % n
	}
	j.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	byID := make(map[timeline.ID]int, len(batch))
	f := readmodel.DeadLetterFilter{}
	for _, i := range batch {
		byID[j.state.items[i].DeadLetter] = i
		f.IDs, f.TaskIDs = append(f.IDs, j.state.items[i].DeadLetter), append(f.TaskIDs, j.state.items[i].TaskID)
	}
	ctx, cancel := context.WithTimeout(ctx, j.s.cfg.QueryTimeout)
	defer cancel()
	rows, err := j.s.deps.Reader.DeadLetters(ctx, j.state.scope(), f, readmodel.Page{Limit: maxLimit})
	if err != nil {
		return readFailure("read the outcomes", err)
	}
	for k := range rows.Rows {
		d := &rows.Rows[k]
		i, ours := byID[d.ID]
		if !ours {
			continue
		}
		res := j.state.results[i] // written by this goroutine alone
		switch d.Status {
		case timeline.DeadLetterResolved:
			j.set(i, bulkResult{Status: itemOK, NextRun: res.NextRun})
		case timeline.DeadLetterSuperseded:
			j.set(i, bulkResult{Status: itemFailed, NextRun: res.NextRun, Detail: "the run failed too"})
		case timeline.DeadLetterDiscarded:
			j.set(i, bulkResult{Status: itemFailed, NextRun: res.NextRun, Detail: "it was discarded"})
		case timeline.DeadLetterPending:
			if j.s.now().Sub(res.At) > bulkPutBack {
				j.set(i, bulkResult{Status: itemFailed, NextRun: res.NextRun, Detail: "it is pending again: the run made no attempt, or was cancelled"})
			}
		}
	}
	return nil
}

// save puts the results that are not on record there, and the progress.
func (j *bulkJob) save(ctx context.Context) error {
	j.mu.Lock()
	chunks := map[int][]bulkResult{}
	for n := range j.dirty {
		part := j.state.results[n*bulkChunk : min((n+1)*bulkChunk, len(j.state.results))]
		chunks[n] = slices.Clone(part)
	}
	h := j.state.header
	j.mu.Unlock()
	j.saved = j.s.now()
	if len(chunks) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, j.s.cfg.QueryTimeout)
	defer cancel()
	by := timeline.Operator{Actor: bulkActor}
	for n, results := range chunks {
		// The time orders the versions of one writer; who else writes took over from it.
		if _, err := j.s.setAfter(ctx, j.state.namespace, bulkKind(h.ID), bulkChunkID(n, bulkResultsSuffix), 0, bulkResultsChunk{results}, by); err != nil {
			return err
		}
		j.mu.Lock()
		if slices.Equal(results, j.state.results[n*bulkChunk:n*bulkChunk+len(results)]) {
			delete(j.dirty, n)
		}
		j.mu.Unlock()
	}
	_, err := j.s.setAfter(ctx, j.state.namespace, bulkKind(h.ID), bulkProgressRecord, 0, j.progress(), by)
	return err
}

// end changes the action's status, unless an operator changed it meanwhile.
func (j *bulkJob) end(ctx context.Context, status bulkStatus, why string) error {
	if err := j.save(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, j.s.cfg.QueryTimeout)
	defer cancel()
	h, version, err := j.s.bulkHeader(ctx, readmodel.Scope{Namespace: j.state.namespace}, j.state.header.ID)
	if err != nil || h.Status != bulkRunning {
		return err
	}
	j.say("")
	h.Status, h.StatusReason, h.UpdatedAt = status, why, j.s.now().UTC()
	if status.ended() {
		p := j.progress()
		h.EndedAt, h.Progress = h.UpdatedAt, &p
	}
	_, err = j.s.setAfter(ctx, j.state.namespace, timeline.SettingBulk, h.ID, version, h, timeline.Operator{Actor: bulkActor, Reason: why})
	return err
}
