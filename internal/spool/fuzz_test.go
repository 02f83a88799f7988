package spool

import (
	"bytes"
	"encoding/binary"
	"path/filepath"
	"testing"
)

// FuzzRecover changes the files of a killed log at places of the fuzzer's choice:
// it opens all the same, and each frame is intact or reported.
func FuzzRecover(f *testing.F) {
	files, ends := killedLog(f, 60)
	var segments []string
	for name := range files {
		if base, ok := parseSegmentName(name); ok && base <= ends[len(ends)-1] {
			segments = append(segments, name)
		}
	}
	f.Add([]byte{0, 0, 128, 4, 0xff})
	f.Add([]byte{1, 1, 0, 200, 0})
	f.Add([]byte{0, 0, 96, 32, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add([]byte{0, 0, 0, 255, 0, 1, 0, 0, 255, 0})
	dir := filepath.Join(memDir(f), "fuzzed")
	f.Fuzz(func(t *testing.T, changes []byte) {
		// A change is five bytes: segment, offset (2), length, and what to XOR or set.
		mutated := map[string][]byte{}
		for name, b := range files {
			mutated[name] = bytes.Clone(b)
		}
		for len(changes) >= 5 {
			name := segments[int(changes[0]>>1)%len(segments)]
			at := int(binary.BigEndian.Uint16(changes[1:])) % len(mutated[name])
			part := mutated[name][at:min(at+int(changes[3])+1, len(mutated[name]))]
			for i := range part {
				if changes[0]&1 == 0 {
					part[i] ^= changes[4]
				} else {
					part[i] = changes[4]
				}
			}
			changes = changes[5:]
		}
		writeFiles(t, dir, mutated)
		checkSurvivors(t, dir, "fuzzed", ends)
	})
}

// FuzzCursorFile has a cursor's file hold anything: it is a valid state or none.
func FuzzCursorFile(f *testing.F) {
	b := make([]byte, cursorBytes)
	encodeSlot(b, cursorState{gen: 2, pos: 64, seq: 3}, 7)
	encodeSlot(b[slotBytes:], cursorState{gen: 3, pos: 128, to: 256, frozen: true, seq: 9}, 7)
	f.Add(b)
	f.Add(b[:slotBytes])
	f.Add(b[:10])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		st, ok := decodeCursor(b, 7)
		if !ok {
			if st != (cursorState{}) {
				t.Errorf("no state, and yet %+v", st)
			}
			return
		}
		if st.gen == 0 || st.pos > maxPosition || st.frozen && st.to <= st.pos {
			t.Errorf("accepted %+v", st)
		}
		again := make([]byte, cursorBytes)
		encodeSlot(again[st.gen%2*slotBytes:], st, 7)
		if got, ok := decodeCursor(again, 7); !ok || got != st {
			t.Errorf("%+v came back as %+v", st, got)
		}
	})
}
