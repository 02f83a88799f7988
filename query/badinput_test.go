package query

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tasktrail/tasktrail/timeline"
)

// concrete is a target that the route answers well.
func concrete(r route) string {
	ids := map[string]string{"/tasks": "failed", "/failed-tasks": letterID("failed", 1), "/bulk": testBulk, "/silences": testSilence,
		"/alerts": timeline.TaskAlertID("default", "failed").String(), "/channels": "msg_1", "/keys": testKey}
	room, _, _ := strings.Cut(r.path[1:], "/")
	name := map[string]string{"channels": "hook", "providers": "bank", "rules": "too%20many", "task-types": "payment"}[room]
	if r.path == "/channels/:name" {
		name = "team" // it was set over the API
	}
	return base + strings.NewReplacer(":id", ids["/"+room], ":name", name, ":fingerprint", "fp1:0011223344556677").Replace(r.path)
}

// free are the parameters that take any text.
var free = []string{"text", "type", "queue", "agent", "provider", "runner", "user_id", "payment_reference", "task_id", "fingerprint", "rule", "error", "actor", "action", "target", "result"}

// TestBadParameters gives every parameter of every route each kind of bad value:
// 400, and the parameter's name.
func TestBadParameters(t *testing.T) {
	h := start(t)
	h.fill()
	h.operations()
	for _, r := range (&Server{}).apiRoutes() {
		for _, name := range append(slices.Clone(r.params), "namespace") {
			q := concrete(r) + "?"
			bad := map[string]string{
				"empty": q + name + "=", "no value": q + name, "NUL": q + name + "=%00", "invalid UTF-8": q + name + "=%ff%fe",
				"overlong UTF-8": q + name + "=%c0%af", "bad escape": q + name + "=%zz", "cut escape": q + name + "=%4",
				"10 kB": q + name + "=" + strings.Repeat("a", 10_000), "10 kB of encoded": q + name + "=" + strings.Repeat("%C3%A4", 5_000),
			}
			if name != "topics" {
				bad["twice"] = q + name + "=1&" + name + "=1"
			}
			if !slices.Contains(free, name) && name != "namespace" {
				for i, v := range []string{"'; DROP TABLE events; --", "-1", "1e3", "99999999999999999999", "nan", "pending,,failed", "2026-13-45T00:00:00Z", "null", "{}", "٣"} {
					bad[fmt.Sprint("wrong ", i)] = q + name + "=" + url.QueryEscape(v)
				}
			}
			for what, target := range bad {
				a := h.do(r.method, target, "admin", "").want(400)
				if a.problem().Field != name {
					t.Errorf("%s %s, %s: the answer names %q: %s", r.method, name, what, a.problem().Field, a.body)
				}
			}
		}
		for _, name := range []string{"nosuch", "limit%00", "%ff", "Limit", "limit[]", strings.Repeat("n", 5000)} {
			if a := h.do(r.method, concrete(r)+"?"+name+"=1", "admin", "").want(400); a.problem().Field == "" {
				t.Errorf("%s: the answer names no field: %s", name, a.body)
			}
		}
	}
	if h.store.Writes != 0 {
		t.Errorf("%d writes", h.store.Writes)
	}
}

func TestBadRanges(t *testing.T) {
	h := start(t)
	for target, field := range map[string]string{
		"/tasks?limit=0": "limit", "/tasks?limit=201": "limit", "/tasks?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z": "to",
		"/tasks?from=0001-01-01T00:00:00Z": "from", "/tasks?active=1": "active", "/tasks?min_duration=-1s": "min_duration",
		"/tasks?trace_id=" + strings.Repeat("0", 32): "trace_id", "/tasks?state=failed,": "state",
		"/tasks?type=" + strings.TrimSuffix(strings.Repeat("a,", 51), ","): "type",
		"/tasks/monitoring/health?window=59s":                              "window", "/tasks/monitoring/health?window=31d": "window", "/tasks/monitoring/health?window=99999999d": "window",
		"/tasks/monitoring/history?step=90s": "step", "/tasks/monitoring/history?step=59s": "step", "/tasks/monitoring/history?window=30d&step=1h": "step", "/tasks/monitoring/history?window=1s": "window",
		"/tasks/x/timeline?run=0": "run", "/tasks/x/timeline?types=gone": "types", "/tasks/x/timeline?after=soon": "after",
		"/failed-tasks?severity=low": "severity", "/failed-tasks?reason=bad": "reason", "/failed-tasks/x": "id", "/stream": "topics",
		"/stream?topics=task:": "topics", "/stream?topics=" + url.QueryEscape("task:"+strings.Repeat("a", 256)): "topics", "/stream?topics=everything": "topics",
	} {
		if a := h.get(target, "admin").want(400); a.problem().Field != field {
			t.Errorf("%s: the answer names %q, want %q: %s", target, a.problem().Field, field, a.body)
		}
	}
}

