package collector

import (
	"context"
	"errors"
	"fmt"

	"github.com/tasktrail/tasktrail/internal/spool"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// entry says how a request came in and how it is taken.
type entry struct {
	transport string
	// reserved may use the log's reserve: for the few events that follow from
	// others, whose writer must not wait for a sink to make room.
	reserved bool
	// whole refuses everything where one record is refused.
	whole bool
	// operator may send operators' events, admin all settings.
	operator, admin bool
}

// Accept checks a protobuf ExportLogsServiceRequest, appends what is good of it
// to the log and returns after that is on the disk. The report tells what was
// refused and why.
//
// Errors: one that wraps wire.ErrMalformed, *[TooLargeError], or *[OverloadError],
// after which nothing was kept. When ctx ends during the fsync its cause is
// returned and the request may have been kept: a sender that repeats it does no
// harm, because events are known by their ids.
//
// What a source sends again is counted as accepted, and written again only where
// the first copy is no longer remembered (see door.go).
func (c *Collector) Accept(ctx context.Context, env wire.Envelope, request []byte) (wire.Report, error) {
	return c.accept(ctx, env, request, entry{transport: transportLocal, operator: true})
}

func (c *Collector) accept(ctx context.Context, env wire.Envelope, request []byte, how entry) (wire.Report, error) {
	log := c.log.Load()
	if log == nil {
		return wire.Report{}, c.unavailable(ErrNotRunning)
	}
	if len(request) > c.cfg.MaxRequestBytes {
		return wire.Report{}, &TooLargeError{Field: "request", Limit: int64(c.cfg.MaxRequestBytes)}
	}
	now := c.deps.Now()
	if env.IngestedAt.IsZero() {
		env.IngestedAt = now
	}
	v := c.door.visit(&env, how.operator, how.admin)
	defer c.door.leave(v)
	report, err := wire.Check(request, wire.Limits{MaxRecordBytes: c.cfg.MaxRecordBytes, Now: now, Inspect: v.inspect})
	if err != nil {
		return report, fmt.Errorf("read request: %w", err)
	}
	if how.whole && len(report.Reasons) > 0 {
		r := report.Reasons[0]
		return report, &timeline.FieldError{Field: r.Field, Want: r.Want}
	}
	if report.Accepted > 0 {
		if err := c.keep(ctx, log, env, &report, v, how); err != nil {
			return report, err
		}
	}
	if report.Rejected > 0 {
		c.watch.emit(refusedTombstones(log.ID(), env, request, report.Clean)...)
		c.refused.Add(uint64(report.Rejected))
		c.metrics.refused.WithLabelValues(how.transport, refusedInvalid).Add(float64(report.Rejected))
	}
	return report, nil
}

// keep has every accepted record on the disk: those that came before by the fsync
// of their first copy, the others by one of their own.
func (c *Collector) keep(ctx context.Context, log *spool.Log, env wire.Envelope, report *wire.Report, v *visit, how entry) error {
	fresh, n := report.Clean, uint64(report.Accepted)
	repeats := c.door.repeats(v)
	if len(repeats) > 0 {
		n -= uint64(len(repeats))
		fresh = wire.Without(report.Clean, repeats)
	}
	// A first copy that is remembered stands in the log, but perhaps not yet on the
	// disk: everything up to the end covers it.
	end := log.End()
	if n > 0 {
		var err error
		if end, err = c.append(log, env, fresh, n, how); err != nil {
			return err
		}
		c.door.remember(v)
	}
	if err := log.Sync(ctx, end); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("wait for the log's fsync: %w", err)
		}
		return c.unavailable(fmt.Errorf("sync log: %w", err))
	}
	c.metrics.accepted.WithLabelValues(how.transport).Add(float64(n))
	if len(repeats) > 0 {
		c.repeated.Add(uint64(len(repeats)))
		c.metrics.repeated.WithLabelValues(how.transport).Add(float64(len(repeats)))
	}
	return nil
}

// append writes a request of n records as one frame and returns where it ends.
// The records are counted before the log has them, so that no sink is ever ahead
// of the count.
func (c *Collector) append(log *spool.Log, env wire.Envelope, request []byte, n uint64, how entry) (spool.Position, error) {
	c.accepted.Add(n)
	c.frames.Add(1)
	end, err := log.AppendFunc(how.reserved, func(dst []byte, seq uint64) []byte {
		c.counts.set(seq, int(n))
		return wire.AppendFrame(dst, env, request)
	})
	if err == nil {
		return end, nil
	}
	c.accepted.Add(-n)
	c.frames.Add(^uint64(0))
	if errors.Is(err, spool.ErrFrameTooLarge) {
		return 0, &TooLargeError{Field: "request", Limit: int64(c.cfg.MaxRequestBytes)}
	}
	return 0, c.unavailable(fmt.Errorf("append to log: %w", err))
}

func (c *Collector) unavailable(cause error) *OverloadError {
	return &OverloadError{RetryAfter: c.cfg.RetryAfter, Unavailable: true, Cause: cause}
}

// maxWriteBytes is how much WriteEvents puts into one request.
const maxWriteBytes = 1 << 20

// serviceName is the resource of what the collector writes itself.
const serviceName = "tasktrail-collector"

// WriteEvents writes events of this process into the log like any sender's, and
// returns after they are on the disk. Events without a namespace get the given
// one, those without an id a new one. An event that breaks a limit is an error
// that wraps a *timeline.FieldError, and nothing of its request (a mebibyte of
// events at most) is written.
func (c *Collector) WriteEvents(ctx context.Context, namespace string, events []timeline.Event) error {
	return c.writeEvents(ctx, namespace, events, false)
}

func (c *Collector) writeEvents(ctx context.Context, namespace string, events []timeline.Event, reserved bool) error {
	var buf []byte
	var ends []int
	flush := func() error {
		records := make([][]byte, len(ends))
		from := 0
		for i, end := range ends {
			records[i] = buf[from:end]
			from = end
		}
		request := wire.AppendExportRequest(nil, wire.Resource{ServiceName: serviceName}, records)
		buf, ends = buf[:0], ends[:0]
		_, err := c.accept(ctx, wire.Envelope{Namespace: namespace, AnyNamespace: true}, request,
			entry{transport: transportLocal, reserved: reserved, whole: true, operator: true, admin: true})
		return err
	}
	for i := range events {
		e := events[i]
		if e.Namespace == "" {
			e.Namespace = namespace
		}
		if e.ID.IsZero() {
			e.ID = c.ids.Next(c.deps.Now())
		}
		e.Severity = e.Type.Severity()
		buf = wire.AppendLogRecord(buf, &e)
		ends = append(ends, len(buf))
		if len(buf) >= min(maxWriteBytes, c.cfg.MaxRequestBytes/2) {
			if err := flush(); err != nil {
				return fmt.Errorf("write events: %w", err)
			}
		}
	}
	if len(ends) > 0 {
		if err := flush(); err != nil {
			return fmt.Errorf("write events: %w", err)
		}
	}
	return nil
}
