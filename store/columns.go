package store

import (
	"math"
	"slices"

	chproto "github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// columns is a block of events_in. It is reused from block to block, so that a
// steady flow allocates nothing.
type columns struct {
	namespace, taskID, typ, sourceID                    texts
	taskType, queue, agent, provider, userID, reason    texts
	errKind, errClass, errMessage, errCode, fingerprint texts
	breakerProvider, breakerState, breakerWhy           texts
	gapReason, settingKind, settingID, record           texts

	run, breakerCalls, breakerFailures       chproto.ColUInt32
	rank, severity                           chproto.ColUInt8
	errStatus                                chproto.ColUInt16
	sourceSeq, duration, gapFrom, gapTo      chproto.ColUInt64
	settingVersion                           chproto.ColUInt64
	occurredAt, ingestedAt, breakerOpenUntil chproto.ColDateTime64
	eventID, deadLetterID                    chproto.ColUUID
	decide                                   chproto.ColUInt256

	input []chproto.InputColumn
	tasks *taskBlock     // what the events say of their tasks
	event timeline.Event // for the records that are encoded anew
	again []byte
}

func newColumns() *columns {
	c := &columns{tasks: newTaskBlock()}
	for _, t := range []*chproto.ColDateTime64{&c.occurredAt, &c.ingestedAt, &c.breakerOpenUntil} {
		t.WithPrecision(chproto.PrecisionNano)
	}
	c.input = []chproto.InputColumn{
		{Name: "namespace", Data: &c.namespace}, {Name: "task_id", Data: &c.taskID}, {Name: "run", Data: &c.run},
		{Name: "type", Data: &c.typ}, {Name: "rank", Data: &c.rank},
		{Name: "occurred_at", Data: &c.occurredAt},
		{Name: "ingested_at", Data: &c.ingestedAt}, {Name: "event_id", Data: &c.eventID}, {Name: "source_id", Data: &c.sourceID},
		{Name: "source_seq", Data: &c.sourceSeq}, {Name: "task_type", Data: &c.taskType}, {Name: "queue", Data: &c.queue},
		{Name: "agent", Data: &c.agent}, {Name: "provider", Data: &c.provider},
		{Name: "user_id", Data: &c.userID}, {Name: "duration", Data: &c.duration},
		{Name: "reason", Data: &c.reason}, {Name: "error_kind", Data: &c.errKind}, {Name: "error_class", Data: &c.errClass},
		{Name: "error_message", Data: &c.errMessage}, {Name: "error_code", Data: &c.errCode}, {Name: "error_status", Data: &c.errStatus},
		{Name: "fingerprint", Data: &c.fingerprint}, {Name: "breaker_provider", Data: &c.breakerProvider},
		{Name: "breaker_state", Data: &c.breakerState}, {Name: "breaker_why", Data: &c.breakerWhy},
		{Name: "breaker_calls", Data: &c.breakerCalls}, {Name: "breaker_failures", Data: &c.breakerFailures},
		{Name: "breaker_open_until", Data: &c.breakerOpenUntil}, {Name: "dead_letter_id", Data: &c.deadLetterID},
		{Name: "alert_severity", Data: &c.severity}, {Name: "decide", Data: &c.decide}, {Name: "gap_from", Data: &c.gapFrom}, {Name: "gap_to", Data: &c.gapTo},
		{Name: "gap_reason", Data: &c.gapReason}, {Name: "setting_kind", Data: &c.settingKind},
		{Name: "setting_id", Data: &c.settingID}, {Name: "setting_version", Data: &c.settingVersion}, {Name: "record", Data: &c.record},
	}
	return c
}

func (c *columns) rows() int { return c.run.Rows() }

func (c *columns) reset() {
	for _, in := range c.input {
		in.Data.(chproto.Resettable).Reset()
	}
	c.tasks.reset()
}

// insertInto is the statement that columns are the data of.
func insertInto(table string, columns []chproto.InputColumn) string {
	s := "INSERT INTO " + table + " ("
	for i, in := range columns {
		if i > 0 {
			s += ", "
		}
		s += in.Name
	}
	return s + ")"
}

// encode appends the block in the Native format.
func (c *columns) encode(buf *chproto.Buffer) error {
	buf.Buf = slices.Grow(buf.Buf, sizeOf(c.input))
	block := chproto.Block{Columns: len(c.input), Rows: c.rows()}
	return block.EncodeRawBlock(buf, 0, c.input) //nolint:wrapcheck // says all there is
}

// add appends one record.
func (c *columns) add(rec *wire.Record) {
	run, attempt := clamp32(rec.Run), clamp32(rec.Attempt)
	c.namespace.AppendBytes(rec.Namespace)
	c.taskID.AppendBytes(rec.TaskID)
	c.run.Append(run)
	rank := rankOfRecord(rec)
	c.rank.Append(rank)
	decide := decideKey(rec, run, attempt, rank)
	c.tasks.add(rec, run, attempt, decide, orderKey(rec, run, rank))
	troubled, e := troubles(rec.Type, run), &rec.Error
	if !troubled {
		decide = chproto.UInt256{} // nobody asks, and zeros are quick to send
	}
	c.decide.Append(decide)
	c.occurredAt.AppendRaw(chproto.DateTime64(rec.OccurredAt))
	c.ingestedAt.AppendRaw(chproto.DateTime64(rec.IngestedAt))
	c.eventID.Append(uuid.UUID(rec.ID))
	c.sourceID.AppendBytes(rec.SourceID)
	c.sourceSeq.Append(rec.SourceSeq)
	c.duration.Append(uint64(max(rec.Duration, 0)))
	c.reason.AppendBytes(rec.Reason)
	c.errKind.AppendBytes(e.Kind)
	c.errClass.AppendBytes(e.Class)
	c.errMessage.AppendBytes(e.Message)
	c.errCode.AppendBytes(e.Code)
	c.errStatus.Append(uint16(min(max(e.HTTPStatus, 0), math.MaxUint16)))
	c.fingerprint.AppendBytes(e.Fingerprint)
	// What every event has and few views take is left empty where none does: it
	// would be sent, received and thrown away.
	b, has := &rec.Breaker, viewsOf(rec.Type)
	failed := len(e.Fingerprint) > 0 || has&inLetters != 0
	var typ string
	if troubled || has&(inOutcomes|inRequests) != 0 {
		typ = rec.Type.String()
	}
	c.typ.Append(typ)
	c.taskType.AppendBytes(when(failed, rec.TaskType))
	c.queue.AppendBytes(when(failed, rec.Queue))
	c.provider.AppendBytes(when(failed, rec.Provider))
	c.agent.AppendBytes(when(failed || has&inBreakers != 0, rec.Agent))
	c.userID.AppendBytes(when(failed || has&inOutcomes != 0, rec.UserID))
	provider := b.Provider
	if len(provider) == 0 {
		provider = rec.Provider
	}
	c.breakerProvider.AppendBytes(when(has&inBreakers != 0, provider))
	c.breakerState.Append(breakerState(rec))
	c.breakerWhy.AppendBytes(b.Why)
	c.breakerCalls.Append(clamp32(b.Calls))
	c.breakerFailures.Append(clamp32(b.Failures))
	c.breakerOpenUntil.AppendRaw(chproto.DateTime64(b.OpenUntil))
	c.deadLetterID.Append(uuid.UUID(deadLetterOf(rec)))
	c.severity.Append(uint8(rec.DeadLetter.AlertSeverity))
	c.gapFrom.Append(rec.Gap.From)
	c.gapTo.Append(rec.Gap.To)
	c.gapReason.AppendBytes(rec.Gap.Reason)
	c.settingKind.AppendBytes(rec.Setting.Kind)
	c.settingID.AppendBytes(rec.Setting.ID)
	c.settingVersion.Append(rec.Setting.Version)
	c.record.AppendBytes(c.recordOf(rec))
}

// views are those that an event stands in for its type, of those that want more of
// it than everybody.
type views uint8

const (
	inOutcomes views = 1 << iota
	inLetters
	inBreakers
	inRequests
)

func viewsOf(t timeline.Type) views {
	switch t {
	case timeline.AttemptSuccess, timeline.AttemptFailed, timeline.TaskCompleted, timeline.TaskFailed, timeline.TaskLost:
		return inOutcomes
	case timeline.MovedToDLQ:
		return inLetters
	case timeline.CircuitBreakerOpened, timeline.CircuitBreakerHalfOpened, timeline.CircuitBreakerClosed:
		return inBreakers
	case timeline.DLQRetryRequested, timeline.CancelRequested:
		return inRequests
	}
	return 0
}

// when is the text where it is wanted.
func when(wanted bool, text []byte) []byte {
	if wanted {
		return text
	}
	return nil
}

// recordOf is what a reader decodes again. What our agent wrote stands there as
// it came; what was pieced together from more than the record is encoded anew,
// so that it reads back as the event it was taken for.
func (c *columns) recordOf(rec *wire.Record) []byte {
	if len(rec.SourceID) > 0 && !rec.Foreign && !rec.Derived {
		return rec.Raw
	}
	c.event = timeline.Event{}
	rec.Event(&c.event)
	c.again = wire.AppendLogRecord(c.again[:0], &c.event)
	return c.again
}

// breakerState is what a breaker event leaves the breaker in: its type says it,
// whatever else the record says.
func breakerState(rec *wire.Record) string {
	switch rec.Type {
	case timeline.CircuitBreakerOpened:
		return string(timeline.BreakerOpen)
	case timeline.CircuitBreakerHalfOpened:
		return string(timeline.BreakerHalfOpen)
	case timeline.CircuitBreakerClosed:
		return string(timeline.BreakerClosed)
	default:
		return ""
	}
}

// deadLetterOf is the dead letter the event is about. That of a run follows from
// the run.
func deadLetterOf(rec *wire.Record) timeline.ID {
	if rec.Type == timeline.MovedToDLQ {
		return timeline.DeadLetterID(string(rec.Namespace), string(rec.TaskID), rec.Run)
	}
	return rec.DeadLetter.ID
}

// decideKey packs what decides a task's state, see timeline.CompareState, with
// the time at the bottom so that it can be read out of the greatest.
func decideKey(rec *wire.Record, run, attempt uint32, rank uint8) chproto.UInt256 {
	if rec.Type.StateAfter() == "" {
		return chproto.UInt256{}
	}
	if rec.Type == timeline.TaskLost && attempt == 0 {
		attempt = clamp32(rec.Attempts)
	}
	top := uint64(run)<<32 | uint64(min(attempt, math.MaxInt32))
	if rec.Type.Terminal() {
		top |= 1 << 31
	}
	attempts := uint64(min(max(rec.Attempts, 0), 1<<24-1))
	return chproto.UInt256{
		High: chproto.UInt128{High: top, Low: phaseOf(rec)<<62 | min(rec.Seq, 1<<62-1)},
		Low:  chproto.UInt128{High: uint64(rank)<<56 | attempts<<32, Low: uint64(max(rec.OccurredAt, 0))},
	}
}

// phaseOf places within an attempt what its agent did not count, as
// timeline.CompareState does.
func phaseOf(rec *wire.Record) uint64 {
	switch rec.Type {
	case timeline.TaskCreated, timeline.DLQRetryRequested:
		return 0
	case timeline.TaskLost:
		return 2
	case timeline.AttemptSuccess, timeline.AttemptFailed, timeline.AttemptAborted:
		return 3
	case timeline.TaskRetried:
		if rec.Attempt > 0 {
			return 3
		}
	}
	return 1
}

// orderKey packs the order of a timeline, see timeline.Compare, but for the
// source's name.
func orderKey(rec *wire.Record, run uint32, rank uint8) chproto.UInt128 {
	at := uint64(max(rec.OccurredAt, 0))
	within := uint64(2)<<30 | uint64(rank)
	switch {
	case rec.Seq > 0:
		within = uint64(1)<<30 | min(rec.Seq, 1<<30-1)
	case rec.Type == timeline.TaskCreated || rec.Type == timeline.DLQRetryRequested:
		within = uint64(rank)
	}
	return chproto.UInt128{High: uint64(run)<<32 | at>>32, Low: at<<32 | within}
}

func clamp32(n int) uint32 { return uint32(min(max(n, 0), math.MaxInt32)) }
