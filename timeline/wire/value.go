package wire

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// Value is an OTLP AnyValue message.
type Value []byte

// Field numbers of the AnyValue message; its tags stand in append.go.
const (
	anyString = 1
	anyBool   = 2
	anyInt    = 3
	anyDouble = 4
	anyArray  = 5
	anyKvlist = 6
	anyBytes  = 7
)

// value is an AnyValue taken apart. num is 0 where nothing is set.
type value struct {
	num uint32
	n   uint64
	b   []byte
	raw Value
}

// parse takes v apart; the last of several fields counts, as protobuf says.
func (v Value) parse() (out value, ok bool) {
	if len(v) == 2 && v[0] == tagInt && v[1] < 0x80 {
		return value{num: anyInt, n: uint64(v[1]), raw: v}, true
	}
	if len(v) >= 2 && v[0] == tagString && int(v[1]) == len(v)-2 && v[1] < 0x80 {
		return value{num: anyString, b: v[2:len(v):len(v)], raw: v}, true
	}
	out.raw = v
	for rest := []byte(v); len(rest) > 0; {
		f, after, ok := nextField(rest)
		if !ok {
			return value{}, false
		}
		rest = after
		want := uint8(wireBytes)
		switch f.num {
		case anyBool, anyInt:
			want = wireVarint
		case anyDouble:
			want = wireFixed64
		case anyString, anyArray, anyKvlist, anyBytes:
		default:
			continue
		}
		if f.wire != want {
			return value{}, false
		}
		out.num, out.n, out.b = f.num, f.n, f.b
	}
	return out, true
}

// text gives a string as a view, and whether v is one.
func (v Value) text() ([]byte, bool) {
	p, ok := v.parse()
	return p.b, ok && p.num == anyString
}

// AppendText appends the value as text: a string as it is, numbers in decimal,
// bytes in base64, lists and maps as JSON; nothing for a value that is not set or
// can't be read.
func (v Value) AppendText(dst []byte) []byte {
	p, ok := v.parse()
	if !ok {
		return dst
	}
	return p.appendText(dst)
}

func (p *value) appendText(dst []byte) []byte {
	switch p.num {
	case anyString:
		return append(dst, p.b...)
	case anyBool:
		return strconv.AppendBool(dst, p.n != 0)
	case anyInt:
		return strconv.AppendInt(dst, int64(p.n), 10)
	case anyDouble:
		return strconv.AppendFloat(dst, math.Float64frombits(p.n), 'f', -1, 64)
	case anyBytes:
		return base64.StdEncoding.AppendEncode(dst, p.b)
	case anyArray, anyKvlist:
		return p.appendJSON(dst, 0)
	}
	return dst
}

// maxDepth bounds how deep lists and maps are followed; what lies below stands as
// null.
const maxDepth = 32

// appendJSON appends the value as JSON. Parts that can't be read, and numbers
// that JSON does not have, stand as null.
func (p *value) appendJSON(dst []byte, depth int) []byte {
	if depth > maxDepth {
		return append(dst, "null"...)
	}
	switch p.num {
	case anyString:
		return appendQuoted(dst, p.b)
	case anyBool, anyInt:
		return p.appendText(dst)
	case anyDouble:
		if f := math.Float64frombits(p.n); math.IsNaN(f) || math.IsInf(f, 0) {
			return append(dst, "null"...)
		}
		return p.appendText(dst)
	case anyBytes:
		dst = append(dst, '"')
		return append(base64.StdEncoding.AppendEncode(dst, p.b), '"')
	case anyArray:
		dst = append(dst, '[')
		first := true
		each(p.b, func(b []byte) {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			e, _ := Value(b).parse()
			dst = e.appendJSON(dst, depth+1)
		})
		return append(dst, ']')
	case anyKvlist:
		dst = append(dst, '{')
		first := true
		each(p.b, func(b []byte) {
			key, v, ok := keyValue(b)
			if !ok {
				return
			}
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = append(appendQuoted(dst, key), ':')
			e, _ := v.parse()
			dst = e.appendJSON(dst, depth+1)
		})
		return append(dst, '}')
	}
	return append(dst, "null"...)
}

// each calls f with every element of an ArrayValue or KeyValueList, as far as it
// can be read.
func each(b []byte, f func([]byte)) {
	for len(b) > 0 {
		e, rest, ok := nextField(b)
		if !ok {
			return
		}
		b = rest
		if e.num == 1 && e.wire == wireBytes {
			f(e.b)
		}
	}
}

func appendQuoted(dst, s []byte) []byte {
	q, err := json.Marshal(strings.ToValidUTF8(string(s), "\uFFFD"))
	if err != nil { // not reached: every string has a JSON form
		return append(dst, `""`...)
	}
	return append(dst, q...)
}

// keyValue takes a KeyValue message apart.
func keyValue(b []byte) (key []byte, v Value, ok bool) {
	if len(b) > 3 && b[0] == tagKey {
		if k := int(b[1]); k < 0x80 && k+4 <= len(b) && b[2+k] == tagValue && b[3+k] < 0x80 && int(b[3+k]) == len(b)-4-k {
			return b[2 : 2+k : 2+k], Value(b[4+k:]), true
		}
	}
	for len(b) > 0 {
		f, rest, ok := nextField(b)
		if !ok || f.num <= 2 && f.wire != wireBytes {
			return nil, nil, false
		}
		b = rest
		switch f.num {
		case 1:
			key = f.b
		case 2:
			v = f.b
		}
	}
	return key, v, true
}
