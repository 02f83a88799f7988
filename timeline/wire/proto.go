package wire

import "encoding/binary"

// Wire types of protobuf.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// pbField is one field of a protobuf message.
type pbField struct {
	num  uint32
	wire uint8
	n    uint64 // varint, fixed64, fixed32
	b    []byte // bytes
}

// uvarint reads a varint; n is how many bytes it took, 0 where it is none.
func uvarint(b []byte) (v uint64, n int) {
	for i, c := range b {
		if i == 10 || i == 9 && c > 1 {
			return 0, 0
		}
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}

// delimited splits a length-delimited value from what follows it.
func delimited(b []byte) (body, rest []byte, ok bool) {
	if len(b) > 0 && b[0] < 0x80 {
		if n := int(b[0]) + 1; n <= len(b) {
			return b[1:n:n], b[n:], true
		}
		return nil, nil, false
	}
	return delimitedLong(b)
}

func delimitedLong(b []byte) (body, rest []byte, ok bool) {
	size, n := uvarint(b)
	if n == 0 || size > uint64(len(b)-n) {
		return nil, nil, false
	}
	end := n + int(size)
	return b[n:end:end], b[end:], true
}

// nextField splits the first field of a message from the rest.
func nextField(b []byte) (f pbField, rest []byte, ok bool) {
	tag, n := uvarint(b)
	if n == 0 || tag>>3 == 0 || tag>>3 > 1<<29-1 {
		return f, nil, false
	}
	f.num, f.wire = uint32(tag>>3), uint8(tag&7)
	b = b[n:]
	switch f.wire {
	case wireBytes:
		f.b, b, ok = delimited(b)
		return f, b, ok
	case wireVarint:
		f.n, n = uvarint(b)
		if n == 0 {
			return f, nil, false
		}
		return f, b[n:], true
	case wireFixed64:
		if len(b) < 8 {
			return f, nil, false
		}
		f.n = binary.LittleEndian.Uint64(b)
		return f, b[8:], true
	case wireFixed32:
		if len(b) < 4 {
			return f, nil, false
		}
		f.n = uint64(binary.LittleEndian.Uint32(b))
		return f, b[4:], true
	}
	return f, nil, false
}