func TestTaskIDs(t *testing.T) {
	h := start(t)
	for _, id := range []string{"river:default:1", "a/b", "a%2Fb", "..", ".", "a b+c", "ä/ö?&=#;", "100%", "\u2028", strings.Repeat("ü", 127), "timeline", "monitoring", "a,b", "'; DROP TABLE events; --"} {
		h.store.Add(lifeOf(id).Events...)
		a := h.get("/tasks/"+strings.ReplaceAll(url.PathEscape(id), ".", "%2E")+"/timeline", "admin").want(200)
		var got struct{ Data []eventView }
		a.json(&got)
		if len(got.Data) != 6 || got.Data[0].Task.ID != id {
			t.Errorf("%q: %s", id, a.body)
		}
		r := h.post("/tasks/"+url.PathEscape(id)+"/retry", "admin", "").want(202)
		h.do("GET", r.header.Get("Location"), "admin", "").want(200)
	}
	for _, raw := range []string{"%00", "a%00b", "%ff", "%zz", "%c3%28", strings.Repeat("a", 256), strings.Repeat("a", 10_000), strings.Repeat("%C3%A4", 5_000)} {
		for _, rest := range []string{"", "/timeline", "/attempts"} {
			if a := h.get("/tasks/"+raw+rest, "admin").want(400); a.problem().Field != "task_id" {
				t.Errorf("%.20s%s: %s", raw, rest, a.body)
			}
		}
		h.post("/tasks/"+raw+"/retry", "admin", "").want(400)
		h.post("/tasks/"+raw+"/cancel", "admin", "").want(400)
		h.get("/failed-tasks/"+raw, "admin").want(400)
		h.post("/failed-tasks/"+raw+"/discard", "admin", "").want(400)
	}
}

func TestBadBodies(t *testing.T) {
	h := start(t)
	h.fill()
	h.operations()
	for _, c := range []struct {
		body, field string
		status      int
	}{
		{`{`, "", 400}, {`[]`, "", 400}, {`null`, "", 400}, {`"x"`, "", 400}, {`{} {}`, "", 400}, {"{\"reason\":\"\xff\"}", "", 400},
		{`{"reason":1}`, "reason", 400}, {`{"reason":"` + strings.Repeat("a", 1025) + `"}`, "reason", 400}, {`{"reason":"\u0000"}`, "reason", 400},
		{`{"actor":"me"}`, "actor", 400}, {`{"input_patch":1}`, "input_patch", 400}, {`{"input_patch":null}`, "input_patch", 400},
		{`{"input_patch":{"a":"` + strings.Repeat("a", 256<<10) + `"}}`, "input_patch", 400},
		{strings.Repeat(`{"input_patch":`, 20_000) + "1" + strings.Repeat("}", 20_000), "", 400},
	} {
		if a := h.post("/tasks/failed/retry", "admin", c.body).want(c.status); a.problem().Field != c.field {
			t.Errorf("%.40s: %s", c.body, a.body)
		}
	}
	h.post("/tasks/failed/cancel", "admin", `{"input_patch":{}}`).want(400)
	h.do("POST", base+"/tasks/failed/retry", "admin", `reason=x`, "Content-Type", "application/x-www-form-urlencoded").want(415)
	if h.store.Writes != 0 {
		t.Errorf("%d writes", h.store.Writes)
	}
}

func TestRoutesThatAreNot(t *testing.T) {
	h := start(t)
	h.do("GET", "/api/v1/nosuch", "admin", "").want(404, codeNoRoute)
	h.do("GET", "/api/v1/tasks/", "admin", "").want(404, codeNoRoute)
	h.do("GET", "/api/v1/tasks//timeline", "admin", "").want(404, codeNoRoute)
	if a := h.do("PUT", "/api/v1/tasks/x", "admin", "").want(405, codeMethodNotAllowed); !strings.Contains(a.header.Get("Allow"), "GET") {
		t.Errorf("Allow %q", a.header.Get("Allow"))
	}
	h.do("DELETE", "/api/v1/tasks", "admin", "").want(405, codeMethodNotAllowed)
	h.do("POST", "/healthz", "admin", "").want(405, codeMethodNotAllowed)
}

