package live_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/live"
	"github.com/tasktrail/tasktrail/live/livetest"
)

func TestInspectionOfARealServer(t *testing.T) {
	r := livetest.Start(t)
	l, err := live.Open(live.Config{URL: r.URL(), CommandKey: []byte("0123456789abcdef0123456789abcdef")})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	in, err := l.Inspect(t.Context())
	if err != nil || in.Version == "" || in.Policy == "" || in.Skew.Abs() > time.Minute || in.Doubt() != "" {
		t.Errorf("%+v, %q, %v", in, in.Doubt(), err)
	}
	if err := r.Client().ConfigSet(t.Context(), "maxmemory", "100mb").Err(); err != nil {
		t.Fatal(err)
	}
	if err := r.Client().ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err(); err != nil {
		t.Fatal(err)
	}
	if in, err = l.Inspect(t.Context()); err != nil || !strings.Contains(in.Doubt(), "allkeys-lru") {
		t.Errorf("%+v, %q, %v", in, in.Doubt(), err)
	}

	u, err := url.Parse(r.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.User = nil
	stranger, err := live.Open(live.Config{URL: u.String(), CommandKey: []byte("0123456789abcdef0123456789abcdef")})
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	if _, err := stranger.Inspect(t.Context()); err == nil || !strings.Contains(err.Error(), "password of redis_url") {
		t.Errorf("without the password: %v", err)
	}
}

func TestDoubtsAboutARedis(t *testing.T) {
	for version, doubt := range map[string]bool{"": false, "5.0.14": true, "6.0.16": true, "6.2.0": false, "7.0.15": false, "10.1.0": false, "valkey": false} {
		in := live.Inspection{Version: version}
		if got := in.Doubt(); (got != "") != doubt {
			t.Errorf("%q: %q", version, got)
		}
	}
}
