package query

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/tasktrail/tasktrail/internal/mergepatch"
	"github.com/tasktrail/tasktrail/timeline"
)

// patchHashes returns the SHA-256 of an input before and after a merge patch.
// Where the original is sealed neither can be known here: the agent that opens it
// applies the patch.
func patchHashes(input timeline.Payload, patch json.RawMessage, sealed bool) (before, after string, err error) {
	if sealed {
		return "", "", nil
	}
	if len(input) > 0 && !json.Valid(input) {
		return "", "", fail(codePatchNotApplicable, "the input is not JSON")
	}
	result, err := mergepatch.Apply(input, patch)
	if err != nil {
		return "", "", fail(codePatchNotApplicable, "%v", err)
	}
	if len(result) > timeline.MaxPayloadBytes {
		return "", "", fail(codePatchNotApplicable, "the edited input has %d bytes, the limit is %d", len(result), timeline.MaxPayloadBytes)
	}
	return hashHex(input), hashHex(result), nil
}

func hashHex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
