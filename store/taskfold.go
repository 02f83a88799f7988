package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	chproto "github.com/ClickHouse/ch-go/proto"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// The facts of a task that lists are narrowed down by, in the order of
// taskFold.facts and of the columns.
const (
	factType = iota
	factQueue
	factRunner
	factAgent
	factProvider
	factUser
	factError
	facts
)

// fact is the latest word on a field within a block. Its order stands before it in
// the column, so that of two texts the greater is that of the later event.
type fact struct {
	ord   chproto.UInt128
	value span
}

// span is a part of the block's arena.
type span struct{ from, to int32 }

// taskFold is what a block's events say of one task: sums that neither a repeat
// nor disorder spoils, so that those of several blocks merge into the task's.
type taskFold struct {
	namespace, id        span
	decide               chproto.UInt256
	runAttempt           uint64
	created, updated     int64
	ingested             int64
	completedAt          int64
	completedRun, letter uint32
	letterAt             int64 // when the run letter was moved to the dead letters
	shortest, longest    uint64
	facts                [facts]fact
	trace                timeline.TraceID
	traces               []timeline.TraceID // those beside trace
	reference            span               // the payment's that was noted last
	troubled             bool
}

// taskBlock is a block of tasks_in: the folds of the tasks of one block of
// events. It folds here and not in a view, because grouping by text costs the
// server about as much as all the rest of an insert.
type taskBlock struct {
	byKey map[string]int32
	folds []taskFold
	arena []byte
	key   []byte
	ref   []byte

	namespace, taskID                           texts
	decide                                      chproto.ColUInt256
	runAttempt, shortest, longest               chproto.ColUInt64
	createdAt, updatedAt, ingestedAt, completed chproto.ColDateTime64
	completedRun, letterRun                     chproto.ColUInt32
	facts                                       [facts]texts
	userID                                      texts
	traceIDs                                    *chproto.ColArr[[]byte]
	troubled                                    chproto.ColUInt8
	letter                                      texts

	references *referenceBlock

	input []chproto.InputColumn
}

func newTaskBlock() *taskBlock {
	b := &taskBlock{byKey: map[string]int32{}, references: newReferenceBlock()}
	for _, t := range []*chproto.ColDateTime64{&b.createdAt, &b.updatedAt, &b.ingestedAt, &b.completed} {
		t.WithPrecision(chproto.PrecisionNano)
	}
	trace := &chproto.ColFixedStr{}
	trace.SetSize(16)
	b.traceIDs = chproto.NewArray[[]byte](trace)
	b.input = []chproto.InputColumn{
		{Name: "namespace", Data: &b.namespace}, {Name: "task_id", Data: &b.taskID}, {Name: "decide", Data: &b.decide},
		{Name: "run_attempt", Data: &b.runAttempt}, {Name: "created_at", Data: &b.createdAt}, {Name: "updated_at", Data: &b.updatedAt},
		{Name: "ingested_at", Data: &b.ingestedAt}, {Name: "completed_run", Data: &b.completedRun}, {Name: "completed_at", Data: &b.completed},
		{Name: "dead_letter_run", Data: &b.letterRun}, {Name: "shortest", Data: &b.shortest}, {Name: "longest", Data: &b.longest},
		{Name: "task_type", Data: &b.facts[factType]}, {Name: "queue", Data: &b.facts[factQueue]}, {Name: "runner", Data: &b.facts[factRunner]},
		{Name: "agent", Data: &b.facts[factAgent]}, {Name: "provider", Data: &b.facts[factProvider]}, {Name: "user_id", Data: &b.facts[factUser]},
		{Name: "error_message", Data: &b.facts[factError]}, {Name: "user", Data: &b.userID}, {Name: "trace_ids", Data: b.traceIDs},
		{Name: "troubled", Data: &b.troubled}, {Name: "letter", Data: &b.letter},
	}
	return b
}

func (b *taskBlock) reset() {
	clear(b.byKey)
	b.folds, b.arena = b.folds[:0], b.arena[:0]
	b.references.reset()
	for _, in := range b.input {
		in.Data.(chproto.Resettable).Reset()
	}
}

func (b *taskBlock) rows() int { return len(b.folds) }

// keep copies bytes that the caller is going to reuse.
func (b *taskBlock) keep(v []byte) span {
	from := int32(len(b.arena))
	b.arena = append(b.arena, v...)
	return span{from, int32(len(b.arena))}
}

func (b *taskBlock) text(s span) []byte { return b.arena[s.from:s.to] }

