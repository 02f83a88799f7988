package failure

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestHTTPErrorHonoursRetryAfter(t *testing.T) {
	value := "7"
	status := 503
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", value)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(strings.Repeat("x", 10_000)))
	}))
	defer server.Close()
	call := func() Failure {
		resp, err := http.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		e := NewHTTPError(resp)
		if len(e.Body) != maxSnippet {
			t.Fatalf("%d bytes of the body were kept", len(e.Body))
		}
		return Classify(context.Background(), nil, e)
	}
	for _, status = range []int{503, 429, 425, 500} {
		if f := call(); !f.HasRetryAfter || f.RetryAfter != 7*time.Second || f.Pause != (status == 429) {
			t.Errorf("%d: %+v", status, f)
		}
	}
	status = 404
	if f := call(); f.HasRetryAfter {
		t.Errorf("404: %+v", f)
	}
	// A date never undercuts: from now on, the wait ends when the date has come.
	status = 503
	for _, form := range []string{http.TimeFormat, time.RFC850, time.ANSIC} {
		at := time.Now().UTC().Add(10 * time.Second).Truncate(time.Second)
		value = at.Format(strings.Replace(form, "MST", "GMT", 1))
		if f := call(); !f.HasRetryAfter || time.Now().Add(f.RetryAfter).Before(at) || f.RetryAfter > 11*time.Second {
			t.Errorf("%s: %+v", value, f)
		}
	}
}

func TestHTTPDateIsMeasuredByTheServersClock(t *testing.T) {
	server := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC) // years behind
	e := &HTTPError{Status: 503, Header: http.Header{
		"Date":        {server.Format(http.TimeFormat)},
		"Retry-After": {server.Add(90 * time.Second).Format(http.TimeFormat)},
	}}
	if f := Classify(context.Background(), nil, e); f.RetryAfter != 90*time.Second {
		t.Fatalf("%+v", f)
	}
}

func TestNewHTTPErrorOfSuccess(t *testing.T) {
	for _, status := range []int{200, 204, 299} {
		if e := NewHTTPError(&http.Response{StatusCode: status}); e != nil {
			t.Errorf("%d is an error: %v", status, e)
		}
	}
	if e := NewHTTPError(&http.Response{StatusCode: http.StatusFound}); e == nil || e.Error() != "HTTP 302 Found" {
		t.Errorf("302: %v", e)
	}
}

func TestParseRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 500e6, time.UTC)
	for value, want := range map[string]time.Duration{
		"0": 0, "1": time.Second, " 120 ": 2 * time.Minute, "+5": 5 * time.Second, "-1": 0, "-99999999999999999999": 0,
		"1.5": 2 * time.Second, "2.000": 2 * time.Second, "0.001": time.Second,
		"99999999999999999999999999": MaxRetryAfter, "9223372036854775807": MaxRetryAfter, "9223372037": MaxRetryAfter,
		"Sun, 01 Mar 2026 12:00:10 GMT":  9500 * time.Millisecond,
		"Sunday, 01-Mar-26 12:00:10 GMT": 9500 * time.Millisecond,
		"Sun Mar  1 12:00:10 2026":       9500 * time.Millisecond,
		"Sun, 01 Mar 2020 12:00:10 GMT":  0,
		"Fri, 31 Dec 9999 23:59:59 GMT":  MaxRetryAfter,
	} {
		if got, ok := ParseRetryAfter(value, now); !ok || got != want {
			t.Errorf("%q: %v, %v, want %v", value, got, ok, want)
		}
	}
	for _, value := range []string{"", " ", "soon", "1s", "1,2", "--1", "+-1", "1.", ".5", "0x10", "1e3", "NaN", "Sun, 99 Mar 2026 12:00:10 GMT", strings.Repeat("1", 1000)} {
		if got, ok := ParseRetryAfter(value, now); ok {
			t.Errorf("%q is understood as %v", value, got)
		}
	}
}

func FuzzParseRetryAfter(f *testing.F) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, s := range []string{"120", "-5", "1.5", "Sun, 01 Mar 2026 12:00:10 GMT", "Sunday, 01-Mar-26 12:00:10 GMT", "Sun Mar  1 12:00:10 2026", "99999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		d, ok := ParseRetryAfter(value, now)
		if d < 0 || d > MaxRetryAfter || !ok && d != 0 {
			t.Fatalf("%q: %v, %v", value, d, ok)
		}
		if n, err := strconv.ParseUint(value, 10, 32); err == nil && len(value) <= 512 { // longer ones are no header of anybody
			if want := min(time.Duration(n)*time.Second, MaxRetryAfter); d != want || !ok {
				t.Fatalf("%q: %v, %v", value, d, ok)
			}
		}
		if at, err := http.ParseTime(strings.TrimSpace(value)); err == nil && ok && d < MaxRetryAfter && now.Add(d).Before(at) {
			t.Fatalf("%q is undercut by %v", value, d)
		}
	})
}
