package query

import (
	"encoding/json"
	"testing"

	"github.com/tasktrail/tasktrail/timeline"
)

// The bodies of what changes something: whatever they are, the answer is an order
// within its bounds or a fault of the caller's.
func FuzzOrder(f *testing.F) {
	f.Add("application/json", []byte(`{"reason":"x","input_patch":{"a":null}}`))
	f.Add("text/plain", []byte(`{}`))
	f.Add("application/json", []byte(`{"input_patch": }`))
	f.Add("application/json; charset=utf-8", []byte(`{"reason":"\u0000\r\nX: y"}`))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		o, err := parseOrder(contentType, body, []string{"reason", "input_patch"})
		if err != nil {
			if status := statuses[asFailure(err).code].status; status < 400 || status >= 500 {
				t.Fatalf("%q: %d %v", body, status, err)
			}
			return
		}
		if len(o.inputPatch) > timeline.MaxPayloadBytes || o.inputPatch != nil && !json.Valid(o.inputPatch) {
			t.Fatalf("a patch of %d bytes: %q", len(o.inputPatch), o.inputPatch)
		}
	})
}

func FuzzBulkFilter(f *testing.F) {
	f.Add([]byte(`{"type":"payment","reason":["exhausted","permanent"]}`))
	f.Add([]byte(`{"text":"\u0000"}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, err := parseBulkFilter(raw); err != nil {
			if status := statuses[asFailure(err).code].status; status < 400 || status >= 500 {
				t.Fatalf("%q: %d %v", raw, status, err)
			}
		}
	})
}