// add folds one event in.
func (b *taskBlock) add(rec *wire.Record, run, attempt uint32, decide chproto.UInt256, ord chproto.UInt128) {
	if !rec.Type.OfTask() {
		return
	}
	b.key = append(append(append(b.key[:0], rec.Namespace...), 0), rec.TaskID...)
	i, seen := b.byKey[string(b.key)]
	if !seen {
		i = int32(len(b.folds))
		b.byKey[string(b.key)] = i
		b.folds = append(b.folds, taskFold{
			namespace: b.keep(rec.Namespace), id: b.keep(rec.TaskID),
			created: rec.OccurredAt, updated: rec.OccurredAt, shortest: math.MaxUint64,
		})
	}
	f := &b.folds[i]
	if compare256(decide, f.decide) > 0 {
		f.decide = decide
	}
	f.runAttempt = max(f.runAttempt, uint64(run)<<32|uint64(attempt))
	f.created, f.updated = min(f.created, rec.OccurredAt), max(f.updated, rec.OccurredAt)
	f.ingested = max(f.ingested, rec.IngestedAt)
	switch rec.Type {
	case timeline.TaskCompleted:
		f.completedRun = max(f.completedRun, run)
		if run == 1 {
			f.completedAt = max(f.completedAt, rec.OccurredAt)
		}
	case timeline.MovedToDLQ:
		switch {
		case run > f.letter:
			f.letter, f.letterAt = run, rec.OccurredAt
		case run == f.letter:
			f.letterAt = min(f.letterAt, rec.OccurredAt)
		}
	}
	f.troubled = f.troubled || run != 1 || rec.Type == timeline.MovedToDLQ
	if rec.Type.Terminal() {
		d := uint64(max(rec.Duration, 0))
		f.shortest, f.longest = min(f.shortest, d), max(f.longest, d)
	}
	for n, v := range [facts][]byte{rec.TaskType, rec.Queue, rec.Runner, rec.Agent, rec.Provider, rec.UserID, rec.Error.Message} {
		if len(v) == 0 {
			continue
		}
		have := &f.facts[n]
		c := compare128(ord, have.ord)
		if have.value.to == have.value.from {
			c = 1
		}
		old := b.text(have.value)
		switch {
		case c < 0 || (c == 0 && bytes.Compare(v, old) <= 0):
			continue
		case !bytes.Equal(v, old):
			have.value = b.keep(v)
		}
		have.ord = ord
	}
	if b.ref = referenceOf(rec, b.ref); len(b.ref) > 0 {
		b.addReference(i, b.ref)
	}
	switch {
	case rec.TraceID.IsZero() || rec.TraceID == f.trace:
	case f.trace.IsZero():
		f.trace = rec.TraceID
	default:
		f.addTrace(rec.TraceID)
	}
}

// troubles reports whether an event stands in the table of that name: those that a
// task has only when more came of it than a first run that completes.
func troubles(t timeline.Type, run uint32) bool {
	switch t {
	case timeline.TaskFailed, timeline.MovedToDLQ, timeline.TaskCancelled, timeline.TaskLost:
		return true
	}
	return run != 1
}

func (f *taskFold) addTrace(id timeline.TraceID) {
	for i := range f.traces {
		if f.traces[i] == id {
			return
		}
	}
	f.traces = append(f.traces, id)
}

// encode appends the block in the Native format.
func (b *taskBlock) encode(buf *chproto.Buffer) error {
	var traces [][]byte
	var packed []byte
	for i := range b.folds {
		f := &b.folds[i]
		b.namespace.AppendBytes(b.text(f.namespace))
		b.taskID.AppendBytes(b.text(f.id))
		b.decide.Append(f.decide)
		b.runAttempt.Append(f.runAttempt)
		b.createdAt.AppendRaw(chproto.DateTime64(f.created))
		b.updatedAt.AppendRaw(chproto.DateTime64(f.updated))
		b.ingestedAt.AppendRaw(chproto.DateTime64(f.ingested))
		b.completedRun.Append(f.completedRun)
		b.completed.AppendRaw(chproto.DateTime64(f.completedAt))
		b.letterRun.Append(f.letter)
		b.shortest.Append(f.shortest)
		b.longest.Append(f.longest)
		for n := range f.facts {
			packed = packed[:0]
			if value := b.text(f.facts[n].value); len(value) > 0 {
				packed = binary.BigEndian.AppendUint64(packed, f.facts[n].ord.High)
				packed = binary.BigEndian.AppendUint64(packed, f.facts[n].ord.Low)
				packed = append(packed, value...)
			}
			b.facts[n].AppendBytes(packed)
		}
		b.userID.AppendBytes(b.text(f.facts[factUser].value))
		traces = traces[:0]
		if !f.trace.IsZero() {
			traces = append(traces, f.trace[:])
		}
		for j := range f.traces {
			traces = append(traces, f.traces[j][:])
		}
		b.traceIDs.Append(traces)
		var troubled uint8
		if f.troubled {
			troubled = 1
		}
		b.troubled.Append(troubled)
		packed = packed[:0]
		if f.letter > 0 {
			id := timeline.DeadLetterID(string(b.text(f.namespace)), string(b.text(f.id)), int(f.letter))
			packed = binary.BigEndian.AppendUint32(packed, f.letter)
			packed = binary.BigEndian.AppendUint64(packed, math.MaxUint64-uint64(max(f.letterAt, 0)))
			packed = append(packed, id[:]...)
		}
		b.letter.AppendBytes(packed)
	}
	buf.Buf = slices.Grow(buf.Buf, sizeOf(b.input))
	block := chproto.Block{Columns: len(b.input), Rows: b.rows()}
	return block.EncodeRawBlock(buf, 0, b.input) //nolint:wrapcheck // says all there is
}

func compare128(a, b chproto.UInt128) int {
	return cmp.Or(cmp.Compare(a.High, b.High), cmp.Compare(a.Low, b.Low))
}

func compare256(a, b chproto.UInt256) int {
	return cmp.Or(compare128(a.High, b.High), compare128(a.Low, b.Low))
}
