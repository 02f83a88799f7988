package collector

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// commandFeed is a CommandSource that tests fill.
type commandFeed struct {
	ch    chan timeline.Command
	asked chan string
}

func (f *commandFeed) Commands(ctx context.Context, source, namespace string, queues []string, cancels ...string) <-chan timeline.Command {
	asked := source + "/" + namespace + "/" + strings.Join(queues, "+")
	if len(cancels) > 0 {
		asked += "/" + strings.Join(cancels, "+")
	}
	f.asked <- asked
	out := make(chan timeline.Command)
	go func() {
		defer close(out)
		for {
			select {
			case <-ctx.Done():
				return
			case cmd := <-f.ch:
				select {
				case out <- cmd:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return out
}

type liveRecorder struct {
	mu  sync.Mutex
	got []timeline.AgentLive
}

func (l *liveRecorder) AgentLive(_ context.Context, live *timeline.AgentLive) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got = append(l.got, *live)
	return nil
}

func connect(t *testing.T, c *Collector, query, token string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+c.HTTPAddr().String()+pathCommands+"?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func TestAnAgentMayTakeCancelsAlone(t *testing.T) {
	feed := &commandFeed{ch: make(chan timeline.Command), asked: make(chan string, 8)}
	c := start(t, testConfig(t.TempDir()), Deps{Commands: feed})
	if resp := connect(t, c, "source=s1&queues=&cancels=q1,q2", "agent-a"); resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	if got := <-feed.asked; got != "s1/a//q1+q2" {
		t.Errorf("asked for %s", got)
	}
}

func TestCommandsReachTheirAgent(t *testing.T) {
	feed := &commandFeed{ch: make(chan timeline.Command), asked: make(chan string, 8)}
	cfg := testConfig(t.TempDir())
	cfg.HeartbeatEvery = 20 * time.Millisecond
	c := start(t, cfg, Deps{Commands: feed})
	resp := connect(t, c, "source=s1&queues=q1,q2&proto=1&agent=w", "agent-a")
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	if got := <-feed.asked; got != "s1/a/q1+q2" {
		t.Errorf("asked for %s", got)
	}
	lines := bufio.NewScanner(resp.Body)
	want := timeline.Command{ID: timeline.CommandID("a", "t", 2), Kind: timeline.CommandRetry, Run: 2, Task: timeline.Task{Namespace: "a", ID: "t"}}
	go func() { feed.ch <- want }()
	beats, got := 0, timeline.Command{}
	for got.ID.IsZero() || beats < 3 {
		if !lines.Scan() {
			t.Fatalf("the stream ended: %v", lines.Err())
		}
		if lines.Text() == "" {
			beats++
			continue
		}
		if err := json.Unmarshal(lines.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
	}
	if got.ID != want.ID || got.Run != 2 || got.Task.ID != "t" {
		t.Errorf("got %+v", got)
	}

	// The same source again: the earlier connection ends, one stays.
	connect(t, c, "source=s1&queues=q1", "agent-a")
	for lines.Scan() {
	}
	if n := c.agents.count(); n != 1 {
		t.Errorf("%d connections of one source", n)
	}
	// Stop lets agents go.
	third := connect(t, c, "source=s2&queues=q1", "agent-a")
	stop(t, c)
	ends := bufio.NewScanner(third.Body)
	for ends.Scan() {
	}
	if n := c.agents.count(); n != 0 {
		t.Errorf("%d connections after the stop", n)
	}
}

func TestCommandsAreRefused(t *testing.T) {
	feed := &commandFeed{ch: make(chan timeline.Command), asked: make(chan string, 8)}
	cfg := testConfig(t.TempDir())
	cfg.MaxAgents = 1
	c := start(t, cfg, Deps{Commands: feed})
	for _, tt := range []struct {
		name, query, token string
		code               int
		message            string
	}{
		{"ingest token", "source=s&queues=q1", "ingest-a", 403, ""},
		{"no token", "source=s&queues=q1", "", 401, ""},
		{"no source", "queues=q1", "agent-a", 400, "source:"},
		{"long source", "source=" + strings.Repeat("s", 300) + "&queues=q1", "agent-a", 400, "255"},
		{"no queues", "source=s", "agent-a", 400, "queues"},
		{"other queue", "source=s&queues=q1,q2", "agent-q", 403, ""},
		{"cancels of another queue", "source=s&queues=q1&cancels=q2", "agent-q", 403, ""},
		{"other namespace", "source=s&queues=q1&namespace=b", "agent-a", 403, ""},
		{"other protocol", "source=s&queues=q1&proto=9", "agent-a", 400, "proto"},
	} {
		resp := connect(t, c, tt.query, tt.token)
		var st struct{ Message string }
		if err := json.NewDecoder(resp.Body).Decode(&st); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if resp.StatusCode != tt.code || !strings.Contains(st.Message, tt.message) {
			t.Errorf("%s: %d %q, want %d with %q", tt.name, resp.StatusCode, st.Message, tt.code, tt.message)
		}
	}
	first := connect(t, c, "source=s1&queues=q1&namespace=b", "any")
	if got := <-feed.asked; got != "s1/b/q1" {
		t.Errorf("asked for %s", got)
	}
	if resp := connect(t, c, "source=s2&queues=q1", "agent-a"); resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
		t.Errorf("one too many: %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
	first.Body.Close()
	eventually(t, "the agent that went is forgotten", func() bool { return c.agents.count() == 0 })
}

func TestLiveData(t *testing.T) {
	live := &liveRecorder{}
	cfg := testConfig(t.TempDir())
	cfg.MaxCompressedBytes = 64 << 10
	c := start(t, cfg, Deps{Live: live})
	body := []byte(`{"source_id":"s1","namespace":"b","tasks":[{"task_id":"t","run":1,"attempt":1,"namespace":"b","progress":{"done":1,"total":4,"fraction":0.25}}]}`)
	if code, _, answer := post(t, c, pathLive, body, "Authorization", "Bearer agent-a", "Content-Type", typeJSON); code != http.StatusNoContent {
		t.Fatalf("%d %s", code, answer)
	}
	if got := live.got[0]; got.Namespace != "a" || got.Tasks[0].Namespace != "a" || got.Tasks[0].Progress.Fraction != 0.25 || got.At.IsZero() {
		t.Errorf("%+v", got)
	}
	if code, _, _ := post(t, c, pathLive, body, "Authorization", "Bearer any"); code != http.StatusNoContent || live.got[1].Namespace != "b" {
		t.Errorf("a token for any namespace: %d %+v", code, live.got[1])
	}
	for name, tt := range map[string]struct {
		body, token string
		code        int
	}{
		"ingest token": {string(body), "ingest-a", 403},
		"not JSON":     {"{", "agent-a", 400},
		"no source":    {"{}", "agent-a", 400},
		"too large":    {`{"source_id":"s","agent":"` + strings.Repeat("x", 65<<10) + `"}`, "agent-a", 413},
	} {
		if code, _, answer := post(t, c, pathLive, []byte(tt.body), "Authorization", "Bearer "+tt.token); code != tt.code {
			t.Errorf("%s: %d %s", name, code, answer)
		}
	}
	if l := c.Ledger(); l.Accepted != 0 {
		t.Error("live data stands in the log")
	}
}
