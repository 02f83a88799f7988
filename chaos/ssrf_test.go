package chaos

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/runner/httprunner"
	"github.com/tasktrail/tasktrail/alerting/channel"
	"github.com/tasktrail/tasktrail/internal/netguard"
	"github.com/tasktrail/tasktrail/live/requeue"
	"github.com/tasktrail/tasktrail/timeline"
)

// inside are ways to write an address that only this machine or its network can
// reach; PORT is that of a server on 127.0.0.1.
var inside = []string{
	"http://127.0.0.1:PORT/", "http://127.1:PORT/", "http://2130706433:PORT/", "http://017700000001:PORT/", "http://0x7f000001:PORT/",
	"http://0x7f.0.0.1:PORT/", "http://0177.0.0.1:PORT/", "http://127.0.0.1.:PORT/", "http://localhost:PORT/", "http://LOCALHOST.:PORT/",
	"http://0.0.0.0:PORT/", "http://0:PORT/", "http://[::1]:PORT/", "http://[::]:PORT/", "http://[::ffff:127.0.0.1]:PORT/",
	"http://[::ffff:7f00:1]:PORT/", "http://[::127.0.0.1]:PORT/", "http://[0:0:0:0:0:ffff:127.0.0.1]:PORT/", "http://[64:ff9b::7f00:1]:PORT/",
	"http://[2002:7f00:1::]:PORT/", "http://[fe80::1%25lo]:PORT/", "http://user:pw@127.0.0.1:PORT/", "http://example.com@127.0.0.1:PORT/",
	"http://①②⑦.⓪.⓪.①:PORT/", "http://169.254.169.254/latest/meta-data", "http://[fd00:ec2::254]/latest/meta-data", "http://100.100.100.200/",
	"http://10.0.0.1/", "http://172.16.0.1/", "http://192.168.0.1/", "http://inside.example:PORT/", "http://inside.example.:PORT/",
	"http://both.example:PORT/", "https://127.0.0.1:PORT/",
	// These lead nowhere at all.
	"file:///etc/passwd", "gopher://127.0.0.1:PORT/", "unix:///var/run/docker.sock", "//127.0.0.1:PORT/", "http:///", "http://",
}

// victim is what must not be reached.
func victim(t *testing.T) (urls []string, reached *atomic.Int64) {
	reached = &atomic.Int64{}
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	t.Cleanup(srv.Close)
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range inside {
		urls = append(urls, strings.ReplaceAll(u, "PORT", port))
	}
	return urls, reached
}

// resolve has every name of this process answered by a function, as the DNS of
// somebody who means harm does.
func resolve(t *testing.T, answer func(name string) []netip.Addr) {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			m.Response, m.Additionals = true, nil
			for _, a := range answer(strings.TrimSuffix(q.Name.String(), ".")) {
				if q.Type == dnsmessage.TypeA && a.Is4() {
					m.Answers = append(m.Answers, dnsmessage.Resource{
						Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}, Body: &dnsmessage.AResource{A: a.As4()},
					})
				}
			}
			if out, err := m.Pack(); err == nil {
				_, _ = pc.WriteTo(out, from)
			}
		}
	}()
	before := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
	t.Cleanup(func() { net.DefaultResolver = before; _ = pc.Close(); <-done })
}

var loopback = netip.MustParseAddr("127.0.0.1")

func insideNames(name string) []netip.Addr {
	switch name {
	case "both.example":
		return []netip.Addr{netip.MustParseAddr("10.9.9.9"), loopback}
	default: // numbers in odd notations too, as a C library reads them
		return []netip.Addr{loopback}
	}
}

func TestNoCallbackLeadsInside(t *testing.T) {
	urls, reached := victim(t)
	resolve(t, insideNames)
	c := httprunner.New(httprunner.Config{})
	defer c.Close()
	for _, u := range urls {
		ctx, stop := within(t.Context(), 5*time.Second)
		_, err := c.Func(u)(ctx, agent.Task{Task: timeline.Task{ID: "t", Type: "x"}})
		stop()
		if err == nil || reached.Load() > 0 {
			t.Fatalf("%s: %v; the server was reached %d times", u, err, reached.Load())
		}
	}
}

func TestNoAlertLeadsInside(t *testing.T) {
	urls, reached := victim(t)
	resolve(t, insideNames)
	for _, u := range urls {
		c, err := channel.New(channel.Config{Name: "c", Type: channel.Slack, URL: u, Timeout: channel.Duration(5 * time.Second)}, channel.Links{})
		if err == nil {
			err = c.Notify(t.Context(), channel.NewNotification(&timeline.Alert{Title: "x"}, 0, time.Now()))
		}
		if err == nil || reached.Load() > 0 {
			t.Fatalf("%s: %v; the server was reached %d times", u, err, reached.Load())
		}
	}
}

