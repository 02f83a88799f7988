package query

import (
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// The id of a stream's event is base64url of
//
//	version (1) · arrival, unix ns (8) · event id (16) · task id
//
// It needs no HMAC: it shows nothing that its reader may not see, since what it
// points to is read within the reader's scope.
const streamIDVersion = 1

func (s *Server) streamID(e *timeline.Event) string {
	b := make([]byte, 0, 25+len(e.Task.ID))
	b = append(b, streamIDVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(arrival(e).UnixNano()))
	b = append(b, e.ID[:]...)
	return base64.RawURLEncoding.EncodeToString(append(b, e.Task.ID...))
}

func (s *Server) parseStreamID(id string) (at time.Time, event timeline.ID, taskID string, ok bool) {
	if len(id) > maxCursorBytes {
		return at, event, "", false
	}
	b, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil || len(b) < 26 || len(b) > 25+timeline.MaxTaskIDBytes || b[0] != streamIDVersion {
		return at, event, "", false
	}
	at = time.Unix(0, int64(binary.BigEndian.Uint64(b[1:9]))).UTC()
	copy(event[:], b[9:25])
	return at, event, string(b[25:]), true
}
