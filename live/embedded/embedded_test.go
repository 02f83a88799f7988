package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, cfg Config) *Broker {
	t.Helper()
	cfg.Addr, cfg.Logger = "127.0.0.1:0", slog.New(slog.NewTextHandler(io.Discard, nil))
	b, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Stop() })
	return b
}

func client(t *testing.T, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	o.Protocol, o.MaxRetries = 2, -1
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !ok(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 15 s", what)
		}
	}
}

func TestItAsksForItsPassword(t *testing.T) {
	b := start(t, Config{})
	if len(b.Password()) < 20 {
		t.Errorf("password of %d characters", len(b.Password()))
	}
	if err := client(t, b.URL()).Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
	for _, url := range []string{"redis://" + b.Addr(), "redis://:wrong@" + b.Addr()} {
		if err := client(t, url).Set(t.Context(), "k", "v", 0).Err(); err == nil {
			t.Errorf("%s was let in", url)
		}
	}
}

func TestKeysExpireByTheClock(t *testing.T) {
	c := client(t, start(t, Config{}).URL())
	if err := c.Set(t.Context(), "k", "v", 30*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "expired", func() bool { return errors.Is(c.Get(t.Context(), "k").Err(), redis.Nil) })
}

func TestAClientThatDoesNotReadStopsNobody(t *testing.T) {
	b := start(t, Config{ClientBuffer: 256 << 10})
	// A subscriber that never reads what it gets.
	deaf, err := net.Dial("tcp", b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	for _, cmd := range [][]string{{"AUTH", b.Password()}, {"SUBSCRIBE", "news"}} {
		fmt.Fprintf(deaf, "*%d\r\n", len(cmd))
		for _, word := range cmd {
			fmt.Fprintf(deaf, "$%d\r\n%s\r\n", len(word), word)
		}
	}
	c := client(t, b.URL())
	eventually(t, "subscribed", func() bool { return c.PubSubNumSub(t.Context(), "news").Val()["news"] == 1 })
	sub := c.Subscribe(t.Context(), "news")
	defer sub.Close()
	if _, err := sub.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	message := strings.Repeat("x", 8<<10) // 16 MB in all, past what the kernel takes
	for range 2_000 {
		if err := c.Publish(t.Context(), "news", message).Err(); err != nil {
			t.Fatal(err)
		}
		got, err := sub.ReceiveTimeout(t.Context(), 30*time.Second)
		if m, ok := got.(*redis.Message); err != nil || !ok || m.Payload != message {
			t.Fatalf("the other subscriber got %T, %v", got, err)
		}
	}
	if b.CutOff() != 1 {
		t.Errorf("%d clients cut off, want 1", b.CutOff())
	}
}

// A client that goes away while its answers are on their way leaves nothing behind.
func TestAClientThatGoesAwayIsLetGo(t *testing.T) {
	b := start(t, Config{ClientBuffer: 1 << 30})
	if err := client(t, b.URL()).Set(t.Context(), "large", strings.Repeat("x", 16<<10), 0).Err(); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		c, err := net.Dial("tcp", b.Addr())
		if err != nil {
			t.Fatal(err)
		}
		// More commands than the broker has read when the answers stop.
		gets := strings.Repeat("*2\r\n$3\r\nGET\r\n$5\r\nlarge\r\n", 2000)
		if _, err := fmt.Fprintf(c, "*2\r\n$4\r\nAUTH\r\n$%d\r\n%s\r\n%s", len(b.Password()), b.Password(), gets); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 64<<10)); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(c.(*net.TCPConn).SetLinger(0), c.Close()); err != nil { //nolint:forcetypeassert // it is one
			t.Fatal(err)
		}
	}
	eventually(t, "nobody is left but the first", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.conns) <= 1 })
}

func TestConnectionsAreBounded(t *testing.T) {
	b := start(t, Config{MaxClients: 2})
	var held []net.Conn
	for range 2 {
		c, err := net.Dial("tcp", b.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		held = append(held, c)
	}
	eventually(t, "both are in", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.conns) == 2 })
	c, err := net.Dial("tcp", b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("a third client was served: %d, %v", n, err)
	}
	held[0].Close()
	eventually(t, "there is room again", func() bool { return client(t, b.URL()).Ping(t.Context()).Err() == nil })
}

func TestLifecycle(t *testing.T) {
	b := start(t, Config{})
	if err := b.Start(t.Context()); err == nil {
		t.Error("started twice")
	}
	other, err := New(Config{Addr: b.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(t.Context()); err == nil {
		t.Error("two listen on one address")
	}
	_ = other.Stop()
	c := client(t, b.URL())
	if err := c.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Ping(t.Context()).Err(); err == nil {
		t.Error("answers after Stop")
	}
	if err := b.Start(t.Context()); err == nil {
		t.Error("started after Stop")
	}
	if _, err := New(Config{Addr: "nonsense", MaxClients: -1}); err == nil || !strings.Contains(err.Error(), "MaxClients") {
		t.Errorf("faults: %v", err)
	}
}

func TestBufferKeepsOrderAndBound(t *testing.T) {
	b := newBuffer(10)
	if _, err := b.Write([]byte("12345678901")); !errors.Is(err, errBufferFull) {
		t.Errorf("got %v", err)
	}
	for _, s := range []string{"ab", "cd", "ef"} {
		if n, err := b.Write([]byte(s)); n != 2 || err != nil {
			t.Fatal(n, err)
		}
	}
	b.close()
	if _, err := b.Write([]byte("x")); err == nil {
		t.Error("written after close")
	}
	var out bytes.Buffer
	b.drain(&out)
	if out.String() != "abcdef" {
		t.Errorf("got %q", out.String())
	}
}
