package timeline

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// ID is a 128-bit identifier in UUID form. Identifiers of events that happen
// once are version 7 (time-ordered, see [IDGenerator]); those of events that
// several parties may write are version 8 and derived from what they name (see
// [DeriveID]), so that writing them twice is writing them once.
type ID [16]byte

// IsZero reports whether the identifier was never set.
func (id ID) IsZero() bool { return id == ID{} }

// String returns the canonical form, 36 lower-case characters; the zero ID is
// the nil UUID.
func (id ID) String() string {
	var b [36]byte
	id.encode(&b)
	return string(b[:])
}

func (id ID) encode(b *[36]byte) {
	hex.Encode(b[0:8], id[0:4])
	b[8] = '-'
	hex.Encode(b[9:13], id[4:6])
	b[13] = '-'
	hex.Encode(b[14:18], id[6:8])
	b[18] = '-'
	hex.Encode(b[19:23], id[8:10])
	b[23] = '-'
	hex.Encode(b[24:36], id[10:16])
}

// MarshalText gives the canonical form, and nothing for the zero ID.
func (id ID) MarshalText() ([]byte, error) {
	if id.IsZero() {
		return []byte{}, nil
	}
	return []byte(id.String()), nil
}

// UnmarshalText reads what MarshalText wrote.
func (id *ID) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*id = ID{}
		return nil
	}
	v, err := ParseID(string(b))
	if err != nil {
		return err
	}
	*id = v
	return nil
}

// ParseID reads the canonical 36-character form, in either case.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return ID{}, fmt.Errorf("id %.40q: want the 36-character form of a UUID", s)
	}
	at := 0
	for _, part := range [...]string{s[0:8], s[9:13], s[14:18], s[19:23], s[24:36]} {
		n, err := hex.Decode(id[at:], []byte(part))
		if err != nil {
			return ID{}, fmt.Errorf("id %.40q: want the 36-character form of a UUID", s)
		}
		at += n
	}
	return id, nil
}

// IDGenerator makes UUIDv7 identifiers that rise strictly within one generator,
// even when the clock stands still or goes back (RFC 9562, section 6.2, method
// 1: a counter in the bits after the millisecond). The zero value is ready. It
// is safe for concurrent use and does not allocate.
type IDGenerator struct {
	mu     sync.Mutex
	millis int64
	count  uint16 // 12 bits: rand_a
	pool   [256]byte
	left   int
}

// Next returns the next identifier, carrying the time now to the millisecond.
func (g *IDGenerator) Next(now time.Time) ID {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ms := now.UnixMilli(); ms > g.millis {
		g.millis, g.count = ms, 0
	} else if g.count++; g.count > 0x0fff {
		g.millis++
		g.count = 0
	}
	if g.left < 8 {
		_, _ = rand.Read(g.pool[:]) // never fails: crypto/rand aborts the process instead
		g.left = len(g.pool)
	}
	var id ID
	binary.BigEndian.PutUint64(id[:8], uint64(g.millis)<<16|0x7000|uint64(g.count))
	copy(id[8:], g.pool[g.left-8:g.left])
	g.left -= 8
	id[8] = id[8]&0x3f | 0x80
	return id
}

// IdempotencyKey is what the effect of a task is known by at its provider: the same
// for every run and attempt, and another once its input was edited.
func IdempotencyKey(namespace, taskID string, edits int) string {
	if namespace == "" {
		namespace = DefaultNamespace
	}
	key := namespace + "/" + taskID
	if edits > 0 {
		key += "/e" + strconv.Itoa(edits)
	}
	return key
}

// DeriveID returns the identifier that belongs to the given words, the same on
// every machine: the first 122 bits of the SHA-256 over the length-prefixed
// words, as a version 8 UUID. Its first word says what kind of thing is named.
func DeriveID(words ...string) ID {
	var room [256]byte
	content := room[:0]
	for _, w := range words {
		content = binary.BigEndian.AppendUint64(content, uint64(len(w)))
		content = append(content, w...)
	}
	return HashID(content)
}

// HashID returns the identifier that belongs to the content: the first 122 bits
// of its SHA-256, as a version 8 UUID. It does not allocate.
func HashID(content []byte) ID {
	sum := sha256.Sum256(content)
	id := ID(sum[:16])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}

// TraceID is a W3C trace id; its text form is 32 hexadecimal characters.
type TraceID [16]byte

// SpanID is a W3C span id; its text form is 16 hexadecimal characters.
type SpanID [8]byte

// IsZero reports whether there is no trace.
func (t TraceID) IsZero() bool { return t == TraceID{} }

// IsZero reports whether there is no span.
func (s SpanID) IsZero() bool { return s == SpanID{} }

func (t TraceID) String() string { return hex.EncodeToString(t[:]) }
func (s SpanID) String() string  { return hex.EncodeToString(s[:]) }

// MarshalText gives the hexadecimal form.
func (t TraceID) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// MarshalText gives the hexadecimal form.
func (s SpanID) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads 32 hexadecimal characters.
func (t *TraceID) UnmarshalText(b []byte) error { return unhex(t[:], b, "trace id") }

// UnmarshalText reads 16 hexadecimal characters.
func (s *SpanID) UnmarshalText(b []byte) error { return unhex(s[:], b, "span id") }

func unhex(dst, src []byte, what string) error {
	if len(src) != 2*len(dst) {
		return fmt.Errorf("%s: want %d hexadecimal characters, got %d", what, 2*len(dst), len(src))
	}
	if _, err := hex.Decode(dst, src); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
