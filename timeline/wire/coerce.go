package wire

import (
	"encoding/base64"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// fault remembers the first attribute whose value can't be read.
func (rec *Record) fault(field, want string, v *value) {
	if rec.bad == nil && !rec.lenient {
		rec.bad = &timeline.FieldError{Field: field, Want: fmt.Sprintf("want %s, got %s", want, describe(v))}
	}
}

func describe(v *value) string {
	switch v.num {
	case anyString:
		return fmt.Sprintf("the string %.40q", v.b)
	case anyBool:
		return "a bool"
	case anyInt:
		return "the integer " + strconv.FormatInt(int64(v.n), 10)
	case anyDouble:
		return "the number " + strconv.FormatFloat(math.Float64frombits(v.n), 'g', -1, 64)
	case anyArray:
		return "a list"
	case anyKvlist:
		return "a map"
	case anyBytes:
		return fmt.Sprintf("%d bytes", len(v.b))
	}
	return "nothing"
}

// scratchText appends v as text to memory of the record and gives the view.
func (rec *Record) scratchText(v *value) []byte {
	at := len(rec.scratch)
	rec.scratch = v.appendText(rec.scratch)
	return rec.scratch[at:len(rec.scratch):len(rec.scratch)]
}

// text reads a string; numbers and bools stand in decimal.
func (rec *Record) text(field string, v *value) []byte {
	switch v.num {
	case anyString, anyBytes, 0:
		return v.b
	case anyBool, anyInt, anyDouble:
		return rec.scratchText(v)
	}
	rec.fault(field, "a string", v)
	return nil
}

// payload reads a string or bytes; anything else stands as JSON.
func (rec *Record) payload(_ string, v *value) []byte {
	switch v.num {
	case anyString, anyBytes, 0:
		return v.b
	}
	return rec.scratchText(v)
}

// blob reads bytes, or a string in base64.
func (rec *Record) blob(field string, v *value) []byte {
	switch v.num {
	case anyBytes, 0:
		return v.b
	case anyString:
		at := len(rec.scratch)
		out, err := base64.StdEncoding.AppendDecode(rec.scratch, v.b)
		if err == nil {
			rec.scratch = out
			return out[at:len(out):len(out)]
		}
	}
	rec.fault(field, "bytes, or a string in base64", v)
	return nil
}

// int reads an integer, a double that is one, or a string of digits.
func (rec *Record) int(field string, v *value) int64 {
	switch v.num {
	case anyInt:
		return int64(v.n)
	case anyDouble:
		if f := math.Float64frombits(v.n); f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			return int64(f)
		}
	case anyString:
		if n, err := strconv.ParseInt(string(v.b), 10, 64); err == nil {
			return n
		}
	case 0:
		return 0
	}
	rec.fault(field, "an integer", v)
	return 0
}

func (rec *Record) sequence(field string, v *value) uint64 {
	n := rec.int(field, v)
	if n < 0 {
		rec.fault(field, "an integer that is not negative", v)
		return 0
	}
	return uint64(n)
}

// double reads a number, or a string of one.
func (rec *Record) double(field string, v *value) float64 {
	switch v.num {
	case anyDouble:
		if f := math.Float64frombits(v.n); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f
		}
	case anyInt:
		return float64(int64(v.n))
	case anyString:
		if f, err := strconv.ParseFloat(string(v.b), 64); err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f
		}
	case 0:
		return 0
	}
	rec.fault(field, "a number", v)
	return 0
}

// millis reads a number of milliseconds and gives nanoseconds.
func (rec *Record) millis(field string, v *value) int64 {
	if v.num == anyInt {
		if n := int64(v.n); n > -maxMillis && n < maxMillis {
			return n * int64(time.Millisecond)
		}
		rec.fault(field, "less than 292 years", v)
		return 0
	}
	f := rec.double(field, v)
	if f <= -maxMillis || f >= maxMillis {
		rec.fault(field, "less than 292 years", v)
		return 0
	}
	return int64(math.Round(f * float64(time.Millisecond)))
}

const maxMillis = math.MaxInt64/1_000_000 - 1

func (rec *Record) bool(field string, v *value) bool {
	switch v.num {
	case anyBool, anyInt:
		return v.n != 0
	case anyString:
		if b, err := strconv.ParseBool(string(v.b)); err == nil {
			return b
		}
	case 0:
		return false
	}
	rec.fault(field, "a bool", v)
	return false
}

// time reads RFC 3339, or an integer of nanoseconds since 1970.
func (rec *Record) time(field string, v *value) int64 {
	switch v.num {
	case anyInt:
		return int64(v.n)
	case anyString:
		var t time.Time
		if err := t.UnmarshalText(v.b); err == nil {
			if y := t.Year(); y > 1678 && y < 2262 {
				return t.UnixNano()
			}
		}
		if len(v.b) == 0 {
			return 0
		}
	case 0:
		return 0
	}
	rec.fault(field, "a time in RFC 3339", v)
	return 0
}

func (rec *Record) severity(field string, v *value) timeline.AlertSeverity {
	if v.num == anyString {
		switch string(v.b) {
		case "medium":
			return timeline.AlertMedium
		case "high":
			return timeline.AlertHigh
		case "critical":
			return timeline.AlertCritical
		case "":
			return timeline.AlertNone
		}
	}
	rec.fault(field, "medium, high or critical", v)
	return timeline.AlertNone
}

// id reads the 36 characters of a UUID, or its 16 bytes.
func (rec *Record) id(field string, v *value) timeline.ID {
	var id timeline.ID
	switch {
	case len(v.b) == 0 && (v.num == anyString || v.num == 0):
		return id
	case v.num == anyBytes && len(v.b) == len(id):
		copy(id[:], v.b)
		return id
	case v.num == anyString && parseID(&id, v.b):
		return id
	}
	rec.fault(field, "the 36 characters of a UUID", v)
	return timeline.ID{}
}

// hexValue is the value of a hexadecimal digit, 0xff where it is none.
var hexValue = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i := range byte(10) {
		t['0'+i] = i
	}
	for i := range byte(6) {
		t['a'+i], t['A'+i] = 10+i, 10+i
	}
	return t
}()

// idAt is where the bytes of a UUID stand in its text.
var idAt = [16]uint8{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34}

func parseID(id *timeline.ID, b []byte) bool {
	if len(b) != 36 || b[8] != '-' || b[13] != '-' || b[18] != '-' || b[23] != '-' {
		return false
	}
	var wrong byte
	for i, at := range idAt {
		hi, lo := hexValue[b[at]], hexValue[b[at+1]]
		wrong |= hi | lo
		id[i] = hi<<4 | lo
	}
	return wrong < 16
}