// TestMalformedHeads speaks HTTP that no client library would.
func TestMalformedHeads(t *testing.T) {
	h := start(t)
	for head, want := range map[string]int{
		"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 60<<10) + "\r\n\r\n": 431,
		"GET /" + strings.Repeat("a", 60<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n":               431,
		"NONSENSE\r\n\r\n": 400,
		"POST /api/v1/tasks/x/retry HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n": 413,
	} {
		conn, err := net.Dial("tcp", h.server.Addr())
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = conn.Write([]byte(head)) }()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%.20s: %v", head, err)
		}
		if resp.StatusCode != want || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%.20s: status %d, %s", head, resp.StatusCode, resp.Header.Get("Content-Type"))
		}
		_ = resp.Body.Close()
		_ = conn.Close()
	}
}

// TestParametersNeverBreakIt throws everything at every route.
func TestParametersNeverBreakIt(t *testing.T) {
	h := start(t)
	h.fill()
	h.operations()
	routes := slices.DeleteFunc((&Server{}).apiRoutes(), func(r route) bool { return r.path == "/stream" })
	value := rapid.OneOf(
		rapid.String(), rapid.StringMatching(`[a-z,_%0-9]{0,40}`), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
		rapid.Map(rapid.Int(), func(i int) string { return fmt.Sprint(i) }),
		rapid.SampledFrom([]string{"pending", "failed", "true", "1h", "2026-01-31T12:00:00Z", "critical", "gap", "default", "'", "\x00", "50"}),
	)
	rapid.Check(t, func(t *rapid.T) {
		r := rapid.SampledFrom(routes).Draw(t, "route")
		var pairs []string
		for range rapid.IntRange(0, 4).Draw(t, "pairs") {
			name := rapid.OneOf(rapid.SampledFrom(append(slices.Clone(r.params), "namespace")), rapid.String()).Draw(t, "name")
			pairs = append(pairs, url.QueryEscape(name)+"="+url.QueryEscape(value.Draw(t, "value")))
		}
		target := concrete(r)
		if rapid.Bool().Draw(t, "other id") {
			target = base + strings.Replace(r.path, ":id", url.PathEscape("x"+value.Draw(t, "id")), 1)
		}
		a, err := h.try(r.method, target+"?"+strings.Join(pairs, "&"), "user", "")
		if err != nil {
			t.Fatal(err)
		}
		if a.status >= 500 {
			t.Fatalf("%s %s?%s: %d %s", r.method, target, strings.Join(pairs, "&"), a.status, a.body)
		}
		if strings.Contains(string(a.body), `"u2"`) && a.status == 200 {
			t.Fatalf("shows another user's row: %s", a.body)
		}
	})
}

func FuzzParams(f *testing.F) {
	f.Add("limit=1&state=failed&text=%C3%A4")
	f.Add("&&=&;%zz")
	f.Fuzz(func(t *testing.T, raw string) {
		p, err := parseParams(raw, []string{"limit", "state", "text", "from", "window", "trace_id"}, nil)
		if err != nil {
			if asFailure(err).field == "" && !strings.HasPrefix(raw, "=") && !strings.Contains(raw, "&=") {
				t.Fatalf("%q: no field in %v", raw, err)
			}
			return
		}
		if n := p.integer("limit", 1, 200, 50); n < 1 || n > 200 {
			t.Fatal(n)
		}
		p.list("state")
		p.text("text", 10)
		p.instant("from")
		p.duration("window", 0, maxWindow, 0)
		p.traceID("trace_id")
	})
}

func FuzzCursor(f *testing.F) {
	k := cursors{make([]byte, 32)}
	f.Add("AQAx")
	f.Fuzz(func(t *testing.T, s string) {
		if pos, _, err := k.decode(s, [16]byte{}); err == nil {
			t.Fatalf("a cursor was made up: %v", pos)
		}
		(&Server{}).parseStreamID(s)
		splitTopics([]string{s})
		printable(s)
	})
}
