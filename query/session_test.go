package query

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func sessionCookie(t *testing.T, a answer) *http.Cookie {
	t.Helper()
	for _, line := range a.header.Values("Set-Cookie") {
		c, err := http.ParseSetCookie(line)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(c.Name, "tasktrail_session") {
			return c
		}
	}
	t.Fatal("no session cookie")
	return nil
}

func TestSession(t *testing.T) {
	h := start(t, func(c *Config, _ *Deps) { c.SecureCookies = true })
	h.fill()
	c := sessionCookie(t, h.post("/session", "operator", "").want(201))
	if !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteStrictMode || c.Name != "__Host-tasktrail_session" || c.Path != "/" {
		t.Errorf("the cookie is %+v", c)
	}
	if strings.Contains(c.Value, "operator") {
		t.Error("the cookie shows the token")
	}
	cookie := c.Name + "=" + c.Value
	h.do("GET", base+"/tasks/failed", "", "", "Cookie", cookie).want(200)
	for _, bad := range [][]string{{}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"}} {
		h.do("POST", base+"/tasks/failed/retry", "", "", append([]string{"Cookie", cookie}, bad...)...).want(403, codeCrossSite)
	}
	if h.store.Writes != 0 {
		t.Errorf("%d writes", h.store.Writes)
	}
	h.do("POST", base+"/tasks/failed/retry", "", "", "Cookie", cookie, "Sec-Fetch-Site", "same-origin").want(202)
	h.do("POST", base+"/tasks/theirs/retry", "", "", "Cookie", cookie, "Origin", "http://"+h.server.Addr()).want(202)
	// A bad header is not saved by a good cookie.
	h.do("GET", base+"/whoami", "unknown", "", "Cookie", cookie).want(401, codeUnauthenticated)
	h.do("GET", base+"/whoami", "", "", "Cookie", c.Name+"=AAAA").want(401, codeUnauthenticated)
	h.do("POST", base+"/session", "admin", "", "Sec-Fetch-Site", "cross-site").want(403, codeCrossSite)
	h.do("POST", base+"/session", "", "", "Cookie", cookie, "Sec-Fetch-Site", "same-origin").want(403, codeForbidden)
	gone := sessionCookie(t, h.do("DELETE", base+"/session", "", "", "Cookie", cookie, "Sec-Fetch-Site", "same-origin").want(204))
	if gone.Value != "" || gone.Expires.After(time.Unix(100, 0)) {
		t.Errorf("the cookie stays: %+v", gone)
	}
}

func TestSessionEnds(t *testing.T) {
	now := at
	s, err := newSessions(make([]byte, 32), time.Hour, false, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	cookie := s.seal("secret", now.Add(time.Hour))
	if token, ok := s.open(cookie); !ok || token != "secret" {
		t.Fatalf("%q, %v", token, ok)
	}
	for i := range cookie {
		forged := []byte(cookie)
		forged[i] ^= 1
		if token, ok := s.open(string(forged)); ok && token != "secret" {
			t.Fatalf("a forged cookie opened at %d", i)
		}
	}
	now = now.Add(time.Hour)
	if _, ok := s.open(cookie); ok {
		t.Error("the session did not end")
	}
}
