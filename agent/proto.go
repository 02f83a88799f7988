package agent

import (
	"encoding/binary"
	"errors"
)

var errProto = errors.New("the collector's answer is not a protobuf message")

// protoField finds a field of a message: its bytes where it is length-delimited,
// its value where it is a varint; nil and 0 where it is not there.
func protoField(b []byte, number uint64) ([]byte, uint64, error) {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, 0, errProto
		}
		b = b[n:]
		switch tag & 7 {
		case 0:
			v, n := binary.Uvarint(b)
			if n <= 0 {
				return nil, 0, errProto
			}
			if tag>>3 == number {
				return nil, v, nil
			}
			b = b[n:]
		case 2:
			size, n := binary.Uvarint(b)
			if n <= 0 || size > uint64(len(b)-n) {
				return nil, 0, errProto
			}
			if tag>>3 == number {
				return b[n : n+int(size)], 0, nil
			}
			b = b[n+int(size):]
		case 1:
			if len(b) < 8 {
				return nil, 0, errProto
			}
			b = b[8:]
		case 5:
			if len(b) < 4 {
				return nil, 0, errProto
			}
			b = b[4:]
		default:
			return nil, 0, errProto
		}
	}
	return nil, 0, nil
}
