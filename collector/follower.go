package collector

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/internal/spool"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// brakeAfter is how many frames in a row may be set aside at full speed. Past it
// each further one waits: a sink that refuses everything for good is more likely
// set up wrongly than fed wrongly.
const brakeAfter = 8

// errDraining ends a follower whose sink is down when the collector stops.
var errDraining = errors.New("stopping")

// follower feeds one sink from the log. A batch is a range that is frozen, on
// the disk, before the first try: it stays the same bytes under the same token
// until the sink has taken it, over restarts too.
type follower struct {
	c      *Collector
	log    *spool.Log
	spec   SinkSpec
	name   string
	cursor *spool.Cursor
	tally  *tally
	aside  *aside
	lost   *spoiled

	batch   spool.Batch
	frames  int // how many frames the next batch may have; shrinks around a poisoned one
	inARow  int // frames set aside since the last success
	drained <-chan struct{}

	mu      sync.Mutex
	oldest  time.Time // when the first frame of the present batch came in
	lastErr string
	since   time.Time
	retries uint64
}

// run follows the log until ctx ends, or until draining has begun and the sink
// has what there is.
func (f *follower) run(ctx context.Context) {
	wait, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-f.drained:
			cancel(errDraining)
		case <-wait.Done():
		}
	}()
	for ctx.Err() == nil {
		err := f.step(ctx, wait)
		switch {
		case err == nil:
		case errors.Is(err, errDraining), errors.Is(err, spool.ErrClosed), ctx.Err() != nil:
			return
		default:
			f.failed(err)
			f.c.cfg.Logger.Error("a follower of the log can't go on", "sink", f.name, "error", err)
			if !f.pause(wait, f.spec.MaxBackoff) {
				return
			}
		}
	}
}

// step delivers one batch.
func (f *follower) step(ctx, wait context.Context) error {
	if err := f.read(wait); err != nil {
		return err
	}
	if f.batch.Empty() {
		if wait.Err() != nil {
			return errDraining
		}
		return nil
	}
	if f.spec.LossyAfter > 0 {
		return f.deliverLossy(ctx, wait)
	}
	if len(f.batch.Frames) == 0 { // damage alone
		return f.advance(func(*counts) {})
	}
	if err := f.cursor.Freeze(f.batch.To); err != nil {
		return fmt.Errorf("freeze batch: %w", err)
	}
	f.begin()
	return f.deliver(ctx, wait)
}

// beginCounts counts as skipped what a new sink will never see: records that had
// left the log before it came.
func (f *follower) beginCounts() error {
	var left uint64
	for at := f.cursor.Position(); ; at = f.batch.To {
		if err := f.log.ReadBatch(at, f.spec.MaxBatchBytes, 0, &f.batch); err != nil {
			return fmt.Errorf("count log: %w", err)
		}
		if f.batch.Empty() {
			break
		}
		left += f.records()
	}
	total := f.c.accepted.Load()
	return f.tally.commit(func(c *counts) { c.Skipped = total - min(left, total) })
}

// read fills the batch: the frozen range where there is one, else what stands
// behind the cursor, after waiting for something to stand there.
func (f *follower) read(wait context.Context) error {
	if from, to, ok := f.cursor.Frozen(); ok {
		err := f.log.ReadRange(from, to, &f.batch)
		if err == nil {
			return nil
		}
		if !errors.Is(err, spool.ErrGone) && !errors.Is(err, spool.ErrBadPosition) {
			return fmt.Errorf("read frozen batch: %w", err)
		}
		f.c.cfg.Logger.Error("a frozen batch is no longer in the log", "sink", f.name, "from", from, "to", to, "error", err)
		if err := f.cursor.Thaw(); err != nil {
			return fmt.Errorf("drop frozen batch: %w", err)
		}
	}
	at := f.cursor.Position()
	if err := f.log.Wait(wait, at); err != nil && wait.Err() == nil {
		return fmt.Errorf("wait for log: %w", err)
	}
	if f.spec.Linger > 0 && wait.Err() == nil {
		linger, cancel := context.WithTimeout(wait, f.spec.Linger)
		_ = f.log.Wait(linger, at+spool.Position(f.spec.MaxBatchBytes)) // full, or it has lingered long enough
		cancel()
	}
	if err := f.log.ReadBatch(at, f.spec.MaxBatchBytes, f.frames, &f.batch); err != nil {
		return fmt.Errorf("read batch: %w", err)
	}
	return nil
}

