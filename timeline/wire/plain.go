package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"github.com/tasktrail/tasktrail/timeline"
)

// plain reports whether b is ASCII without a NUL and no longer than a name may
// be: what nearly every name is, found out eight bytes at a time.
func plain(b []byte) bool {
	return len(b) <= timeline.MaxNameBytes && ascii(b)
}

// ascii reports whether every byte is between 1 and 127.
func ascii(b []byte) bool {
	const high, ones = 0x8080808080808080, 0x0101010101010101
	for len(b) >= 8 {
		w := binary.LittleEndian.Uint64(b)
		// w-ones borrows into the high bit of a byte that is zero.
		if (w|(w-ones))&high != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c-1 >= 0x7f {
			return false
		}
	}
	return true
}

func validUTF8(b []byte) bool { return ascii(b) || utf8.Valid(b) }

func notUTF8(field string) *timeline.FieldError {
	return &timeline.FieldError{Field: field, Want: "must be valid UTF-8"}
}

// checkName judges a text that must be short and printable in any store.
func checkName(field string, b []byte) *timeline.FieldError {
	switch {
	case len(b) > timeline.MaxNameBytes:
		return &timeline.FieldError{Field: field, Want: fmt.Sprintf("%d bytes, the limit is %d", len(b), timeline.MaxNameBytes)}
	case !utf8.Valid(b):
		return notUTF8(field)
	case bytes.IndexByte(b, 0) >= 0:
		return &timeline.FieldError{Field: field, Want: "must not contain a NUL byte"}
	}
	return nil
}

// cut shortens text to at most n bytes, between two characters.
func cut(b []byte, n int) []byte {
	if len(b) <= n {
		return b
	}
	for n > 0 && !utf8.RuneStart(b[n]) {
		n--
	}
	return b[:n]
}
