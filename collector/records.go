package collector

import (
	"encoding/binary"

	"github.com/tasktrail/tasktrail/timeline/wire"
)

// countRecords returns how many log records a frame holds, without decoding one:
// ExportLogsServiceRequest.resource_logs (1) → scope_logs (2) → log_records (2).
func countRecords(frame []byte) int {
	_, request, err := wire.DecodeFrame(frame)
	if err != nil {
		return 0
	}
	n := 0
	eachMessage(request, 1, func(resourceLogs []byte) {
		eachMessage(resourceLogs, 2, func(scopeLogs []byte) {
			eachMessage(scopeLogs, 2, func([]byte) { n++ })
		})
	})
	return n
}

// eachMessage calls f with every length-delimited field of that number and stops
// at the first thing it can't read. Frames hold only what passed wire.Check.
func eachMessage(b []byte, number uint64, f func([]byte)) {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 {
			return
		}
		b = b[n:]
		switch tag & 7 {
		case 0:
			_, n := binary.Uvarint(b)
			if n <= 0 {
				return
			}
			b = b[n:]
		case 1:
			if len(b) < 8 {
				return
			}
			b = b[8:]
		case 2:
			size, n := binary.Uvarint(b)
			if n <= 0 || size > uint64(len(b)-n) {
				return
			}
			if tag>>3 == number {
				f(b[n : n+int(size)])
			}
			b = b[n+int(size):]
		case 5:
			if len(b) < 4 {
				return
			}
			b = b[4:]
		default:
			return
		}
	}
}