// deliver tries the frozen batch until the sink has it.
func (f *follower) deliver(ctx, wait context.Context) error {
	for try := 0; ; try++ {
		err := f.write(ctx)
		if err == nil {
			f.inARow = 0
			f.frames = min(2*f.frames, f.spec.MaxBatchFrames)
			n := f.records()
			f.c.metrics.sent.WithLabelValues(f.name).Add(float64(n))
			f.succeeded()
			return f.advance(func(c *counts) { c.Written += n; c.Frames += uint64(len(f.batch.Frames)) })
		}
		f.failed(err)
		f.c.metrics.sendFailed.WithLabelValues(f.name).Inc()
		if permanent(err) && ctx.Err() == nil {
			if len(f.batch.Frames) > 1 {
				// None of it was taken. The ranges that follow are frozen one by one,
				// each half as long, until the frame at fault stands alone.
				f.frames = len(f.batch.Frames) / 2
				if err := f.cursor.Thaw(); err != nil {
					return fmt.Errorf("cut batch anew: %w", err)
				}
				return nil
			}
			if err = f.setAside(err, wait); err == nil {
				return nil
			}
		}
		if !f.pause(wait, f.backoff(try)) {
			return errDraining
		}
	}
}

func (f *follower) write(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, f.spec.WriteTimeout)
	defer cancel()
	return f.spec.Sink.Write(ctx, &f.batch)
}

// backoff doubles from MinBackoff, drawn from the upper half, never past
// MaxBackoff.
func (f *follower) backoff(try int) time.Duration {
	d := f.spec.MaxBackoff
	if try < 30 {
		d = min(d, f.spec.MinBackoff<<try)
	}
	return d/2 + rand.N(d/2+1)
}

// pause waits; false when the collector stops.
func (f *follower) pause(wait context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-wait.Done():
		return false
	}
}

// setAside keeps the one frame of the batch in a file and goes on behind it.
func (f *follower) setAside(cause error, wait context.Context) error {
	if f.inARow++; f.inARow > brakeAfter {
		f.c.cfg.Logger.Error("a sink refuses everything for good; is it set up right?", "sink", f.name, "in_a_row", f.inARow, "error", cause)
		if !f.pause(wait, f.spec.MaxBackoff) {
			return errDraining
		}
	}
	n := f.records()
	name := fmt.Sprintf("%d-%d", f.batch.From, f.batch.To)
	err := f.aside.put(name, f.batch.Frames[0], SetAside{
		Sink: f.name, Token: f.batch.Token(), Error: cause.Error(), At: f.c.deps.Now().UTC(), Records: int(n),
	})
	if err != nil {
		f.failed(err)
		return err
	}
	f.c.cfg.Logger.Error("a frame was set aside", "sink", f.name, "records", n, "file", f.aside.dir+"/"+name+".json", "error", cause)
	f.c.metrics.setAside.WithLabelValues(f.name).Add(float64(n))
	if f.spec.Tombstones {
		f.c.watch.emit(tombstones(f.batch.LogID, f.batch.Frames[0])...)
	}
	f.succeeded()
	return f.advance(func(c *counts) { c.SetAside += n; c.Frames++ })
}

