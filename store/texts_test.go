package store

import (
	"bytes"
	"math/rand/v2"
	"testing"

	chproto "github.com/ClickHouse/ch-go/proto"
)

// A column of texts is on the wire what ch-go makes of the same texts.
func TestTextsAreOnTheWireWhatChGoMakesOfThem(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var ours texts
	var theirs chproto.ColStr
	for round := range 20 {
		for range random.IntN(2000) {
			var v []byte
			if random.IntN(4) == 0 {
				v = bytes.Repeat([]byte{byte(random.Uint32())}, random.IntN(300))
			}
			if random.IntN(2) == 0 {
				ours.AppendBytes(v)
			} else {
				ours.Append(string(v))
			}
			theirs.AppendBytes(v)
		}
		for range 600 * (round % 2) { // ends with many empty ones
			ours.Append("")
			theirs.Append("")
		}
		var got, want chproto.Buffer
		ours.EncodeColumn(&got)
		theirs.EncodeColumn(&want)
		if ours.Rows() != theirs.Rows() || ours.Type() != theirs.Type() || !bytes.Equal(got.Buf, want.Buf) {
			t.Fatalf("round %d: %d rows and %d bytes, want %d and %d", round, ours.Rows(), len(got.Buf), theirs.Rows(), len(want.Buf))
		}
		ours.Reset()
		theirs.Reset()
	}
}
