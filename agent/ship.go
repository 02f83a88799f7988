package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/tasktrail/tasktrail/agent/failure"
	"github.com/tasktrail/tasktrail/internal/spool"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

const (
	shipCursor = "ship"
	// A batch is at most so large: well within what a collector takes at once.
	shipBytes   = 1 << 20
	shipFrames  = 4096
	shipTimeout = 30 * time.Second
	// Waits between tries that were in vain.
	shipBase, shipCap = 100 * time.Millisecond, 10 * time.Second
	adoptEvery        = 30 * time.Second
)

// ship sends what is in the spool, in order, until ctx ends: for as long as it
// takes, since nothing that was recorded is given up.
func (a *Agent) ship(ctx context.Context) {
	if err := a.shipLog(ctx, a.log, false); err != nil && ctx.Err() == nil && !errors.Is(err, errUnreachable) {
		a.cfg.Logger.Error("the spool cannot be read: nothing more is shipped", "dir", a.log.Dir(), "error", err)
	}
}

// shipLog sends the frames of a log. With untilEnd it returns when all are sent.
func (a *Agent) shipLog(ctx context.Context, log *spool.Log, untilEnd bool) error {
	cursor, err := log.Cursor(shipCursor)
	if err != nil {
		return err
	}
	var b spool.Batch
	var request []byte
	for ctx.Err() == nil {
		if err := log.ReadBatch(cursor.Position(), shipBytes, shipFrames, &b); err != nil {
			return err
		}
		if b.Empty() {
			if untilEnd {
				return nil
			}
			if err := log.Wait(ctx, cursor.Position()); err != nil {
				return err
			}
			continue
		}
		for _, d := range b.Damaged {
			if d.Missing() > 0 {
				a.bury(log, timeline.Gap{From: d.FirstSeq, To: d.NextSeq - 1, Reason: "corrupt"})
			}
		}
		if request, err = a.deliver(ctx, log, b.Frames, request[:0]); err != nil {
			return err
		}
		if err := cursor.Advance(b.To); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// deliver sends frames until the collector has taken them. A request it will
// never take is halved until only the frame at fault is set aside, counted. The
// buffer is returned for the next one.
func (a *Agent) deliver(ctx context.Context, log *spool.Log, frames [][]byte, request []byte) ([]byte, error) {
	if len(frames) == 0 {
		return request, nil
	}
	request = wire.AppendExportRequest(request[:0], wire.Resource{ServiceName: a.cfg.Name, ServiceInstanceID: a.source}, frames)
	for n := 0; ; n++ {
		refused, wait, err := a.post(ctx, request)
		if err == nil {
			a.stats.shipped.Add(uint64(len(frames) - refused))
			if refused > 0 {
				a.refuse(log, frames, request, refused)
			}
			return request, nil
		}
		if ctx.Err() != nil {
			return request, context.Cause(ctx)
		}
		var never *neverTaken
		if errors.As(err, &never) {
			if len(frames) == 1 {
				a.stats.refused.Add(1)
				a.cfg.Logger.Error("the collector will never take an event: it is set aside", "error", err)
				a.buryFrame(log, frames[0])
				return request, nil
			}
			half := len(frames) / 2
			if request, err = a.deliver(ctx, log, frames[:half], request); err != nil {
				return request, err
			}
			return a.deliver(ctx, log, frames[half:], request)
		}
		if a.stats.shipErrors.Add(1) == 1 || n == 5 {
			a.cfg.Logger.Warn("events cannot be shipped; they wait in the spool", "collector", a.cfg.CollectorURL, "error", err)
		}
		closing := a.closing
		if a.draining() {
			if unreachable(err) {
				a.goneOnce.Do(func() { close(a.gone) })
				return request, errUnreachable
			}
			closing = nil // the one try that the end of a wait is worth was made
		}
		timer := time.NewTimer(max(wait, backoff(n)))
		select {
		case <-timer.C:
		case <-closing:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return request, context.Cause(ctx)
		}
	}
}

// refuse accounts for the records of a request that the collector took without
// them. Its answer says how many; which ones, the check it made says here too.
func (a *Agent) refuse(log *spool.Log, frames [][]byte, request []byte, refused int) {
	a.stats.refused.Add(uint64(refused))
	report, err := wire.Check(request, wire.Limits{MaxReasons: len(frames), MaxRecordBytes: 2 << 20})
	if err != nil || report.Rejected != refused || len(report.Reasons) != refused {
		a.cfg.Logger.Error("the collector refused events for reasons of its own: they are missing without a mark", "events", refused)
		return
	}
	for _, r := range report.Reasons {
		a.cfg.Logger.Error("the collector refused an event: it is set aside", "field", r.Field, "want", r.Want)
		a.buryFrame(log, frames[r.Index])
	}
}

// buryFrame marks an event that will never arrive. A tombstone that is refused
// gets none of its own.
func (a *Agent) buryFrame(log *spool.Log, frame []byte) {
	var rec wire.Record
	if err := wire.DecodeLogRecord(frame, &rec); err != nil || rec.SourceSeq == 0 || rec.Type == timeline.Tombstone {
		return
	}
	a.bury(log, timeline.Gap{From: rec.SourceSeq, To: rec.SourceSeq, Reason: "refused"})
}

// bury writes the tombstone of a range of a log's sequence into that log.
func (a *Agent) bury(log *spool.Log, gap timeline.Gap) {
	now := time.Now().UTC()
	e := timeline.Event{
		ID: a.ids.Next(now), Type: timeline.Tombstone, Severity: timeline.SeverityWarning, SourceID: log.ID(), OccurredAt: now, Gap: &gap,
	}
	e.Namespace, e.Agent = a.cfg.Namespace, a.cfg.Name
	_, err := log.AppendFunc(true, func(dst []byte, seq uint64) []byte {
		e.SourceSeq = seq
		return wire.AppendLogRecord(dst, &e)
	})
	if err != nil {
		a.cfg.Logger.Error("a gap could not be marked", "from_seq", gap.From, "to_seq", gap.To, "reason", gap.Reason, "error", err)
	}
}

// backoff draws the wait after n tries in vain, over the whole range, so that a
// fleet does not come back at the same moment.
func backoff(n int) time.Duration {
	most := shipCap
	if n < 10 {
		most = min(shipBase<<n, shipCap)
	}
	return most/4 + rand.N(most*3/4)
}

// neverTaken is an answer that a repetition cannot change.
type neverTaken struct{ err error }

func (e *neverTaken) Error() string { return e.err.Error() }
func (e *neverTaken) Unwrap() error { return e.err }

// post sends one request. It returns how many records the collector refused for
// good, and how long it asked to be left alone.
func (a *Agent) post(ctx context.Context, body []byte) (refused int, wait time.Duration, err error) {
	ctx, stop := context.WithTimeout(ctx, shipTimeout)
	defer stop()
	compressed := len(body) >= compressFrom && !a.nearby
	if compressed {
		if body, err = compress(body); err != nil {
			return 0, 0, fmt.Errorf("compress a request: %w", err)
		}
	}
	req, err := a.request(ctx, http.MethodPost, "/v1/logs", "application/x-protobuf", body)
	if err != nil {
		return 0, 0, err
	}
	if compressed {
		req.Header.Set("Content-Encoding", "gzip")
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, 0, fmt.Errorf("read the collector's answer: %w", err)
	}
	switch code := resp.StatusCode; {
	case code == http.StatusOK:
		refused, err = rejectedRecords(answer)
		return refused, 0, err
	case code == http.StatusBadRequest || code == http.StatusRequestEntityTooLarge || code == http.StatusUnsupportedMediaType:
		return 0, 0, &neverTaken{fmt.Errorf("the collector answered %s", resp.Status)}
	default:
		wait, _ := failure.ParseRetryAfter(resp.Header.Get("Retry-After"), time.Now())
		return 0, min(wait, time.Minute), fmt.Errorf("the collector answered %s", resp.Status)
	}
}

// rejectedRecords reads partial_success.rejected_log_records out of an
// ExportLogsServiceResponse: field 1 of field 1.
func rejectedRecords(b []byte) (int, error) {
	partial, _, err := protoField(b, 1)
	if err != nil || partial == nil {
		return 0, err
	}
	_, n, err := protoField(partial, 1)
	return int(n), err
}

// adopt ships what processes that are gone left in their slots.
func (a *Agent) adopt(ctx context.Context) {
	tick := time.NewTicker(adoptEvery)
	defer tick.Stop()
	for {
		dirs, err := spool.Orphans(a.cfg.SpoolDir)
		if err != nil {
			a.cfg.Logger.Warn("look for spools of processes that are gone", "error", err)
		}
		for _, dir := range dirs {
			if err := a.adoptOne(ctx, dir); err != nil && ctx.Err() == nil && !errors.Is(err, spool.ErrLocked) && !errors.Is(err, errUnreachable) {
				a.cfg.Logger.Warn("ship what a process left behind", "dir", dir, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (a *Agent) adoptOne(ctx context.Context, dir string) error {
	log, err := spool.Open(spool.Options{Dir: dir, MaxBytes: a.cfg.SpoolMaxBytes, Logger: a.cfg.Logger})
	if err != nil {
		return err
	}
	a.cfg.Logger.Info("shipping what a process left behind", "dir", dir)
	return errors.Join(a.shipLog(ctx, log, true), log.Close())
}