// deliverLossy writes what is new enough, once: the cursor moves before the first
// try, and the records count as skipped until they are written.
func (f *follower) deliverLossy(ctx, wait context.Context) error {
	total := f.records()
	limit := f.c.deps.Now().Add(-f.spec.LossyAfter)
	frames := uint64(len(f.batch.Frames))
	keep, seqs := f.batch.Frames[:0], f.batch.Seqs[:0]
	for i, frame := range f.batch.Frames {
		if env, _, err := wire.DecodeFrame(frame); err == nil && env.IngestedAt.After(limit) {
			keep, seqs = append(keep, frame), append(seqs, f.batch.Seqs[i])
		}
	}
	f.batch.Frames, f.batch.Seqs = keep, seqs
	n := f.records()
	if len(keep) > 0 {
		f.begin()
	}
	if err := f.advance(func(c *counts) { c.Skipped += total; c.Frames += frames }); err != nil {
		return err
	}
	f.c.metrics.skipped.WithLabelValues(f.name).Add(float64(total - n))
	for try := 0; len(keep) > 0; try++ {
		err := f.write(ctx)
		if err == nil {
			f.succeeded()
			f.c.metrics.sent.WithLabelValues(f.name).Add(float64(n))
			return f.tally.commit(func(c *counts) { c.Written += n; c.Skipped -= n })
		}
		f.failed(err)
		f.c.metrics.sendFailed.WithLabelValues(f.name).Inc()
		env, _, _ := wire.DecodeFrame(keep[0])
		if permanent(err) || env.IngestedAt.Before(f.c.deps.Now().Add(-f.spec.LossyAfter)) || !f.pause(wait, f.backoff(try)) {
			f.c.metrics.skipped.WithLabelValues(f.name).Add(float64(n))
			return nil
		}
	}
	return nil
}

func (f *follower) advance(change func(*counts)) error {
	err := f.tally.commit(func(c *counts) {
		change(c)
		c.At = f.batch.To
	})
	if err != nil {
		f.c.sayOnce("counts of "+f.name, "the ledger can't be kept", "error", err)
	}
	if err := f.lost.note(f.batch.Damaged); err != nil {
		f.c.sayOnce("damage of "+f.name, "the ledger can't be kept", "error", err)
	}
	if err := f.cursor.Advance(f.batch.To); err != nil {
		return fmt.Errorf("move cursor: %w", err)
	}
	f.mu.Lock()
	f.oldest = time.Time{}
	f.mu.Unlock()
	return nil
}

func (f *follower) records() (n uint64) {
	for i, frame := range f.batch.Frames {
		n += f.c.counts.of(f.batch.Seqs[i], frame)
	}
	return n
}

// begin notes how old the batch is, for the lag.
func (f *follower) begin() {
	env, _, err := wire.DecodeFrame(f.batch.Frames[0])
	if err != nil {
		return
	}
	f.mu.Lock()
	f.oldest = env.IngestedAt
	f.mu.Unlock()
}

func (f *follower) failed(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.retries++
	if f.lastErr == "" {
		f.since = f.c.deps.Now().UTC()
		f.c.cfg.Logger.Warn("a sink does not take its batch; it is kept and tried again", "sink", f.name, "error", err)
	}
	f.lastErr = err.Error()
}

func (f *follower) succeeded() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lastErr != "" {
		f.c.cfg.Logger.Info("a sink takes its batches again", "sink", f.name)
	}
	f.lastErr, f.since = "", time.Time{}
}

func (f *follower) state() SinkState {
	at := f.cursor.Position()
	end := f.log.End()
	f.mu.Lock()
	defer f.mu.Unlock()
	s := SinkState{Name: f.name, Position: at, LagBytes: int64(end - min(at, end)), LastError: f.lastErr, Since: f.since, Retries: f.retries}
	if !f.oldest.IsZero() && s.LagBytes > 0 {
		s.LagSeconds = max(0, f.c.deps.Now().Sub(f.oldest).Seconds())
	}
	return s
}
