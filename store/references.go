package store

import (
	chproto "github.com/ClickHouse/ch-go/proto"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// maxReference bounds the payment references that tasks are found by.
const maxReference = 512

// referenceBlock is a block of reference_tasks: which payment references the events
// of one block give their tasks. Most blocks have none, and send nothing then.
type referenceBlock struct {
	of []taskReference

	namespace, reference, taskID texts
	createdAt                    chproto.ColDateTime64
	ingestedAt                   chproto.ColDateTime

	input []chproto.InputColumn
}

// taskReference is what a fold of the block's tasks is paid by.
type taskReference struct {
	fold      int32
	reference span
}

func newReferenceBlock() *referenceBlock {
	b := &referenceBlock{}
	b.createdAt.WithPrecision(chproto.PrecisionNano)
	b.input = []chproto.InputColumn{
		{Name: "namespace", Data: &b.namespace}, {Name: "reference", Data: &b.reference}, {Name: "created_at", Data: &b.createdAt},
		{Name: "task_id", Data: &b.taskID}, {Name: "ingested_at", Data: &b.ingestedAt},
	}
	return b
}

func (b *referenceBlock) rows() int { return len(b.of) }

func (b *referenceBlock) reset() {
	b.of = b.of[:0]
	for _, in := range b.input {
		in.Data.(chproto.Resettable).Reset()
	}
}

// referenceOf is the payment reference of an event's task, empty where it names
// none that tasks can be found by.
func referenceOf(rec *wire.Record, text []byte) []byte {
	for i := range rec.Metadata {
		if m := &rec.Metadata[i]; string(m.Key) == timeline.PaymentReference {
			if text = m.Value.AppendText(text[:0]); len(text) <= maxReference {
				return text
			}
		}
	}
	return text[:0]
}

// addReference notes a reference of a task once.
func (b *taskBlock) addReference(fold int32, reference []byte) {
	f := &b.folds[fold]
	if string(b.text(f.reference)) == string(reference) {
		return
	}
	f.reference = b.keep(reference)
	b.references.of = append(b.references.of, taskReference{fold, f.reference})
}

// encode appends the block in the Native format, with what the block of tasks
// knows of them.
func (b *referenceBlock) encode(buf *chproto.Buffer, tasks *taskBlock) error {
	for _, r := range b.of {
		f := &tasks.folds[r.fold]
		b.namespace.AppendBytes(tasks.text(f.namespace))
		b.reference.AppendBytes(tasks.text(r.reference))
		b.createdAt.AppendRaw(chproto.DateTime64(f.created))
		b.taskID.AppendBytes(tasks.text(f.id))
		b.ingestedAt.AppendRaw(chproto.DateTime(max(f.ingested, 0) / 1e9))
	}
	block := chproto.Block{Columns: len(b.input), Rows: b.rows()}
	return block.EncodeRawBlock(buf, 0, b.input) //nolint:wrapcheck // says all there is
}
