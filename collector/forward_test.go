package collector

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestForwardsByteForByte(t *testing.T) {
	type seen struct {
		path, encoding, authorization, key string
		body                               []byte
	}
	var mu sync.Mutex
	var got []seen
	code := http.StatusOK
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		got = append(got, seen{r.URL.Path, r.Header.Get("Content-Encoding"), r.Header.Get("Authorization"), r.Header.Get("X-Key"), body})
		w.Header().Set("Content-Type", typeProtobuf)
		w.WriteHeader(code)
		_, _ = w.Write([]byte("\x0a\x00"))
	}))
	defer backend.Close()
	cfg := testConfig(t.TempDir())
	cfg.ForwardOTLP, cfg.ForwardHeaders = backend.URL+"/", map[string]string{"X-Key": "k"}
	c := start(t, cfg, Deps{})
	body := gzipped(t, []byte("anything"))
	status200, _, answer := post(t, c, pathMetrics, body, "Content-Encoding", "gzip")
	if status200 != http.StatusOK || string(answer) != "\x0a\x00" {
		t.Errorf("%d %q", status200, answer)
	}
	if g := got[0]; g.path != pathMetrics || g.encoding != "gzip" || g.authorization != "" || g.key != "k" || !bytes.Equal(g.body, body) {
		t.Errorf("backend got %+v", g)
	}
	client := coltracepb.NewTraceServiceClient(dial(t, c))
	if _, err := client.Export(bearer(t, "ingest-a"), &coltracepb.ExportTraceServiceRequest{}); err != nil {
		t.Error(err)
	}
	if got[1].path != pathTraces {
		t.Errorf("gRPC traces went to %s", got[1].path)
	}
	mu.Lock()
	code = http.StatusServiceUnavailable
	mu.Unlock()
	if code, _, _ := post(t, c, pathTraces, body); code != http.StatusServiceUnavailable {
		t.Errorf("the backend's refusal became %d", code)
	}
	if _, err := client.Export(bearer(t, "ingest-a"), &coltracepb.ExportTraceServiceRequest{}); status.Code(err) != codes.ResourceExhausted || retryDelay(err) == 0 {
		t.Errorf("over gRPC: %v", err)
	}
	if code, _, _ := post(t, c, pathTraces, body, "Authorization", "Bearer nobody"); code != http.StatusUnauthorized {
		t.Errorf("without a token: %d", code)
	}
}

func TestOtherSignalsWithoutABackendAreAcceptedAndDropped(t *testing.T) {
	c := start(t, testConfig(t.TempDir()), Deps{})
	for _, path := range []string{pathTraces, pathMetrics} {
		if code, _, answer := post(t, c, path, []byte("anything")); code != http.StatusOK || len(answer) != 0 {
			t.Errorf("%s: %d %q", path, code, answer)
		}
		if code, _, answer := post(t, c, path, []byte("{}"), "Content-Type", typeJSON); code != http.StatusOK || string(answer) != "{}" {
			t.Errorf("%s in JSON: %d %q", path, code, answer)
		}
	}
}
