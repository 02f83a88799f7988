package chaos

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/app/uptest"
	"github.com/tasktrail/tasktrail/internal/proctest"
)

// bomb is a gzip of many zeros or of whatever is repeated.
func bomb(t *testing.T, part string, size int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	block := bytes.Repeat([]byte(part), max((1<<20)/len(part), 1))
	for n := 0; n < size; n += len(block) {
		if _, err := w.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func upAndSidecar(t *testing.T) (*uptest.Up, string) {
	t.Helper()
	up := uptest.Start(t)
	addr := proctest.FreeAddrs(t, 1)[0]
	p := proctest.Start(t, nil, proctest.Build(t, "./cmd/tasktrail"), "agent", "--agent-addr", addr, "--collector-url", up.Collector(),
		"--token", up.Token, "--data-dir", t.TempDir())
	p.WaitReady(t, "http://"+addr+"/readyz", 30*time.Second)
	return up, addr
}

// What grows when it is read is refused before it has grown; headers and lines that
// somebody broke into a value stay in it.
func TestBombsAreRefused(t *testing.T) {
	up, sidecar := upAndSidecar(t)
	deep := strings.Repeat("[", 1<<20)
	for _, c := range []struct {
		name, method, url, kind, encoding string
		body                              []byte
	}{
		{"zeros over OTLP", "POST", up.Collector() + "/v1/logs", "application/x-protobuf", "gzip", bomb(t, "\x00", 1<<30)},
		{"JSON over OTLP", "POST", up.Collector() + "/v1/logs", "application/json", "gzip", bomb(t, `{"a":`, 256<<20)},
		{"deep JSON over OTLP", "POST", up.Collector() + "/v1/logs", "application/json", "", []byte(`{"resourceLogs":` + deep)},
		{"gzip of gzip over OTLP", "POST", up.Collector() + "/v1/logs", "application/json", "gzip, gzip", bomb(t, "x", 1<<20)},
		{"deep JSON to the API", "POST", up.API() + "/tasks/t/retry", "application/json", "", []byte(`{"input_patch":` + deep)},
		{"a large body to the API", "POST", up.API() + "/tasks/t/retry", "application/json", "", bytes.Repeat([]byte(" "), 64<<20)},
		{"a bomb to the API", "POST", up.API() + "/tasks/t/retry", "application/json", "gzip", bomb(t, " ", 256<<20)},
		{"deep JSON to the sidecar", "POST", "http://" + sidecar + "/v1/tasks", "application/json", "", []byte(`{"task_id":"t","type":"x","input":` + deep)},
		{"a large body to the sidecar", "POST", "http://" + sidecar + "/v1/tasks", "application/json", "", bytes.Repeat([]byte(" "), 64<<20)},
	} {
		code, err := send(t, up.Token, c.method, c.url, c.kind, c.encoding, c.body)
		// A server may close the connection before it was sent all of it.
		if err == nil && (code < 400 || code >= 500) {
			t.Errorf("%s: %d", c.name, code)
		}
	}
	if rss := figure(text(t, strings.TrimSuffix(up.API(), "/api/v1")+"/metrics", up.Token), "process_resident_memory_bytes") / (1 << 20); rss > 600 {
		t.Errorf("up takes %.0f MiB after it", rss)
	}
	// A line break in an id, in a header, in a topic.
	for _, path := range []string{"/tasks/a%0d%0aX-Injected:%201", "/stream?topics=task:a%0d%0aX-Injected:%201", "/tasks?text=%0d%0aX-Injected:%201"} {
		ctx, stop := within(t.Context(), 3*time.Second)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, up.API()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+up.Token)
		req.Header.Set("X-Request-Id", "a b\tlevel=ERROR msg=forged")
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			if resp.Header.Get("X-Injected") != "" || strings.Contains(fmt.Sprint(resp.Header), "forged\"") {
				t.Errorf("%s: %v", path, resp.Header)
			}
			resp.Body.Close()
		}
		stop()
	}
	for line := range strings.Lines(up.Process.Output()) {
		if strings.HasPrefix(line, "X-Injected") || strings.HasPrefix(line, "level=ERROR msg=forged") {
			t.Errorf("a line of the log was forged: %q", line)
		}
	}
}

func send(t *testing.T, token, method, url, kind, encoding string, body []byte) (int, error) {
	t.Helper()
	ctx, stop := within(t.Context(), 60*time.Second)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", kind)
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, nil
}

// Connections that say little and slowly are closed, and hold nobody up meanwhile.
func TestSlowConnectionsAreLetGo(t *testing.T) {
	up, sidecar := upAndSidecar(t)
	api := strings.TrimSuffix(strings.TrimPrefix(up.API(), "http://"), "/api/v1")
	collector := strings.TrimPrefix(up.Collector(), "http://")
	ctx, stop := within(t.Context(), 45*time.Second)
	defer stop()
	closed := make(chan string)
	const each = 50
	for name, addr := range map[string]string{"the API": api, "the collector": collector, "the sidecar": sidecar} {
		for range each {
			go func() { closed <- drip(ctx, name, addr) }()
		}
	}
	for _, url := range []string{"http://" + api + "/healthz", "http://" + collector + "/healthz", "http://" + sidecar + "/readyz"} {
		if code, err := send(t, up.Token, http.MethodGet, url, "", "", nil); err != nil || code >= 500 {
			t.Errorf("%s meanwhile: %d %v", url, code, err)
		}
	}
	left := map[string]int{}
	for range 3 * each {
		if name := <-closed; name != "" {
			left[name]++
		}
	}
	if len(left) > 0 {
		t.Errorf("connections that sent a byte a second were still open after 45 s: %v", left)
	}
}

// drip sends the beginning of a request, a byte a second. It returns the name where
// nobody closed the connection before ctx ended.
func drip(ctx context.Context, name, addr string) string {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return ""
	}
	defer c.Close()
	gone := make(chan struct{})
	go func() { defer close(gone); _, _ = io.Copy(io.Discard, c) }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	request := "POST /v1/logs HTTP/1.1\r\nHost: x\r\nX-Slow: "
	for i := 0; ; i++ {
		b := byte('a')
		if i < len(request) {
			b = request[i]
		}
		if _, err := c.Write([]byte{b}); err != nil {
			return ""
		}
		select {
		case <-gone:
			return ""
		case <-tick.C:
		case <-ctx.Done():
			return name
		}
	}
}
