package collector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	_ "google.golang.org/grpc/encoding/gzip" // senders may use gzip
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tasktrail/tasktrail/timeline/wire"
)

// The services of OTLP. Each has one method, Export.
const (
	grpcLogs    = "opentelemetry.proto.collector.logs.v1.LogsService"
	grpcTraces  = "opentelemetry.proto.collector.trace.v1.TraceService"
	grpcMetrics = "opentelemetry.proto.collector.metrics.v1.MetricsService"
	grpcExport  = "Export"
)

const (
	grpcStreamWindow = 512 << 10 // bytes of a request a peer may send ahead
	grpcConnWindow   = 1 << 20
	maxHeaderBytes   = 16 << 10
)

// rawCodec hands messages through as bytes: a request is never made into a tree
// of objects.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.(rawMessage)
	if !ok {
		return nil, fmt.Errorf("marshal %T: want a raw message", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	r, ok := v.(*rawRequest)
	if !ok {
		return fmt.Errorf("unmarshal %T: want a raw request", v)
	}
	data.Ref()
	r.data = data
	return nil
}

// rawMessage is an encoded answer, rawRequest a received request that holds its
// buffers until they are freed.
type (
	rawMessage []byte
	rawRequest struct{ data mem.BufferSlice }
)

// grpcServer makes the server; serving is the caller's. Export is registered as a
// stream of one message, which is the same on the wire: so the handler runs, and
// the token is checked, before the message is read.
func (c *Collector) grpcServer() (*grpc.Server, error) {
	opts := []grpc.ServerOption{
		grpc.ForceServerCodecV2(rawCodec{}),
		grpc.MaxRecvMsgSize(c.cfg.MaxRequestBytes),
		grpc.MaxConcurrentStreams(uint32(c.cfg.MaxStreams)),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.InitialWindowSize(grpcStreamWindow),
		grpc.InitialConnWindowSize(grpcConnWindow),
		grpc.ConnectionTimeout(10 * time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: 30 * time.Minute, Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true),
	}
	tlsCfg, err := c.cfg.tlsConfig()
	if err != nil {
		return nil, err
	}
	if tlsCfg != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(tlsCfg)))
	}
	s := grpc.NewServer(opts...)
	for service, handle := range map[string]func(context.Context, Principal, []byte) (rawMessage, error){
		grpcLogs: c.exportLogs,
		grpcTraces: func(ctx context.Context, _ Principal, request []byte) (rawMessage, error) {
			return c.forwardRaw(ctx, signalTraces, request)
		},
		grpcMetrics: func(ctx context.Context, _ Principal, request []byte) (rawMessage, error) {
			return c.forwardRaw(ctx, signalMetrics, request)
		},
	} {
		s.RegisterService(&grpc.ServiceDesc{
			ServiceName: service,
			HandlerType: (*any)(nil),
			Streams: []grpc.StreamDesc{{StreamName: grpcExport, ClientStreams: true, Handler: func(_ any, stream grpc.ServerStream) error {
				return c.serveExport(stream, handle)
			}}},
		}, c)
	}
	return s, nil
}

// serveExport authenticates, reads, handles and answers one request.
func (c *Collector) serveExport(stream grpc.ServerStream, handle func(context.Context, Principal, []byte) (rawMessage, error)) error {
	answer, err := c.receiveExport(stream, handle)
	if err == nil {
		err = stream.SendMsg(answer)
		c.metrics.requests.WithLabelValues(transportGRPC, codes.OK.String()).Inc()
		return err
	}
	f := c.explain(err)
	c.metrics.requests.WithLabelValues(transportGRPC, f.code.String()).Inc()
	return f.status().Err()
}

func (c *Collector) receiveExport(stream grpc.ServerStream, handle func(context.Context, Principal, []byte) (rawMessage, error)) (rawMessage, error) {
	ctx := stream.Context()
	var authorization string
	if values := metadata.ValueFromIncomingContext(ctx, "authorization"); len(values) > 0 {
		authorization = values[0]
	}
	p, err := c.authenticate(ctx, authorization, ScopeIngest)
	if err != nil {
		return nil, err
	}
	// How large the request is shows only when it is there: until then it holds
	// a share, which bounds how many are read at once.
	l, err := c.budget.open(ctx, min(int64(c.cfg.MaxRequestBytes), max(1, c.budget.size/16)))
	if err != nil {
		return nil, err
	}
	defer l.close()
	request := new(rawRequest)
	if err := c.receive(stream, request); err != nil {
		return nil, err
	}
	defer request.data.Free()
	if err := l.resize(2 * int64(request.data.Len())); err != nil {
		return nil, err
	}
	if len(request.data) == 1 {
		return handle(ctx, p, request.data[0].ReadOnlyData())
	}
	buf := c.buffers.get()
	defer func() { c.buffers.put(buf) }()
	for _, part := range request.data {
		buf = append(buf, part.ReadOnlyData()...)
	}
	return handle(ctx, p, buf)
}

// receive reads the message. Where that fails, gRPC has already answered with a
// status of its own, and the error is for the counters. The read of a sender that takes too long ends with
// its stream, which is when the answer has been sent.
func (c *Collector) receive(stream grpc.ServerStream, request *rawRequest) error {
	read := make(chan error, 1)
	go func() { read <- stream.RecvMsg(request) }()
	late := time.NewTimer(c.cfg.ReadTimeout)
	defer late.Stop()
	var err error
	select {
	case err = <-read:
	case <-late.C:
		go func() {
			if <-read == nil {
				request.data.Free()
			}
		}()
		return os.ErrDeadlineExceeded
	}
	switch status.Code(err) {
	case codes.OK:
		return nil
	case codes.ResourceExhausted:
		return &TooLargeError{Field: "request", Limit: int64(c.cfg.MaxRequestBytes)}
	case codes.Canceled, codes.DeadlineExceeded, codes.Unavailable:
		return fmt.Errorf("receive request: %w", context.Canceled)
	case codes.Unimplemented:
		return &requestError{http.StatusUnsupportedMediaType, codes.Unimplemented, "compression: want gzip, zstd or none"}
	}
	if errors.Is(err, io.EOF) {
		return &requestError{http.StatusBadRequest, codes.InvalidArgument, "request: no message"}
	}
	return &requestError{http.StatusBadRequest, codes.InvalidArgument, "request: can't be read or decompressed"}
}

// exportLogs takes a request for logs and gives the encoded answer.
func (c *Collector) exportLogs(ctx context.Context, p Principal, request []byte) (rawMessage, error) {
	report, err := c.accept(ctx, wire.Envelope{Namespace: p.Namespace, AnyNamespace: p.AnyNamespace}, request, entry{transport: transportGRPC, operator: p.may(ScopeOperate), admin: p.may(ScopeAdmin)})
	if err != nil {
		return nil, err
	}
	return appendExportResponse(nil, &report), nil
}

func (c *Collector) serveGRPC(s *grpc.Server, l net.Listener) error {
	if err := s.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve gRPC: %w", err)
	}
	return nil
}
