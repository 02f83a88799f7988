package query

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

const (
	bulkLease    = "query/bulk"
	bulkLeaseTTL = 15 * time.Second
	// maxBulkJobs bounds the bulk actions that are worked on at the same time; the
	// others wait in the order of their creation.
	maxBulkJobs = 4
	// bulkKeep is how long an action that ended is kept.
	bulkKeep = 30 * 24 * time.Hour
)

// bulks works on the bulk actions of all namespaces, in one process at a time. It
// derives everything from what is on record, so that the process that takes over
// carries on where the last one stopped.
type bulks struct {
	s      *Server
	holder string
	poke   chan struct{}

	mu   sync.Mutex
	jobs map[taskKey]*bulkJob // by namespace and id
	wg   sync.WaitGroup
}

func newBulks(s *Server) *bulks {
	return &bulks{s: s, holder: s.ids.Next(s.now()).String(), poke: make(chan struct{}, 1), jobs: map[taskKey]*bulkJob{}}
}

// wake makes the next look happen at once.
func (b *bulks) wake() {
	select {
	case b.poke <- struct{}{}:
	default:
	}
}

// run looks for work until ctx ends, and then waits for the jobs.
func (b *bulks) run(ctx context.Context) {
	defer b.wg.Wait()
	tick := time.NewTicker(b.s.cfg.BulkInterval)
	defer tick.Stop()
	for {
		if err := b.look(ctx); err != nil && ctx.Err() == nil {
			b.s.log.Warn("look for bulk actions", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-b.poke:
		}
	}
}

// look takes up what is running and lets go of what is not.
func (b *bulks) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.s.cfg.QueryTimeout)
	defer cancel()
	if l := b.s.deps.Leases; l != nil {
		mine, err := l.Lease(ctx, bulkLease, b.holder, max(bulkLeaseTTL, 5*b.s.cfg.BulkInterval))
		if err != nil || !mine {
			// Whoever has the lease by now does the work: doing it twice would harm
			// nothing but the rate that was asked for.
			b.stopAll("another process works on it")
			return err
		}
	}
	rows, err := b.s.settings.all(ctx, "", timeline.SettingBulk)
	if err != nil {
		return err
	}
	var running []bulkJobKey
	for _, v := range rows {
		h, err := decodeSetting[bulkHeader](v)
		if err != nil {
			b.s.log.Warn("a bulk action cannot be read", "error", err)
			continue
		}
		switch {
		case h.Status == bulkRunning:
			running = append(running, bulkJobKey{v.Namespace, h})
		case h.Status.ended() && b.s.now().Sub(h.EndedAt) > bulkKeep:
			if err := b.forget(ctx, v.Namespace, h); err != nil {
				return err
			}
		default:
			b.control(v.Namespace, h)
		}
	}
	slices.SortFunc(running, func(x, y bulkJobKey) int { return x.header.CreatedAt.Compare(y.header.CreatedAt) })
	for _, k := range running {
		b.take(ctx, k)
	}
	return nil
}

type bulkJobKey struct {
	namespace string
	header    bulkHeader
}

// take starts a job for a running action that has none.
func (b *bulks) take(ctx context.Context, k bulkJobKey) {
	key := taskKey{k.namespace, k.header.ID}
	b.mu.Lock()
	busy := b.jobs[key] != nil || len(b.jobs) >= maxBulkJobs || b.s.bulkBase.Err() != nil
	b.mu.Unlock()
	if busy {
		return
	}
	state, err := b.s.loadBulk(ctx, k.namespace, k.header)
	if err != nil {
		b.s.log.Warn("take up a bulk action", "error", err)
		return
	}
	jctx, stop := context.WithCancelCause(b.s.bulkBase)
	j := newBulkJob(b.s, state, stop)
	b.mu.Lock()
	b.jobs[key] = j // take is called by one goroutine alone
	b.mu.Unlock()
	b.wg.Go(func() {
		defer stop(nil)
		j.run(jctx)
		b.mu.Lock()
		delete(b.jobs, key)
		b.mu.Unlock()
	})
}

// control tells a job what its action's status is.
func (b *bulks) control(namespace string, h bulkHeader) {
	b.mu.Lock()
	j := b.jobs[taskKey{namespace, h.ID}]
	b.mu.Unlock()
	switch {
	case h.Status == bulkRunning:
		b.wake()
	case j != nil:
		j.halt("it is " + string(h.Status))
	}
}

func (b *bulks) stopAll(why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, j := range b.jobs {
		j.halt(why)
	}
}

// progress is that of a job of this process.
func (b *bulks) progress(namespace, id string) (bulkProgress, bool) {
	b.mu.Lock()
	j := b.jobs[taskKey{namespace, id}]
	b.mu.Unlock()
	if j == nil {
		return bulkProgress{}, false
	}
	return j.progress(), true
}

// snapshot is a copy of the items of a job of this process.
func (b *bulks) snapshot(namespace, id string) (*bulkState, bool) {
	b.mu.Lock()
	j := b.jobs[taskKey{namespace, id}]
	b.mu.Unlock()
	if j == nil {
		return nil, false
	}
	return j.snapshot(), true
}

// forget deletes an action that ended long ago: its items first, so that what is
// left of an interrupted deletion is found again.
func (b *bulks) forget(ctx context.Context, namespace string, h bulkHeader) error {
	rows, err := b.s.settings.all(ctx, namespace, bulkKind(h.ID))
	if err != nil {
		return err
	}
	by := timeline.Operator{Actor: bulkActor, Reason: "it ended long ago"}
	for _, v := range rows {
		if _, err := b.s.setAfter(ctx, namespace, v.Kind, v.ID, v.Version, nil, by); err != nil {
			return err
		}
	}
	_, err = b.s.set(ctx, namespace, timeline.SettingBulk, h.ID, nil, by)
	return err
}
