package query

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"testing"
)

// A small body that unpacks to a large one is refused as it is.
func TestABodyIsNotUnpacked(t *testing.T) {
	h := start(t)
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	if _, err := w.Write(make([]byte, 16<<20)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, encoding := range []string{"gzip", "deflate", "br", "gzip, gzip"} {
		a := h.post("/tasks/failed/retry", "operator", bomb.String(), "Content-Encoding", encoding)
		if a.status != http.StatusUnsupportedMediaType {
			t.Errorf("%s: %d %s", encoding, a.status, a.body)
		}
	}
}
