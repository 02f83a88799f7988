package collector

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tasktrail/tasktrail/internal/spool"
	"github.com/tasktrail/tasktrail/timeline"
)

func TestSlowSendersAreLetGo(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.ReadTimeout = 50 * time.Millisecond
	c := start(t, cfg, Deps{})

	conn, err := net.Dial("tcp", c.HTTPAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ingest-a\r\nContent-Type: %s\r\nContent-Length: 1000\r\n\r\nabc", pathLogs, typeProtobuf)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestTimeout {
		t.Errorf("HTTP: %s", resp.Status)
	}

	stream, err := dial(t, c).NewStream(bearer(t, "ingest-a"), &grpc.StreamDesc{ClientStreams: true}, "/"+grpcLogs+"/"+grpcExport)
	if err != nil {
		t.Fatal(err)
	}
	var answer any
	if err := stream.RecvMsg(&answer); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("gRPC: %v", err)
	}
	eventually(t, "the budget is given back", func() bool { return c.budget.used.Load() == 0 })
}

// hanging is a sink whose write ends with its context alone.
type hanging struct{ entered chan struct{} }

func (hanging) Name() string { return "hanging" }

func (h hanging) Write(ctx context.Context, _ *spool.Batch) error {
	select {
	case h.entered <- struct{}{}:
	default:
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

func TestStopIsBounded(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.StopTimeout = 200 * time.Millisecond
	sink := hanging{make(chan struct{}, 1)}
	c := start(t, cfg, Deps{Sinks: []SinkSpec{{Sink: sink}}})
	accept(t, c, event("t", 1, 1, 1, timeline.AttemptStarted))
	<-sink.entered
	began := time.Now()
	stop(t, c)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("stop took %v", took)
	}
}

func TestBrakeOnASinkThatRefusesEverything(t *testing.T) {
	sink := newRecorder("truth")
	sink.fail = func(*spool.Batch) error { return permanentError{errors.New("no such table")} }
	spec := quick(sink)
	spec.MaxBackoff = time.Hour
	c := start(t, testConfig(t.TempDir()), Deps{Sinks: []SinkSpec{spec}})
	for i := range 30 {
		accept(t, c, event(fmt.Sprint("t", i), 1, 1, uint64(i+1), timeline.AttemptStarted))
	}
	eventually(t, "the brake", func() bool {
		s := c.Sinks()[0]
		return c.Ledger().Sinks[0].SetAside == brakeAfter && strings.Contains(s.LastError, "no such table") && s.LagBytes > 0
	})
}

func TestLingerGathersABatch(t *testing.T) {
	sink := newRecorder("truth")
	c := start(t, testConfig(t.TempDir()), Deps{Sinks: []SinkSpec{{Sink: sink, Linger: time.Hour, MaxBatchBytes: 4 << 10}}})
	for i := 0; ; i++ { // until a batch is full
		accept(t, c, event(fmt.Sprint("t", i), 1, 1, 1, timeline.AttemptStarted))
		if log := c.log.Load(); log.End() > log.Start()+8<<10 {
			break
		}
	}
	sink.awaitCount(t, 1)
	if d := sink.deliveries()[0]; len(d.frames) < 5 {
		t.Errorf("the first batch has %d frames", len(d.frames))
	}
}
