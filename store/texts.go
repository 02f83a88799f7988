package store

import (
	"encoding/binary"
	"slices"

	chproto "github.com/ClickHouse/ch-go/proto"
)

// texts is a column of type String that is kept as it goes over the wire: lengths
// and bytes in turn. Most texts of most events are empty, so a run of empty ones
// is a number until something follows it.
type texts struct {
	buf   []byte
	rows  int
	empty int // rows at the end that are not yet in buf
}

func (c *texts) AppendBytes(v []byte) {
	c.rows++
	if len(v) == 0 {
		c.empty++
		return
	}
	c.fill()
	c.buf = binary.AppendUvarint(c.buf, uint64(len(v)))
	c.buf = append(c.buf, v...)
}

func (c *texts) Append(v string) {
	c.rows++
	if v == "" {
		c.empty++
		return
	}
	c.fill()
	c.buf = binary.AppendUvarint(c.buf, uint64(len(v)))
	c.buf = append(c.buf, v...)
}

// grow makes room for n bytes.
func (c *texts) grow(n int) { c.buf = slices.Grow(c.buf, n) }

// fill writes the empty rows that are owed.
func (c *texts) fill() {
	for ; c.empty > len(noTexts); c.empty -= len(noTexts) {
		c.buf = append(c.buf, noTexts[:]...)
	}
	c.buf = append(c.buf, noTexts[:c.empty]...)
	c.empty = 0
}

var noTexts [256]byte

// Type, Rows, Reset, EncodeColumn and WriteColumn make it a column of ch-go.
func (c *texts) Type() chproto.ColumnType { return chproto.ColumnTypeString }
func (c *texts) Rows() int                { return c.rows }
func (c *texts) Reset()                   { c.buf, c.rows, c.empty = c.buf[:0], 0, 0 }

func (c *texts) EncodeColumn(b *chproto.Buffer) {
	c.fill()
	b.Buf = append(b.Buf, c.buf...)
}

func (c *texts) WriteColumn(w *chproto.Writer) {
	c.fill()
	w.ChainWrite(c.buf)
}

// fixedRow is the most that a row of a column other than of texts takes.
const fixedRow = 32

// sizeOf is about what columns take in the Native format, so that a buffer is not
// copied again and again as it grows.
func sizeOf(input []chproto.InputColumn) (n int) {
	for _, in := range input {
		n += 64 // its name and type
		switch c := in.Data.(type) {
		case *texts:
			n += len(c.buf) + c.empty
		case *chproto.ColUInt8:
			n += c.Rows()
		case *chproto.ColUInt16, *chproto.ColUInt32, *chproto.ColUInt64, *chproto.ColDateTime64:
			n += 8 * c.Rows()
		default:
			n += fixedRow * c.Rows()
		}
	}
	return n
}
