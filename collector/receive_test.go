package collector

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	collogspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire/otlpjson"
)

// emitWithSDK writes n timeline events of one task through a stock SDK.
func emitWithSDK(t *testing.T, exporter sdklog.Exporter, task string, n int) {
	t.Helper()
	provider := sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewBatchProcessor(exporter)))
	logger := provider.Logger("worker")
	for i := range n {
		var r log.Record
		r.SetTimestamp(time.Now())
		r.SetEventName("attempt_started")
		r.AddAttributes(attribute.String("task.id", task), attribute.Int("task.attempt", i+1), attribute.Int("task.run", 1))
		logger.Emit(t.Context(), r)
	}
	if err := provider.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestStockExporters(t *testing.T) {
	sink := newRecorder("truth")
	c := start(t, testConfig(t.TempDir()), Deps{Sinks: []SinkSpec{{Sink: sink}}})
	header := map[string]string{"authorization": "Bearer ingest-a"}
	ctx := t.Context()
	overHTTP, err := otlploghttp.New(ctx, otlploghttp.WithEndpoint(c.HTTPAddr().String()), otlploghttp.WithInsecure(),
		otlploghttp.WithHeaders(header), otlploghttp.WithCompression(otlploghttp.GzipCompression))
	if err != nil {
		t.Fatal(err)
	}
	overGRPC, err := otlploggrpc.New(ctx, otlploggrpc.WithEndpoint(c.GRPCAddr().String()), otlploggrpc.WithInsecure(),
		otlploggrpc.WithHeaders(header), otlploggrpc.WithCompressor("gzip"))
	if err != nil {
		t.Fatal(err)
	}
	emitWithSDK(t, overHTTP, "by-http", 40)
	emitWithSDK(t, overGRPC, "by-grpc", 60)
	count := map[string]int{}
	for _, e := range sink.awaitCount(t, 100) {
		count[e.Task.ID]++
		if e.Namespace != "a" || e.Type != timeline.AttemptStarted {
			t.Errorf("got %s in namespace %q", e.Type, e.Namespace)
		}
	}
	if count["by-http"] != 40 || count["by-grpc"] != 60 {
		t.Errorf("got %v", count)
	}
	if l := c.Ledger(); l.Accepted != 100 || l.Refused != 0 {
		t.Errorf("ledger %+v", l)
	}
}

