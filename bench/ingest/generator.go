package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// records is how many events are in a request.
const records = 512

const exportMethod = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"

// sent is what a generator did.
type sent struct {
	Events  uint64  `json:"events"`
	Bytes   uint64  `json:"bytes"`
	Refused uint64  `json:"refused"`
	Retries uint64  `json:"retries"`
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu_seconds"`
	AckP50  float64 `json:"ack_p50_ms"`
	AckP99  float64 `json:"ack_p99_ms"`
}

func generatorMain(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("generate", flag.ContinueOnError)
	addr := f.String("addr", "", "OTLP/gRPC address")
	conns := f.Int("conns", 4, "connections")
	inflight := f.Int("inflight", 4, "requests under way on each")
	seconds := f.Float64("seconds", 10, "how long; 0 for as long as it takes")
	most := f.Uint64("bytes", 0, "how many bytes of requests; 0 for as many as there is time for")
	rate := f.Float64("rate", 0, "events a second; 0 for as many as are taken")
	name := f.String("name", "g", "prefix of sources and tasks")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *seconds > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(*seconds*float64(time.Second)))
		defer cancel()
	}
	g := &generator{ctx: ctx, rate: *rate / float64(*conns**inflight), most: *most / uint64(*conns**inflight)}
	began := time.Now()
	var all sync.WaitGroup
	for c := range *conns {
		conn, err := dial(*addr)
		if err != nil {
			return err
		}
		defer conn.Close()
		for i := range *inflight {
			all.Go(func() { g.work(conn, fmt.Sprintf("%s-%d-%d", *name, c, i)) })
		}
	}
	all.Wait()
	g.out.Seconds = time.Since(began).Seconds()
	g.out.CPU = ownCPU().Seconds()
	slices.Sort(g.acks)
	if n := len(g.acks); n > 0 {
		g.out.AckP50, g.out.AckP99 = g.acks[n/2], g.acks[n*99/100]
	}
	if g.failed != nil {
		return g.failed
	}
	return json.NewEncoder(os.Stdout).Encode(g.out)
}

func dial(addr string) (*grpc.ClientConn, error) {
	return grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{})), grpc.WithWriteBufferSize(256<<10))
}

type generator struct {
	ctx  context.Context
	rate float64
	most uint64

	mu     sync.Mutex
	out    sent
	acks   []float64
	failed error
}

// work sends one source's requests, one after the other.
func (g *generator) work(conn *grpc.ClientConn, name string) {
	s := newScript(name)
	var events, bytes, retries, refused uint64
	var acks []float64
	began := time.Now()
	for g.ctx.Err() == nil && (g.most == 0 || bytes < g.most) {
		if g.rate > 0 {
			wait := time.Until(began.Add(time.Duration(float64(events) / g.rate * float64(time.Second))))
			select {
			case <-time.After(wait):
			case <-g.ctx.Done():
				continue
			}
		}
		body := s.request(records)
		at := time.Now()
		again, bad, err := export(conn, body)
		retries += again
		refused += bad
		if err != nil {
			g.mu.Lock()
			g.failed = err
			g.mu.Unlock()
			return
		}
		acks = append(acks, float64(time.Since(at).Microseconds())/1000)
		events += records
		bytes += uint64(len(body))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.out.Events += events
	g.out.Bytes += bytes
	g.out.Retries += retries
	g.out.Refused += refused
	g.acks = append(g.acks, acks...)
}

// export sends a request until it is acknowledged.
func export(conn *grpc.ClientConn, body []byte) (retries, refused uint64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+benchToken)
	for ; ; retries++ {
		var answer []byte
		err := conn.Invoke(ctx, exportMethod, body, &answer)
		if err == nil {
			if len(answer) > 0 && answer[0] == 0x0a && len(answer) > 2 { // partial_success
				refused++
			}
			return retries, refused, nil
		}
		wait := 50 * time.Millisecond
		st := status.Convert(err)
		if st.Code() != codes.Unavailable && st.Code() != codes.ResourceExhausted {
			return retries, refused, fmt.Errorf("export: %w", err)
		}
		for _, d := range st.Details() {
			if info, ok := d.(*errdetails.RetryInfo); ok {
				wait = info.GetRetryDelay().AsDuration()
			}
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return retries, refused, fmt.Errorf("export: %w", err)
		}
	}
}

// rawCodec sends and receives bytes as they are.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// script makes one source's events: tasks that succeed at once, five events each.
type script struct {
	name  string
	event timeline.Event
	ids   timeline.IDGenerator
	seq   uint64
	at    int // in the task's life
	task  uint64
	buf   []byte
	ends  []int
	recs  [][]byte
	out   []byte
}

var life = [...]timeline.Type{timeline.TaskCreated, timeline.TaskStarted, timeline.AttemptStarted, timeline.AttemptSuccess, timeline.TaskCompleted}

func newScript(name string) *script {
	return &script{name: name, event: timeline.Event{
		SourceID: name,
		Task:     timeline.Task{Type: "send_email", Queue: "mailers", Runner: "asynq", Agent: "worker-1", MaxAttempts: 5},
	}}
}

// request encodes the next n events; it holds until the next call.
func (s *script) request(n int) []byte {
	s.buf, s.ends, s.recs = s.buf[:0], s.ends[:0], s.recs[:0]
	now := time.Now()
	for range n {
		e := &s.event
		if s.at == 0 {
			s.task++
			e.Task.ID = s.name + "-" + strconv.FormatUint(s.task, 10)
		}
		s.seq++
		e.ID, e.SourceSeq, e.Seq = s.ids.Next(now), s.seq, uint64(s.at+1)
		e.Type = life[s.at]
		e.Severity = e.Type.Severity()
		e.Run, e.Attempt, e.Attempts, e.Duration = 1, 0, 0, 0
		if e.Type == timeline.AttemptStarted || e.Type == timeline.AttemptSuccess {
			e.Attempt = 1
		}
		if e.Type == timeline.AttemptSuccess || e.Type == timeline.TaskCompleted {
			e.Duration = timeline.Millis(12 * time.Millisecond)
		}
		if e.Type == timeline.TaskCompleted {
			e.Attempts = 1
		}
		e.OccurredAt = now.Add(time.Duration(s.at) * time.Microsecond)
		s.buf = wire.AppendLogRecord(s.buf, e)
		s.ends = append(s.ends, len(s.buf))
		s.at = (s.at + 1) % len(life)
	}
	from := 0
	for _, end := range s.ends {
		s.recs = append(s.recs, s.buf[from:end])
		from = end
	}
	s.out = wire.AppendExportRequest(s.out[:0], wire.Resource{ServiceName: "bench"}, s.recs)
	return s.out
}
