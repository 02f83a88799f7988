package collector

import (
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	collogspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tasktrail/tasktrail/internal/spool"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

func retryDelay(err error) time.Duration {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

func TestFullLogPushesBackAndLosesNothing(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	sink := newRecorder("truth")
	sink.fail = func(*spool.Batch) error {
		if down.Load() {
			return errors.New("the store is down")
		}
		return nil
	}
	cfg := testConfig(t.TempDir())
	cfg.LogMaxBytes, cfg.LogSegmentBytes, cfg.RetryAfter = 1<<20, 128<<10, 2*time.Second
	c := start(t, cfg, Deps{Sinks: []SinkSpec{{Sink: sink, MaxBackoff: 60 * time.Millisecond}}})

	accepted := 0
	var refused error
	for seq := uint64(1); seq < 2000 && refused == nil; seq++ {
		e := event("t", 1, 1, seq, timeline.AttemptStarted)
		e.Input = timeline.Payload(make([]byte, 4<<10))
		for i := range e.Input {
			e.Input[i] = 'x'
		}
		if _, refused = c.Accept(t.Context(), wire.Envelope{Namespace: "a"}, request(e)); refused == nil {
			accepted++
		}
	}
	var overload *OverloadError
	if !errors.As(refused, &overload) || !overload.Unavailable || !errors.Is(refused, spool.ErrFull) {
		t.Fatalf("after %d: %v", accepted, refused)
	}
	if err := c.Ready(); !errors.Is(err, spool.ErrFull) {
		t.Errorf("ready: %v", err)
	}
	big := event("t", 1, 1, 5000, timeline.AttemptStarted)
	big.Input = make([]byte, 8<<10)
	for i := range big.Input {
		big.Input[i] = 'x'
	}
	code, header, _ := post(t, c, pathLogs, request(big))
	if code != http.StatusServiceUnavailable || header.Get("Retry-After") != "2" {
		t.Errorf("HTTP: %d, Retry-After %q", code, header.Get("Retry-After"))
	}
	_, err := collogspb.NewLogsServiceClient(dial(t, c)).Export(bearer(t, "ingest-a"), unmarshalLogs(t, request(big)))
	if status.Code(err) != codes.Unavailable || retryDelay(err) != 2*time.Second {
		t.Errorf("gRPC: %v, RetryInfo %v", err, retryDelay(err))
	}

	down.Store(false)
	if got := len(sink.awaitCount(t, accepted)); got != accepted {
		t.Errorf("delivered %d of %d", got, accepted)
	}
	eventually(t, "room again", func() bool { return c.Ready() == nil })
	accept(t, c, event("after", 1, 1, 1, timeline.AttemptStarted))
	sink.awaitCount(t, accepted+1)
}
