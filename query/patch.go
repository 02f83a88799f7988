package query

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

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
	result, err := mergePatch(input, patch)
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

// mergePatch applies an RFC 7386 merge patch. Numbers keep their digits.
func mergePatch(target, patch []byte) ([]byte, error) {
	var t, p any
	if len(target) > 0 {
		if err := decodeJSON(target, &t); err != nil {
			return nil, fmt.Errorf("read input: %w", err)
		}
	}
	if err := decodeJSON(patch, &p); err != nil {
		return nil, fmt.Errorf("read patch: %w", err)
	}
	out, err := json.Marshal(merged(t, p))
	if err != nil {
		return nil, fmt.Errorf("write input: %w", err)
	}
	return out, nil
}

func decodeJSON(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return d.Decode(into)
}

func merged(target, patch any) any {
	p, isObject := patch.(map[string]any)
	if !isObject {
		return patch
	}
	t, ok := target.(map[string]any)
	if !ok {
		t = map[string]any{}
	}
	for name, value := range p {
		if value == nil {
			delete(t, name)
			continue
		}
		t[name] = merged(t[name], value)
	}
	return t
}