// What answers may be allowed while what it redirects to is not.
func TestNoRedirectLeadsInside(t *testing.T) {
	urls, reached := victim(t)
	resolve(t, insideNames)
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	var location string
	srv := &httptest.Server{Listener: l, Config: &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Location"] = []string{location}
		w.WriteHeader(http.StatusTemporaryRedirect)
	})}}
	srv.Start()
	defer srv.Close()
	allow := []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
	c := httprunner.New(httprunner.Config{Allow: allow})
	defer c.Close()
	for _, u := range urls {
		location = u
		ctx, stop := within(t.Context(), 5*time.Second)
		_, err := c.Func(srv.URL)(ctx, agent.Task{Task: timeline.Task{ID: "t", Type: "x"}})
		stop()
		if err == nil || reached.Load() > 0 {
			t.Fatalf("redirected to %s: %v; the server was reached %d times", u, err, reached.Load())
		}
		if f := requeued(t, srv.URL, allow); f.Error == nil || reached.Load() > 0 {
			t.Fatalf("a retry redirected to %s: %+v; the server was reached %d times", u, f, reached.Load())
		}
	}
}

// A name may lead to an allowed address when it is looked at, and inside when it is
// called.
func TestANameThatChangesItsMindGainsNothing(t *testing.T) {
	urls, reached := victim(t)
	port := netip.MustParseAddrPort(strings.TrimSuffix(strings.TrimPrefix(urls[0], "http://"), "/")).Port()
	l, err := net.Listen("tcp", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), port).String())
	if err != nil {
		t.Fatal(err)
	}
	honest := &httptest.Server{Listener: l, Config: &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close") // the next call looks the name up again
	})}}
	honest.Start()
	defer honest.Close()
	// By call and not by count: how often a resolver asks for one call is its own affair.
	var changed atomic.Bool
	resolve(t, func(string) []netip.Addr {
		if changed.Load() {
			return []netip.Addr{loopback}
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.2")}
	})
	c := httprunner.New(httprunner.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}})
	defer c.Close()
	call := c.Func(strings.Replace(urls[0], "127.0.0.1", "rebind.example", 1))
	if _, err := call(t.Context(), agent.Task{}); err != nil {
		t.Fatalf("the allowed address: %v", err)
	}
	changed.Store(true)
	if _, err := call(t.Context(), agent.Task{}); err == nil || reached.Load() > 0 {
		t.Fatalf("after the name changed: %v; the server was reached %d times", err, reached.Load())
	}
}

func TestNoRequeueURLLeadsInside(t *testing.T) {
	urls, reached := victim(t)
	resolve(t, insideNames)
	for _, u := range urls {
		if f := requeued(t, u, nil); f.Error == nil || reached.Load() > 0 {
			t.Fatalf("%s: %+v; the server was reached %d times", u, f, reached.Load())
		}
	}
}

// requeueParts stand in for Redis, the log and the settings.
type requeueParts struct {
	url    string
	events chan timeline.Event
}

func (p *requeueParts) URLCommands(ctx context.Context, _, _, _ string) <-chan timeline.Command {
	out := make(chan timeline.Command)
	go func() {
		defer close(out)
		c := timeline.Command{ID: timeline.CommandID("default", "t", 2), Kind: timeline.CommandRetry, Run: 2, RequestedAt: time.Now()}
		c.Task.Namespace, c.Task.ID, c.Task.Queue = "default", "t", "q"
		select {
		case out <- c:
		case <-ctx.Done():
		}
		<-ctx.Done()
	}()
	return out
}

func (p *requeueParts) WriteEvents(_ context.Context, _ string, events []timeline.Event) error {
	for _, e := range events {
		p.events <- e
	}
	return nil
}

func (p *requeueParts) RequeueTargets(context.Context) ([]requeue.Target, error) {
	return []requeue.Target{{Namespace: "default", Queue: "q", Version: 1, URL: p.url, Keys: [][]byte{make([]byte, 32)}}}, nil
}

// requeued posts one retry to a URL and returns the event that says what came of
// it.
func requeued(t *testing.T, url string, allow netguard.Guard) timeline.Event {
	t.Helper()
	p := &requeueParts{url: url, events: make(chan timeline.Event, 16)}
	r, err := requeue.New(requeue.Config{
		Source: "c", Allow: allow, Timeout: 2 * time.Second, Tries: 1, GiveUpAfter: time.Nanosecond, RefreshEvery: 10 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	}, requeue.Deps{Commands: p, Writer: p, Registry: p})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, stop := within(t.Context(), 10*time.Second)
	defer stop()
	for {
		select {
		case e := <-p.events:
			if e.Error != nil || e.Type == timeline.TaskRetried {
				return e
			}
		case <-ctx.Done():
			t.Fatalf("%s: nothing came of it", url)
		}
	}
}