// post sends a body to a path of the HTTP receiver.
func post(t testing.TB, c *Collector, path string, body []byte, headers ...string) (int, http.Header, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+c.HTTPAddr().String()+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", typeProtobuf)
	req.Header.Set("Authorization", "Bearer ingest-a")
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i+1] == "" {
			req.Header.Del(headers[i])
		} else {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, answer
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstded(t testing.TB, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(b, nil)
}

func TestHTTPForms(t *testing.T) {
	sink := newRecorder("truth")
	c := start(t, testConfig(t.TempDir()), Deps{Sinks: []SinkSpec{{Sink: sink}}})
	pb := func(task string) []byte { return request(event(task, 1, 1, 1, timeline.AttemptStarted)) }
	asJSON := func(task string) []byte {
		b, err := otlpjson.FromProtobuf(pb(task))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, send := range map[string]func() (int, http.Header, []byte){
		"protobuf": func() (int, http.Header, []byte) { return post(t, c, pathLogs, pb("protobuf")) },
		"json": func() (int, http.Header, []byte) {
			return post(t, c, pathLogs, asJSON("json"), "Content-Type", "application/json; charset=utf-8")
		},
		"gzip": func() (int, http.Header, []byte) {
			return post(t, c, pathLogs, gzipped(t, pb("gzip")), "Content-Encoding", "gzip")
		},
		"zstd": func() (int, http.Header, []byte) {
			return post(t, c, pathLogs, zstded(t, pb("zstd")), "Content-Encoding", "zstd")
		},
		"json-zstd": func() (int, http.Header, []byte) {
			return post(t, c, pathLogs, zstded(t, asJSON("json-zstd")), "Content-Encoding", "zstd", "Content-Type", typeJSON)
		},
	} {
		code, header, body := send()
		if code != http.StatusOK {
			t.Errorf("%s: %d %s", name, code, body)
			continue
		}
		want := ""
		if strings.HasPrefix(name, "json") {
			want = "{}"
			if got := header.Get("Content-Type"); got != typeJSON {
				t.Errorf("%s: answered as %s", name, got)
			}
		}
		if string(body) != want {
			t.Errorf("%s: answer %q, want %q", name, body, want)
		}
		sink.await(t, "the one sent as "+name, func(events []timeline.Event) bool {
			return strings.Contains(strings.Join(taskIDs(events), " "), name)
		})
	}
}

func TestHTTPRefusals(t *testing.T) {
	sink := newRecorder("truth")
	cfg := testConfig(t.TempDir())
	cfg.MaxCompressedBytes, cfg.MaxRequestBytes = 64<<10, 256<<10
	c := start(t, cfg, Deps{Sinks: []SinkSpec{{Sink: sink}}})
	good := request(event("t", 1, 1, 1, timeline.AttemptStarted))
	zeros := make([]byte, 8<<20)
	for _, tt := range []struct {
		name    string
		body    []byte
		headers []string
		code    int
		message string
	}{
		{"no token", good, []string{"Authorization", ""}, 401, "token"},
		{"wrong token", good, []string{"Authorization", "Bearer nobody"}, 401, "token"},
		{"other scheme", good, []string{"Authorization", "Basic abc"}, 401, "token"},
		{"no scope", good, []string{"Authorization", "Bearer reader"}, 403, "allow"},
		{"text", good, []string{"Content-Type", "text/plain"}, 415, "Content-Type"},
		{"no type", good, []string{"Content-Type", ""}, 415, "Content-Type"},
		{"brotli", good, []string{"Content-Encoding", "br"}, 415, "Content-Encoding"},
		{"not gzip", good, []string{"Content-Encoding", "gzip"}, 400, "decompressed"},
		{"cut gzip", gzipped(t, good)[:20], []string{"Content-Encoding", "gzip"}, 400, "decompressed"},
		{"not zstd", good, []string{"Content-Encoding", "zstd"}, 400, "decompressed"},
		{"gzip bomb", gzipped(t, zeros), []string{"Content-Encoding", "gzip"}, 413, "decompressed body: more than the limit of 262144"},
		{"zstd bomb", zstded(t, zeros), []string{"Content-Encoding", "zstd"}, 413, "decompressed body: more than the limit of 262144"},
		{"oversize", make([]byte, 65<<10), nil, 413, "compressed body: more than the limit of 65536"},
		{"malformed", []byte("\x0a\xff\xff\xff"), nil, 400, "protobuf"},
		{"malformed JSON", []byte("{"), []string{"Content-Type", typeJSON}, 400, "JSON"},
	} {
		code, header, body := post(t, c, pathLogs, tt.body, tt.headers...)
		if code != tt.code {
			t.Errorf("%s: %d %q, want %d", tt.name, code, body, tt.code)
			continue
		}
		var message string
		if header.Get("Content-Type") == typeJSON {
			var st struct{ Message string }
			if err := json.Unmarshal(body, &st); err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			message = st.Message
		} else {
			var st statuspb.Status
			if err := proto.Unmarshal(body, &st); err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			message = st.Message
		}
		if !strings.Contains(message, tt.message) {
			t.Errorf("%s: message %q does not name %q", tt.name, message, tt.message)
		}
	}
	if l := c.Ledger(); l.Accepted != 0 {
		t.Errorf("accepted %d", l.Accepted)
	}
	if used := c.budget.used.Load(); used != 0 {
		t.Errorf("%d bytes of the budget were not given back", used)
	}
}

func TestPartialSuccessNamesTheField(t *testing.T) {
	sink := newRecorder("truth")
	c := start(t, testConfig(t.TempDir()), Deps{Sinks: []SinkSpec{{Sink: sink}}})
	body := request(
		event("good-1", 1, 1, 1, timeline.AttemptStarted),
		event(strings.Repeat("x", 10_000), 1, 1, 2, timeline.AttemptStarted),
		event("good-2", 1, 1, 3, timeline.AttemptStarted))
	code, _, answer := post(t, c, pathLogs, body)
	if code != http.StatusOK {
		t.Fatalf("%d %s", code, answer)
	}
	var resp collogspb.ExportLogsServiceResponse
	if err := proto.Unmarshal(answer, &resp); err != nil {
		t.Fatal(err)
	}
	check := func(rejected int64, message string) {
		t.Helper()
		if rejected != 1 || !strings.Contains(message, "task.id") && !strings.Contains(message, "task_id") || !strings.Contains(message, "255") {
			t.Errorf("rejected %d: %q, want one, with the field and its limit", rejected, message)
		}
	}
	check(resp.GetPartialSuccess().GetRejectedLogRecords(), resp.GetPartialSuccess().GetErrorMessage())
	events := sink.awaitCount(t, 3)
	if ids := taskIDs(events[:2]); fmt.Sprint(ids) != "[good-1 good-2]" {
		t.Errorf("kept %v", ids)
	}
	if e := events[2]; e.Type != timeline.Tombstone || e.SourceID != "source-1" || e.Gap == nil || *e.Gap != (timeline.Gap{From: 2, To: 2, Reason: gapRefused}) {
		t.Errorf("for the refused one: %+v %+v", e, e.Gap)
	}

	asJSON, err := otlpjson.FromProtobuf(body)
	if err != nil {
		t.Fatal(err)
	}
	_, _, answer = post(t, c, pathLogs, asJSON, "Content-Type", typeJSON)
	var inJSON struct {
		PartialSuccess struct {
			RejectedLogRecords int64 `json:",string"`
			ErrorMessage       string
		}
	}
	if err := json.Unmarshal(answer, &inJSON); err != nil {
		t.Fatalf("%v in %s", err, answer)
	}
	check(inJSON.PartialSuccess.RejectedLogRecords, inJSON.PartialSuccess.ErrorMessage)

	conn := dial(t, c)
	grpcResp, err := collogspb.NewLogsServiceClient(conn).Export(bearer(t, "ingest-a"), unmarshalLogs(t, body))
	if err != nil {
		t.Fatal(err)
	}
	check(grpcResp.GetPartialSuccess().GetRejectedLogRecords(), grpcResp.GetPartialSuccess().GetErrorMessage())
	eventually(t, "a balance", func() bool { // each refused one leaves a tombstone; the good ones came again
		l := c.Ledger()
		return l.Accepted == 5 && l.Refused == 3 && l.Sinks[0].Written == 5
	})
}

func TestAnonymous(t *testing.T) {
	sink := newRecorder("truth")
	cfg := testConfig(t.TempDir())
	cfg.AllowAnonymous = true
	c := start(t, cfg, Deps{Sinks: []SinkSpec{{Sink: sink}}})
	e := event("t", 1, 1, 1, timeline.AttemptStarted)
	e.Namespace = "somebody-elses"
	if code, _, body := post(t, c, pathLogs, request(e), "Authorization", ""); code != http.StatusOK {
		t.Fatalf("%d %s", code, body)
	}
	if got := sink.awaitCount(t, 1)[0].Namespace; got != timeline.DefaultNamespace {
		t.Errorf("namespace %q", got)
	}
	if code, _, _ := post(t, c, pathLogs, request(e), "Authorization", "Bearer nobody"); code != http.StatusUnauthorized {
		t.Errorf("a wrong token: %d", code)
	}
	if code, _, _ := post(t, c, pathLive, []byte("{}"), "Authorization", ""); code != http.StatusUnauthorized {
		t.Errorf("live data without a token: %d", code)
	}
}
