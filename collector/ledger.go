package collector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tasktrail/tasktrail/internal/spool"
)

// Ledger accounts for every record that came to the door, over restarts too:
// for each sink, Accepted = Written + Queued + SetAside + Skipped. Records are
// OTLP log records.
type Ledger struct {
	// LogID is the id of the log that the counts belong to.
	LogID string `json:"log_id"`
	// Accepted and Frames count what stands in the log, ever.
	Accepted uint64 `json:"accepted_records"`
	Frames   uint64 `json:"accepted_frames"`
	// Refused counts records turned away in requests that were otherwise read;
	// after a kill the last second of it may be missing.
	Refused uint64 `json:"refused_records"`
	// Repeated counts records that were acknowledged because they stand in the log
	// already, since the start; they are not among the accepted.
	Repeated uint64 `json:"repeated_records"`
	// Damaged counts frames that the disk has spoiled before every sink had them, ever:
	// those of the sink that lost most.
	Damaged uint64       `json:"damaged_frames"`
	Sinks   []SinkLedger `json:"sinks"`
}

// SinkLedger is what became of the accepted records at one sink.
type SinkLedger struct {
	Name     string `json:"name"`
	Written  uint64 `json:"written_records"`
	Queued   uint64 `json:"queued_records"`
	SetAside uint64 `json:"set_aside_records"`
	// Skipped is what a lossy sink passed over, because it was too old or could
	// not be written in time.
	Skipped uint64 `json:"skipped_records"`
	// Damaged counts frames that the disk has spoiled before the sink had them, ever.
	// The records in them stay among the queued, or were never counted as accepted.
	Damaged uint64 `json:"damaged_frames"`
}

const (
	ledgerName  = "ledger" // of the cursor, and of the counts' file
	ledgerEvery = time.Second
	ledgerBatch = 4 << 20
)

// book counts what stands in the log, from a position that is kept: what was
// appended in the last moment before a kill is counted again from the log itself.
type book struct {
	c      *Collector
	log    *spool.Log
	cursor *spool.Cursor
	tally  *tally
	batch  spool.Batch
}

func openBook(c *Collector, log *spool.Log, path string) (*book, error) {
	cursor, err := log.Cursor(ledgerName)
	if err != nil {
		return nil, fmt.Errorf("open cursor of the ledger: %w", err)
	}
	t, err := openTally(path, cursor.Position())
	if err != nil {
		return nil, err
	}
	b := &book{c: c, log: log, cursor: cursor, tally: t}
	c.refused.Store(t.get().Refused)
	if err := b.catchUp(); err != nil {
		return nil, errors.Join(err, t.close())
	}
	c.accepted.Store(t.get().Written)
	c.frames.Store(t.get().Frames)
	return b, nil
}

// catchUp counts to the end of the log.
func (b *book) catchUp() error {
	for {
		if err := b.log.ReadBatch(b.cursor.Position(), ledgerBatch, 0, &b.batch); err != nil {
			return fmt.Errorf("count log: %w", err)
		}
		refused := b.c.refused.Load()
		if b.batch.Empty() {
			if b.tally.get().Refused != refused {
				return b.tally.commit(func(c *counts) { c.Refused = refused })
			}
			return nil
		}
		var n uint64
		for i, frame := range b.batch.Frames {
			n += b.c.counts.of(b.batch.Seqs[i], frame)
		}
		err := b.tally.commit(func(c *counts) {
			c.At, c.Refused = b.batch.To, refused
			c.Written += n
			c.Frames += uint64(len(b.batch.Frames))
		})
		if err != nil {
			return err
		}
		if err := b.cursor.Advance(b.batch.To); err != nil {
			return fmt.Errorf("move cursor of the ledger: %w", err)
		}
	}
}

func (b *book) run(ctx context.Context) {
	tick := time.NewTicker(ledgerEvery)
	defer tick.Stop()
	for {
		if err := b.catchUp(); err != nil && !errors.Is(err, spool.ErrClosed) {
			b.c.sayOnce("ledger", "the ledger can't be kept", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			_ = b.catchUp() // what is missing is counted at the next start
			return
		}
	}
}

// Ledger accounts for what came in.
func (c *Collector) Ledger() Ledger {
	log := c.log.Load()
	if log == nil {
		return Ledger{}
	}
	// Sinks first: they are never ahead of the count of what was accepted.
	var sinks []SinkLedger
	var damaged uint64
	for _, f := range c.followers {
		n, lost := f.tally.get(), f.lost.frames()
		damaged = max(damaged, lost)
		sinks = append(sinks, SinkLedger{Name: f.name, Written: n.Written, SetAside: n.SetAside, Skipped: n.Skipped, Damaged: lost})
	}
	l := Ledger{LogID: log.ID(), Accepted: c.accepted.Load(), Frames: c.frames.Load(), Refused: c.refused.Load(), Repeated: c.repeated.Load(), Damaged: damaged, Sinks: sinks}
	for i := range sinks {
		s := &sinks[i]
		if done := s.Written + s.SetAside + s.Skipped; done < l.Accepted {
			s.Queued = l.Accepted - done
		}
	}
	return l
}

// Unbalanced returns the sinks whose accounts do not add up to what was accepted,
// with how many records are missing (or too many, below 0).
func (l *Ledger) Unbalanced() map[string]int64 {
	out := map[string]int64{}
	for _, s := range l.Sinks {
		if missing := int64(l.Accepted) - int64(s.Written+s.Queued+s.SetAside+s.Skipped); missing != 0 {
			out[s.Name] = missing
		}
	}
	return out
}
