package spool

import (
	"encoding/binary"
	"hash/crc32"
)

// A frame starts at a multiple of eight and is
//
//	word 0   length of the payload (32 bits), checksum (32 bits)
//	word 1   sequence number (48 bits), header check (16 bits)
//	payload, padded to a multiple of eight
//
// little-endian. The checksum is CRC-32C over word 1 and the payload, begun with
// a value that is mixed from the log's secret salt, the frame's position and its
// length. So a frame is valid in one place of one log only: neither a stale
// block nor a payload made to look like a frame passes for one. The header check
// is mixed from the same and the sequence number; it tells a damaged payload
// from a damaged header, and it spares the search for the next valid frame from
// checksumming at every offset that happens to look like a length.
//
// Word 0 is stored last and at once, after everything else and after the word 0
// of the place behind was seen to be zero: whoever dies in the middle leaves a
// zero where the next frame would begin, which is the end of the log.
const (
	frameHeaderSize = 16
	frameAlign      = 8

	seqBits = 48
	seqMask = 1<<seqBits - 1
)

// castagnoli is the polynomial with instructions of its own on amd64 and arm64.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func alignDown(n int64) int64 { return n &^ (frameAlign - 1) }
func alignUp(n int64) int64   { return (n + frameAlign - 1) &^ (frameAlign - 1) }

// frameSize is the room that a payload of n bytes takes.
func frameSize(n int) int64 { return alignUp(frameHeaderSize + int64(n)) }

// sealer computes the checks of one log's frames.
type sealer struct{ salt uint64 }

// mix returns the first value of the checksum and the header check. The
// constants are odd 64-bit numbers with no structure (the golden ratio, and
// those of the splitmix64 and Murmur3 finishers).
func (s sealer) mix(pos Position, n int, seq uint64) (init uint32, check uint64) {
	h := s.salt + uint64(pos)*0x9e3779b97f4a7c15
	h ^= uint64(n) * 0xc4ceb9fe1a85ec53
	h ^= h >> 32
	h *= 0xbf58476d1ce4e5b9
	h ^= h >> 29
	init = uint32(h)
	h ^= seq * 0x94d049bb133111eb
	h ^= h >> 32
	h *= 0xff51afd7ed558ccd
	return init, h >> seqBits
}

// seal fills in word 1 of the frame of n payload bytes at the start of b and
// returns word 0, for the caller to publish.
func (s sealer) seal(b []byte, pos Position, n int, seq uint64) uint64 {
	init, check := s.mix(pos, n, seq)
	binary.LittleEndian.PutUint64(b[8:], seq&seqMask|check<<seqBits)
	crc := crc32.Update(init, castagnoli, b[8:frameHeaderSize+n])
	return uint64(n) | uint64(crc)<<32
}

// header is what the first 16 bytes of a frame say.
type header struct {
	n   int
	crc uint32
	seq uint64
	ok  bool // the header check is right
}

// header reads a frame's first 16 bytes; room is how much is left behind it at
// most, which no valid length passes.
func (s sealer) header(b []byte, pos Position, room int64) header {
	w0, w1 := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	h := header{n: int(uint32(w0)), crc: uint32(w0 >> 32), seq: w1 & seqMask}
	if h.n == 0 || h.n > maxFrameBytes || frameSize(h.n) > room {
		return h
	}
	_, check := s.mix(pos, h.n, h.seq)
	h.ok = check == w1>>seqBits
	return h
}

// valid reports whether b, a frame's header and payload, checks out.
func (s sealer) valid(b []byte, pos Position, h header) bool {
	init, _ := s.mix(pos, h.n, h.seq)
	return crc32.Update(init, castagnoli, b[8:frameHeaderSize+h.n]) == h.crc
}
