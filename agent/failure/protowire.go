package failure

import "encoding/binary"

// eachField calls f with every field of a protobuf message: its number, and its
// value (varints) or body (bytes). It returns false where b is no message.
func eachField(b []byte, f func(field, value uint64, body []byte)) bool {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 {
			return false
		}
		b = b[n:]
		var value uint64
		var body []byte
		switch tag & 7 {
		case 0:
			if value, n = binary.Uvarint(b); n <= 0 {
				return false
			}
		case 1:
			n = 8
		case 2:
			size, m := binary.Uvarint(b)
			if m <= 0 || size > uint64(len(b)-m) {
				return false
			}
			n = m + int(size)
			body = b[m:n]
		case 5:
			n = 4
		default:
			return false
		}
		if n > len(b) {
			return false
		}
		b = b[n:]
		f(tag>>3, value, body)
	}
	return true
}
