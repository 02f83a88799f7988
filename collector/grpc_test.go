package collector

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	collogspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/tasktrail/tasktrail/timeline"
)

func dial(t testing.TB, c *Collector) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(c.GRPCAddr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func bearer(t testing.TB, token string) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	t.Cleanup(cancel)
	if token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

func unmarshalLogs(t testing.TB, b []byte) *collogspb.ExportLogsServiceRequest {
	t.Helper()
	var req collogspb.ExportLogsServiceRequest
	if err := proto.Unmarshal(b, &req); err != nil {
		t.Fatal(err)
	}
	return &req
}

func TestGRPC(t *testing.T) {
	sink := newRecorder("truth")
	cfg := testConfig(t.TempDir())
	cfg.MaxRequestBytes = 256 << 10
	c := start(t, cfg, Deps{Sinks: []SinkSpec{{Sink: sink}}})
	client := collogspb.NewLogsServiceClient(dial(t, c))
	req := unmarshalLogs(t, request(event("t", 1, 1, 1, timeline.AttemptStarted)))
	for i, name := range []string{"", "gzip", "zstd"} {
		req := unmarshalLogs(t, request(event("t", 1, 1, uint64(i+1), timeline.AttemptStarted)))
		var opts []grpc.CallOption
		if name != "" {
			opts = append(opts, grpc.UseCompressor(name))
		}
		if _, err := client.Export(bearer(t, "ingest-a"), req, opts...); err != nil {
			t.Errorf("compression %q: %v", name, err)
		}
	}
	sink.awaitCount(t, 3)

	for token, want := range map[string]codes.Code{"": codes.Unauthenticated, "nobody": codes.Unauthenticated, "reader": codes.PermissionDenied} {
		if _, err := client.Export(bearer(t, token), req); status.Code(err) != want {
			t.Errorf("token %q: %v, want %v", token, err, want)
		}
	}

	big := unmarshalLogs(t, request(event("t", 1, 1, 1, timeline.AttemptStarted)))
	big.ResourceLogs[0].ScopeLogs[0].LogRecords[0].SeverityText = strings.Repeat("0", 4<<20)
	for _, name := range []string{"gzip", "zstd"} {
		_, err := client.Export(bearer(t, "ingest-a"), big, grpc.UseCompressor(name))
		// Without RetryInfo: a sender drops it instead of repeating it.
		if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "262144") || retryDelay(err) != 0 {
			t.Errorf("%s bomb: %v", name, err)
		}
	}
	if _, err := coltracepb.NewTraceServiceClient(dial(t, c)).Export(bearer(t, "ingest-a"), &coltracepb.ExportTraceServiceRequest{}); err != nil {
		t.Errorf("traces: %v", err)
	}
	// gRPC answers a message it can't take before the handler is done with it.
	eventually(t, "the budget is given back", func() bool { return c.budget.used.Load() == 0 })
}

func TestOverloadSaysWhenToComeBack(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.MaxInFlightBytes, cfg.MaxRequestBytes = 1<<20, 1<<20
	cfg.OverloadWait, cfg.RetryAfter = time.Millisecond, 3*time.Second
	c := start(t, cfg, Deps{})
	l, err := c.budget.open(t.Context(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	good := request(event("t", 1, 1, 1, timeline.AttemptStarted))
	code, header, _ := post(t, c, pathLogs, good)
	if code != http.StatusTooManyRequests || header.Get("Retry-After") != "3" {
		t.Errorf("%d, Retry-After %q", code, header.Get("Retry-After"))
	}
	_, err = collogspb.NewLogsServiceClient(dial(t, c)).Export(bearer(t, "ingest-a"), unmarshalLogs(t, good))
	if status.Code(err) != codes.ResourceExhausted || retryDelay(err) != 3*time.Second {
		t.Errorf("%v, RetryInfo %v", err, retryDelay(err))
	}
	if err := c.Ready(); err != nil {
		t.Errorf("not ready: %v", err)
	}
}
