package query

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// A cursor is base64url of
//
//	version (1) · direction (1) · filter hash (16) · position time, unix ns (8) · position id · HMAC-SHA-256 cut to 16
//
// The hash binds it to what was asked, the HMAC makes it ours.
const (
	cursorVersion  = 1
	cursorHead     = 1 + 1 + 16 + 8
	cursorMAC      = 16
	cursorForward  = 0
	cursorBackward = 1
)

// cursors writes and reads cursors. It is safe for concurrent use.
type cursors struct{ key []byte }

func (k cursors) mac(b []byte) []byte {
	h := hmac.New(sha256.New, k.key)
	h.Write(b)
	return h.Sum(nil)[:cursorMAC]
}

func (k cursors) encode(filter [16]byte, at *readmodel.Position, backward bool) *string {
	if at == nil {
		return nil
	}
	b := make([]byte, 0, cursorHead+len(at.ID)+cursorMAC)
	b = append(b, cursorVersion, cursorForward)
	if backward {
		b[1] = cursorBackward
	}
	b = append(b, filter[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(at.At.UnixNano()))
	b = append(b, at.ID...)
	b = append(b, k.mac(b)...)
	s := base64.RawURLEncoding.EncodeToString(b)
	return &s
}

func (k cursors) decode(s string, filter [16]byte) (*readmodel.Position, bool, error) {
	bad := &failure{code: codeInvalidCursor, field: "cursor", detail: "pass next_cursor or prev_cursor of an earlier answer unchanged"}
	if len(s) > maxCursorBytes {
		return nil, false, bad
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) < cursorHead+cursorMAC {
		return nil, false, bad
	}
	body, mac := b[:len(b)-cursorMAC], b[len(b)-cursorMAC:]
	if !hmac.Equal(mac, k.mac(body)) || body[0] != cursorVersion || body[1] > cursorBackward {
		return nil, false, bad
	}
	if !slices.Equal(body[2:18], filter[:]) {
		return nil, false, &failure{code: codeCursorMismatch, field: "cursor", detail: "the filter is not the one the cursor was given for; begin without a cursor"}
	}
	at := time.Unix(0, int64(binary.BigEndian.Uint64(body[18:26]))).UTC()
	return &readmodel.Position{At: at, ID: string(body[cursorHead:])}, body[1] == cursorBackward, nil
}

// filterHash stands for what a list was asked for: the route, who sees it, and
// every parameter but those of the page.
func filterHash(route string, scope readmodel.Scope, p *params) [16]byte {
	h := sha256.New()
	var n [8]byte
	word := func(s string) {
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	word(route)
	word(scope.Namespace)
	word(scope.UserID)
	names := make([]string, 0, len(p.values))
	for name := range p.values {
		if name != "cursor" && name != "limit" && name != "namespace" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		word(name)
		for _, v := range p.values[name] {
			word(v)
		}
	}
	return [16]byte(h.Sum(nil)[:16])
}

// listBody is the body of every list.
type listBody[T any] struct {
	Data []T `json:"data"`
	// NextCursor goes on, PrevCursor back; null at the ends.
	NextCursor *string `json:"next_cursor"`
	PrevCursor *string `json:"prev_cursor"`
}

// page reads the part of a list a request asks for, and the hash its cursors are
// bound to. What the path names beside the route is part of what is asked.
func (s *Server) page(r *request, named ...string) (readmodel.Page, [16]byte, error) {
	hash := filterHash(strings.Join(append([]string{r.route.path}, named...), "\x00"), r.scope, r.params)
	page := readmodel.Page{Limit: r.params.integer("limit", 1, maxLimit, defaultLimit)}
	if err := r.params.err(); err != nil {
		return page, hash, err
	}
	if c, ok := r.params.raw("cursor"); ok {
		var err error
		if page.After, page.Backwards, err = s.cursors.decode(c, hash); err != nil {
			return page, hash, err
		}
	}
	return page, hash, nil
}

// filled reads on until the page is full of rows that keep lets through, or the list
// is at its end: a page that comes back short has nothing behind it.
func filled[T any](page readmodel.Page, keep func(*T) bool, read func(readmodel.Page) (readmodel.List[T], error), position func(*T) readmodel.Position) (readmodel.List[T], error) {
	back := page.Backwards && page.After != nil
	var kept []T
	for p := page; ; {
		list, err := read(p)
		if err != nil {
			return readmodel.List[T]{}, err
		}
		next := list.Next
		if back {
			slices.Reverse(list.Rows)
			next = list.Prev
		}
		for i := range list.Rows {
			if keep(&list.Rows[i]) {
				kept = append(kept, list.Rows[i])
			}
		}
		if next == nil || len(kept) > page.Limit {
			return readmodel.Finish(page, kept, position), nil
		}
		p.After = next
	}
}

func listOf[R, V any](s *Server, hash [16]byte, rows readmodel.List[R], view func(R) V) listBody[V] {
	out := listBody[V]{
		Data:       make([]V, 0, len(rows.Rows)),
		NextCursor: s.cursors.encode(hash, rows.Next, false), PrevCursor: s.cursors.encode(hash, rows.Prev, true),
	}
	for _, row := range rows.Rows {
		out.Data = append(out.Data, view(row))
	}
	return out
}
