package collector

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
	"github.com/tasktrail/tasktrail/timeline/wire/otlpjson"
)

func FuzzPostLogs(f *testing.F) {
	cfg := testConfig(f.TempDir())
	cfg.GRPCAddr, cfg.HTTPAddr, cfg.MaxRequestBytes, cfg.MaxCompressedBytes = noAddr, noAddr, 64<<10, 32<<10
	c := start(f, cfg, Deps{})
	handler := c.Handler()
	good := request(event("t", 1, 1, 1, timeline.AttemptStarted))
	asJSON, err := otlpjson.FromProtobuf(good)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, uint8(0), false)
	f.Add(asJSON, uint8(0), true)
	f.Add(gzipped(f, good), uint8(1), false)
	f.Add(zstded(f, asJSON), uint8(2), true)
	f.Fuzz(func(t *testing.T, body []byte, encoding uint8, inJSON bool) {
		req := httptest.NewRequest(http.MethodPost, pathLogs, bytes.NewReader(body))
		req.Header.Set("Authorization", "Bearer ingest-a")
		req.Header.Set("Content-Type", typeProtobuf)
		if inJSON {
			req.Header.Set("Content-Type", typeJSON)
		}
		if e := [...]string{"", encodingGzip, encodingZstd}[encoding%3]; e != "" {
			req.Header.Set("Content-Encoding", e)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, req)
		switch w.Code {
		case http.StatusOK, http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusServiceUnavailable:
		default:
			t.Errorf("answered %d %q", w.Code, w.Body)
		}
		if used := c.budget.used.Load(); used != 0 {
			t.Errorf("%d bytes of the budget were not given back", used)
		}
	})
}

func FuzzCountRecords(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 'a', 0x0a, 2, 0x12, 0})
	f.Fuzz(func(t *testing.T, frame []byte) {
		if n := wire.CountRecords(frame); n < 0 || n > len(frame) {
			t.Errorf("%d records in %d bytes", n, len(frame))
		}
	})
}
