package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	collogspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/protobuf/proto"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// remoteWriter sends operators' events to a collector that runs elsewhere, as
// any agent would. It returns once the collector has answered that they are on
// its disk.
type remoteWriter struct {
	url, token string
	client     *http.Client
}

func newRemoteWriter(url, token string) *remoteWriter {
	return &remoteWriter{url: strings.TrimRight(url, "/") + "/v1/logs", token: token, client: &http.Client{Timeout: 10 * time.Second}}
}

// startEvents chooses where operators' events go.
func (a *App) startEvents(context.Context) error {
	a.events = a.collector
	if a.collector == nil {
		remote := newRemoteWriter(a.set.CollectorURL, a.set.Token)
		a.undo.pushFunc("connections to the collector", remote.client.CloseIdleConnections)
		a.events = remote
	}
	return nil
}

// maxAnswer bounds what is read of a collector's answer.
const maxAnswer = 64 << 10

func (w *remoteWriter) WriteEvents(ctx context.Context, namespace string, events []timeline.Event) error {
	records := make([][]byte, len(events))
	for i := range events {
		e := events[i]
		if e.Namespace == "" {
			e.Namespace = namespace
		}
		records[i] = wire.AppendLogRecord(nil, &e)
	}
	body := wire.AppendExportRequest(nil, wire.Resource{ServiceName: "tasktrail-query"}, records)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("write events: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Authorization", "Bearer "+w.token)
	resp, err := w.client.Do(req)
	if err != nil {
		return fmt.Errorf("write events: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("write events: read the answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("write events: the collector answered %s", resp.Status)
	}
	var out collogspb.ExportLogsServiceResponse
	if err := proto.Unmarshal(answer, &out); err != nil {
		return fmt.Errorf("write events: decode the answer: %w", err)
	}
	if n := out.GetPartialSuccess().GetRejectedLogRecords(); n > 0 {
		return fmt.Errorf("write events: the collector refused %d of %d: %s", n, len(events), out.GetPartialSuccess().GetErrorMessage())
	}
	return nil
}

// isLoopback reports whether an address can be reached from this machine alone.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
