package query

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"go.uber.org/goleak"

	"github.com/tasktrail/tasktrail/query/auth"
	"github.com/tasktrail/tasktrail/query/querytest"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp keeps the time of its Date header by a goroutine of the process, and
		// its pool of workers looks every 10 s whether it was stopped.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	)
}

// at is when the tests' tasks live.
var at = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// tokens knows principals by their name.
type tokens map[string]auth.Principal

func (k tokens) Authenticate(_ context.Context, token string) (auth.Principal, error) {
	if token == "broken" {
		return auth.Principal{}, auth.ErrUnavailable
	}
	p, ok := k[token]
	if !ok {
		return auth.Principal{}, auth.ErrUnauthenticated
	}
	p.ID = "key:" + token
	return p, nil
}

func principal(namespace, user string, scopes ...auth.Scope) auth.Principal {
	return auth.Principal{Namespace: namespace, UserID: user, Scopes: scopes}
}

// kinds are the kinds of tokens, by name.
func kinds() tokens {
	return tokens{
		"admin":         principal("*", "", auth.ScopeAdmin),
		"reader":        principal("default", "", auth.ScopeReadAll),
		"readerpayload": principal("default", "", auth.ScopeReadAll, auth.ScopeReadPayload),
		"operator":      principal("default", "", auth.ScopeReadAll, auth.ScopeOperate, auth.ScopeReadPayload),
		"blindoperator": principal("default", "", auth.ScopeOperate),
		"user":          principal("default", "u1", auth.ScopeRead),
		"useroperator":  principal("default", "u1", auth.ScopeRead, auth.ScopeOperate),
		"otheruser":     principal("default", "u2", auth.ScopeRead, auth.ScopeOperate),
		"userall":       principal("default", "u1", auth.ScopeReadAll),
		"useless":       principal("default", "", auth.ScopeRead),
		"payloadonly":   principal("default", "", auth.ScopeReadPayload),
		"ingest":        principal("default", "", auth.ScopeIngest),
		"agent":         principal("default", "", auth.ScopeAgent),
		"elsewhere":     principal("other", "", auth.ScopeReadAll, auth.ScopeOperate, auth.ScopeReadPayload),
		"nothing":       principal("default", ""),
	}
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

type harness struct {
	t      *testing.T
	store  *querytest.Store
	broker *querytest.Broker
	ops    *querytest.Operations
	server *Server
	client *http.Client
	log    *logBuffer
}

func start(t *testing.T, change ...func(*Config, *Deps)) *harness {
	t.Helper()
	h := &harness{t: t, store: querytest.NewStore(), broker: querytest.NewBroker(), ops: querytest.NewOperations(), log: &logBuffer{}}
	cfg := Config{Addr: "127.0.0.1:0", RatePerSecond: 1e6, RateBurst: 1e6, BulkInterval: 20 * time.Millisecond}
	deps := Deps{
		Settings: h.store, Audit: h.store, Alerts: h.ops, Channels: h.ops, AlertSettings: h.ops, Providers: h.ops, Keys: h.ops,
		RequeueSecret: func(namespace, queue, salt string) (string, error) {
			return "whsec_" + namespace + "+" + queue + "+" + salt, nil
		},
		Reader: h.store, Writer: h.store, Claimer: h.store, Subscriber: h.broker, Auth: kinds(),
		Logger: slog.New(slog.NewJSONHandler(h.log, nil)),
	}
	for _, f := range change {
		f(&cfg, &deps)
	}
	var err error
	if h.server, err = New(cfg, deps); err != nil {
		t.Fatal(err)
	}
	if err := h.server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	h.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := h.server.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return h
}

// answer is what came back.
type answer struct {
	t      *testing.T
	status int
	header http.Header
	body   []byte
}

func (a answer) json(into any) {
	a.t.Helper()
	if err := json.Unmarshal(a.body, into); err != nil {
		a.t.Fatalf("%v in %s", err, a.body)
	}
}

func (a answer) problem() Problem {
	a.t.Helper()
	var p Problem
	a.json(&p)
	return p
}

// want fails unless the status and, where it is given, the problem's code are
// these.
func (a answer) want(status int, codes ...code) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	if len(codes) > 0 && a.problem().Code != string(codes[0]) {
		a.t.Fatalf("code %q, want %q: %s", a.problem().Code, codes[0], a.body)
	}
	return a
}

// do sends a request whose target goes out as it stands.
func (h *harness) do(method, target, token, body string, headers ...string) answer {
	h.t.Helper()
	a, err := h.try(method, target, token, body, headers...)
	if err != nil {
		h.t.Fatal(err)
	}
	return a
}

