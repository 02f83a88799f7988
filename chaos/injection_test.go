package chaos

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/tasktrail/tasktrail/app/uptest"
	"github.com/tasktrail/tasktrail/internal/proctest"
)

// forged is what a log would begin a line with, were it led to.
const forged = "time=forged level=ERROR msg=FORGED"

// intrusions are texts that mean something to ClickHouse, to a file system, to a log or
// to a terminal, and nothing to this API.
var intrusions = []string{
	`' OR '1'='1`, `'; DROP TABLE events; --`, `') UNION ALL SELECT * FROM system.users --`, `\' OR 1=1 --`, `{ns:String}`, "`events`", `%_`,
	`1 SETTINGS readonly=0`, `/* */ OR sleep(3)`, `../../../escape`, `..\..\escape`, "\n" + forged, "\x1b[31mred", `${jndi:ldap://127.0.0.1/x}`, `{{.}}`,
}

// TestNothingOfARequestIsCarriedOut gives each parameter and each place in a path of
// every route that reads, on the real engine, texts that would do something where they
// were pasted into a query, a path or a line of a log.
func TestNothingOfARequestIsCarriedOut(t *testing.T) {
	u := uptest.Start(t, "--api-rate", "10000")
	s := &system{t: t, up: u}
	s.proxy = newProxy(t, strings.TrimPrefix(u.Collector(), "http://"), strings.TrimPrefix(u.Collector(), "http://"))
	plain := &task{id: "plain", kind: byOTLP, plan: plan{{permanent}}}
	s.submitOTLP(t.Context(), plain)
	for i, text := range intrusions { // as names in a timeline: refused, or text like any other
		s.postOTLP(t.Context(), []byte(strings.ReplaceAll(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"eventName":"task_created","timeUnixNano":"1700000000000000000","attributes":[`+
			fmt.Sprintf(`{"key":"task.id","value":{"stringValue":"hostile-%d"}},`, i)+
			`{"key":"task.type","value":{"stringValue":TEXT}},{"key":"task.queue","value":{"stringValue":TEXT}},{"key":"task.provider","value":{"stringValue":TEXT}},`+
			`{"key":"task.user_id","value":{"stringValue":TEXT}},{"key":"task.agent","value":{"stringValue":TEXT}}]}]}]}]}`, "TEXT", str(text))))
	}
	proctest.Eventually(t, time.Minute, "the task is there", func() (bool, string) {
		state, _, err := s.state(plain)
		return err == nil && state == plain.state(), fmt.Sprint(state, err)
	})
	tables, events := sqlText(t, u, "SELECT count() FROM system.tables WHERE database = currentDatabase()"), sqlText(t, u, "SELECT count() FROM events FINAL")

	asked := 0
	for path, parameters := range readingRoutes(t, u) {
		for _, text := range intrusions {
			target := strings.NewReplacer("{task_id}", url.PathEscape(text), "{id}", url.PathEscape(text), "{name}", url.PathEscape(text), "{fingerprint}", url.PathEscape(text)).Replace(path)
			asked += s.intrude(target, strings.Contains(path, "{"))
			for _, p := range parameters {
				plain := strings.NewReplacer("{task_id}", "plain", "{id}", "plain", "{name}", "plain", "{fingerprint}", "plain").Replace(path)
				asked += s.intrude(plain+"?"+p+"="+url.QueryEscape(text), p != "cursor")
			}
		}
	}
	if asked < 1000 {
		t.Errorf("only %d requests were made: are the routes read?", asked)
	}
	for _, addr := range []string{strings.TrimPrefix(strings.TrimSuffix(u.API(), "/api/v1"), "http://"), strings.TrimPrefix(u.Collector(), "http://")} {
		for _, path := range []string{
			"/../../../../etc/passwd", "/assets/../../admin-token", "/assets/..%2f..%2fadmin-token", "/..%5c..%5cadmin-token", "/%2e%2e/%2e%2e/etc/passwd",
			"/assets//etc/passwd", "/assets/%00/../admin-token", "/" + u.DataDir + "/admin-token", "/api/v1/../../admin-token", "//etc/passwd", "/.env", "/debug/pprof/",
		} {
			if answer := raw(t, addr, path, u.Token); strings.Contains(answer, "root:") || strings.Contains(answer, u.Token) || strings.Contains(answer, "profile") {
				t.Errorf("GET %s of %s shows a file: %.300q", path, addr, answer)
			}
		}
	}

	if now := sqlText(t, u, "SELECT count() FROM system.tables WHERE database = currentDatabase()"); now != tables {
		t.Errorf("there are %s tables, and were %s", now, tables)
	}
	if gone := sqlText(t, u, "SELECT count() < "+events+" FROM events FINAL"); gone != "0" {
		t.Errorf("there were %s events, and are fewer", events)
	}
	for line := range strings.Lines(u.Process.Output()) {
		if strings.HasPrefix(line, forged) || strings.Contains(line, "\x1b[31m") {
			t.Errorf("a request wrote a line of the log: %q", line)
		}
	}
	for _, root := range []string{filepath.Dir(u.DataDir), "/tmp", "."} {
		if entries, err := filepath.Glob(filepath.Join(root, "escape*")); err != nil || len(entries) > 0 {
			t.Errorf("files were made: %q, %v", entries, err)
		}
	}
	if err := filepath.WalkDir(u.DataDir, func(path string, _ fs.DirEntry, err error) error {
		if strings.Contains(filepath.Base(path), "escape") {
			t.Errorf("a name became a file: %s", path)
		}
		if os.IsNotExist(err) {
			return nil // files come and go
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

// intrude asks, and returns 1. A text that is no name of anything finds nothing.
func (s *system) intrude(target string, findsNothing bool) int {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, strings.TrimSuffix(s.up.API(), "/api/v1")+target, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.up.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Errorf("%s: %v", target, err)
		return 1
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusInternalServerError {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		s.t.Errorf("%s: %s %s", target, resp.Status, b)
	}
	if resp.StatusCode != http.StatusOK || !findsNothing || strings.Contains(target, "/stream") {
		return 1
	}
	var page struct{ Data []json.RawMessage }
	if b, err := io.ReadAll(resp.Body); err == nil && json.Unmarshal(b, &page) == nil && len(page.Data) > 0 && strings.Contains(string(b), `"plain"`) {
		s.t.Errorf("%s finds what is not called so: %.300s", target, b)
	}
	return 1
}

// readingRoutes are the paths that GET reads, as the API describes itself, with their
// parameters.
func readingRoutes(t *testing.T, u *uptest.Up) map[string][]string {
	t.Helper()
	type parameter struct {
		Ref  string `yaml:"$ref"`
		Name string
		In   string
	}
	var doc struct {
		Paths map[string]struct {
			Parameters []parameter
			Get        *struct{ Parameters []parameter }
		}
		Components struct{ Parameters map[string]parameter }
	}
	if err := yaml.Unmarshal([]byte(text(t, strings.TrimSuffix(u.API(), "/api/v1")+"/openapi.yaml", u.Token)), &doc); err != nil {
		t.Fatal(err)
	}
	routes := map[string][]string{}
	for path, p := range doc.Paths {
		if p.Get == nil {
			continue
		}
		routes[path] = nil
		for _, one := range append(p.Parameters, p.Get.Parameters...) {
			if one.Ref != "" {
				one = doc.Components.Parameters[one.Ref[strings.LastIndexByte(one.Ref, '/')+1:]]
			}
			if one.In == "query" {
				routes[path] = append(routes[path], one.Name)
			}
		}
	}
	return routes
}

// raw asks for a path as it stands: a client of Go would tidy it.
func raw(t *testing.T, addr, path, token string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nUser-Agent: \x1b[31mred\r\nConnection: close\r\n\r\n", path, addr, token); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(bufio.NewReader(c))
	if err != nil && len(b) == 0 {
		t.Errorf("%s: %v", path, err)
	}
	return string(b)
}

func sqlText(t *testing.T, u *uptest.Up, query string) string {
	t.Helper()
	out, err := u.SQL(query + " FORMAT TSV")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}
