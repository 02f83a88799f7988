package agent

import (
	"bytes"
	"encoding/json"
)

// MergePatch applies an RFC 7386 merge patch. Numbers keep their digits.
func MergePatch(doc, patch []byte) ([]byte, error) {
	var target, change any
	if len(doc) > 0 {
		if err := decodeJSON(doc, &target); err != nil {
			return nil, err
		}
	}
	if err := decodeJSON(patch, &change); err != nil {
		return nil, err
	}
	return json.Marshal(merged(target, change))
}

func merged(target, change any) any {
	members, ok := change.(map[string]any)
	if !ok {
		return change
	}
	into, ok := target.(map[string]any)
	if !ok {
		into = map[string]any{}
	}
	for k, v := range members {
		if v == nil {
			delete(into, k)
		} else {
			into[k] = merged(into[k], v)
		}
	}
	return into
}

func decodeJSON(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return d.Decode(into)
}