func (h *harness) request(method, target, token, body string, headers ...string) (*http.Request, error) {
	path, query, _ := strings.Cut(target, "?")
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(h.t.Context(), method, "http://"+h.server.Addr(), reader)
	if err != nil {
		return nil, err
	}
	req.URL.Opaque, req.URL.RawQuery = "//"+h.server.Addr()+path, query
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return req, nil
}

func (h *harness) try(method, target, token, body string, headers ...string) (answer, error) {
	req, err := h.request(method, target, token, body, headers...)
	if err != nil {
		return answer{}, err
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{h.t, resp.StatusCode, resp.Header, b}
	if err := conforms(method, target, a); err != nil {
		return a, err
	}
	return a, nil
}

func (h *harness) get(target, token string) answer {
	h.t.Helper()
	return h.do("GET", base+target, token, "")
}

func (h *harness) post(target, token, body string, headers ...string) answer {
	h.t.Helper()
	return h.do("POST", base+target, token, body, headers...)
}

var contract = sync.OnceValues(func() (validator.Validator, error) {
	doc, err := libopenapi.NewDocument(OpenAPI)
	if err != nil {
		return nil, err
	}
	v, errs := validator.NewValidator(doc)
	return v, errors.Join(errs...)
})

// conforms holds an answer against the OpenAPI document: every answer of every
// test.
func conforms(method, target string, a answer) error {
	path, _, _ := strings.Cut(target, "?")
	pattern := ""
	for _, r := range (&Server{}).apiRoutes() {
		if r.method == method && matches(base+r.path, path) {
			pattern = base + documented(r.path)
			break
		}
	}
	if slices.Contains([]string{"/healthz", "/readyz", "/openapi.yaml", "/metrics"}, path) {
		pattern = path
	}
	if pattern == "" || method == "HEAD" || a.status == 405 {
		return nil
	}
	v, err := contract()
	if err != nil {
		return err
	}
	// The id's value is no matter here, and the validator is particular about it.
	pattern = strings.NewReplacer("{task_id}", "x", "{name}", "x", "{fingerprint}", "x", "{queue}", "x", "{id}", "00000000-0000-0000-0000-000000000000").Replace(pattern)
	req := &http.Request{Method: method, URL: &url.URL{Scheme: "http", Host: "localhost", Path: pattern}, Header: http.Header{}}
	resp := &http.Response{StatusCode: a.status, Header: a.header.Clone(), Body: io.NopCloser(bytes.NewReader(a.body))}
	ok, errs := v.ValidateHttpResponse(req, resp)
	if ok {
		return nil
	}
	var all []error
	for _, e := range errs {
		all = append(all, e)
		for _, s := range e.SchemaValidationErrors {
			all = append(all, errors.New(s.FieldPath+": "+s.Reason))
		}
	}
	return errors.Join(append(all, errors.New(method+" "+target+": "+string(a.body)))...)
}

// documented is how the OpenAPI document writes a route's path.
func documented(path string) string {
	if strings.HasPrefix(path, "/tasks/:id") {
		return strings.Replace(path, ":id", "{task_id}", 1)
	}
	return strings.NewReplacer(":id", "{id}", ":name", "{name}", ":fingerprint", "{fingerprint}", ":queue", "{queue}").Replace(path)
}

// fill puts a completed, a running, a failed and a cancelled task of u1, and a
// failed one of u2, into the store.
func (h *harness) fill() {
	task := func(id, user string) timeline.Task {
		return timeline.Task{ID: id, Type: "payment", Queue: "payments", Runner: "asynq", Agent: "worker-1", Provider: "bank", UserID: user,
			Amount: "12.50", Currency: "EUR", Input: timeline.Payload(`{"order":4711}`), Metadata: map[string]string{"region": "eu"}, MaxAttempts: 3}
	}
	output := func(e *timeline.Event) { e.Output = timeline.Payload(`"done"`) }
	done := querytest.NewLife(task("done", "u1"), at).Started()
	done.Event(timeline.AttemptSuccess, 1, 1).Event(timeline.TaskCompleted, 1, 0, output)
	h.store.Add(done.Events...)
	h.store.Add(querytest.NewLife(task("running", "u1"), at.Add(time.Minute)).Started().Events...)
	failed := querytest.NewLife(task("failed", "u1"), at.Add(2*time.Minute)).Failed().Events
	for i := range failed { // an attempt's events are of its own span, all others of the task's
		failed[i].TraceID, failed[i].SpanID = timeline.TraceID{1}, timeline.SpanID{byte(1 + failed[i].Attempt)}
	}
	h.store.Add(failed...)
	h.store.Add(querytest.NewLife(task("cancelled", "u1"), at.Add(3*time.Minute)).Started().
		Event(timeline.CancelRequested, 1, 0).Event(timeline.AttemptAborted, 1, 1).Event(timeline.TaskCancelled, 1, 0).Events...)
	h.store.Add(querytest.NewLife(task("theirs", "u2"), at.Add(4*time.Minute)).Failed().Events...)
}

// operations puts what operators deal with beside tasks into the fakes: an alert of
// u1's failed task, a channel with a delivery, a provider, a key, a silence and a
// finished bulk action of u1.
func (h *harness) operations() {
	h.ops.AddAlert(readmodel.AlertRow{Alert: timeline.Alert{ID: timeline.TaskAlertID("default", "failed"), Rule: "task_failed", Severity: timeline.AlertHigh,
		State: timeline.AlertFiring, Title: "payment failed", Namespace: "default", TaskID: "failed", TaskType: "payment", UserID: "u1", StartsAt: at, UpdatedAt: at}})
	h.ops.AddChannel(readmodel.Channel{Name: "hook", Type: "webhook", Target: "hooks.example.com", MinSeverity: timeline.AlertMedium, Source: readmodel.FromFile})
	h.ops.AddRule(readmodel.AlertRule{Name: "workers die", Kind: "lost_tasks", Severity: timeline.AlertHigh, Source: readmodel.FromFile, Rule: json.RawMessage(`{"name":"workers die","kind":"lost_tasks","above":3}`)})
	h.ops.SetSeverity(readmodel.Severities{Thresholds: timeline.Thresholds{"USD": "250"}, Types: []readmodel.TypeSeverity{{Match: json.RawMessage(`{"type":["mail"]}`), Severity: timeline.AlertHigh}}})
	h.ops.AddDelivery(readmodel.Delivery{ID: "msg_1", Channel: "hook", AlertID: timeline.TaskAlertID("default", "failed"), Title: "payment failed",
		Severity: timeline.AlertHigh, State: timeline.AlertFiring, Status: readmodel.DeliveryFailed, Attempts: 3, HTTPStatus: 400, QueuedAt: at, LastTryAt: at})
	h.ops.AddProvider(readmodel.Provider{Provider: "bank", State: timeline.BreakerOpen, Since: at, Opened: 1,
		Breakers: []readmodel.ProviderBreaker{{SourceID: "s1", State: timeline.BreakerOpen, Since: at, OpenUntil: at.Add(time.Minute), Why: "failure_rate"}}},
		readmodel.BreakerChange{At: at, SourceID: "s1", State: timeline.BreakerOpen, Why: "failure_rate", Calls: 10, Failures: 9, TaskID: "failed"})
	h.ops.AddKey(auth.Key{ID: testKey, Hash: "0123456789abcdef", Name: "ci", Namespace: "default", Scopes: []auth.Scope{auth.ScopeIngest}, CreatedAt: at})
	set := func(kind, id string, body any) {
		b, err := json.Marshal(body)
		if err != nil {
			h.t.Fatal(err)
		}
		h.store.Add(timeline.NewSettingEvent("default", timeline.Setting{Kind: kind, ID: id, Version: 1, Body: b}, timeline.Operator{Actor: "admin"}, at))
	}
	set(timeline.SettingSilence, testSilence, readmodel.Silence{ID: testSilence, Match: readmodel.AlertMatch{Providers: []string{"bank"}},
		StartsAt: at, EndsAt: at.Add(time.Hour), Reason: "being mended", CreatedBy: "admin", CreatedAt: at})
	set(timeline.SettingRequeueURL, "orders", timeline.RequeueURL{URL: "https://old.example.com/requeue", Salt: "s1"})
	set(timeline.SettingChannel, "team", timeline.ChannelSetting{Config: json.RawMessage(`{"name":"team","type":"slack"}`), Sealed: []byte("x"), Host: "hooks.slack.com"})
	set(timeline.SettingRule, "too many", map[string]any{"name": "too many", "kind": "failure_rate", "above": 0.2})
	done := bulkProgress{Total: 1, Succeeded: 1}
	set(timeline.SettingBulk, testBulk, bulkHeader{ID: testBulk, Action: bulkRetry, Status: bulkCompleted, CreatedBy: "key:user", UserID: "u1",
		CreatedAt: time.Now(), UpdatedAt: time.Now(), EndedAt: time.Now(), Rate: 10, Total: 1, Progress: &done})
	set(bulkKind(testBulk), bulkChunkID(0, bulkItemsSuffix), bulkItemsChunk{[]bulkItem{{timeline.DeadLetterID("default", "failed", 1), "failed", 1, "bank"}}})
	set(bulkKind(testBulk), bulkChunkID(0, bulkResultsSuffix), bulkResultsChunk{[]bulkResult{{Status: itemOK, NextRun: 2}}})
}

const (
	testKey     = "abcdefghijklmnop"
	testSilence = "019c1a2b-0000-7000-8000-000000000001"
	testBulk    = "019c1a2b-0000-7000-8000-000000000002"
)

func letterID(task string, run int) string {
	return timeline.DeadLetterID("default", task, run).String()
}
