package collector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/tasktrail/tasktrail/timeline"
)

const (
	agentProtocol   = "1"
	agentWriteLimit = 10 * time.Second // for one line to reach the agent's side
)

var (
	errReplaced  = errors.New("the agent has connected again")
	errNoAgents  = &requestError{http.StatusNotImplemented, codes.Unimplemented, "this collector carries no commands"}
	errNoLive    = &requestError{http.StatusNotImplemented, codes.Unimplemented, "this collector carries no live data"}
	errFullHouse = errors.New("too many agents are connected")
)

// agents are the open command connections, one a source.
type agents struct {
	mu   sync.Mutex
	max  int
	open map[string]*agentConn
}

type agentConn struct{ cancel context.CancelCauseFunc }

func (a *agents) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.open)
}

func (a *agents) connected(source string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.open[source]
	return ok
}

// join enters a connection; an earlier one of the same source is ended.
func (a *agents) join(source string, conn *agentConn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if old := a.open[source]; old != nil {
		old.cancel(errReplaced)
	} else if len(a.open) >= a.max {
		return false
	}
	a.open[source] = conn
	return true
}

func (a *agents) leave(source string, conn *agentConn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open[source] == conn {
		delete(a.open, source)
	}
}

func (a *agents) closeAll(cause error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, conn := range a.open {
		conn.cancel(cause)
	}
}

// getCommands keeps the connection open and writes a line of JSON for each
// command and an empty line as heartbeat. What was not acknowledged by events is
// handed out again by the source of commands, so a line that is lost on the way
// costs time alone.
func (c *Collector) getCommands(w http.ResponseWriter, r *http.Request) {
	if err := c.streamCommands(w, r); err != nil {
		c.refuseAgent(w, err)
	}
}

func (c *Collector) streamCommands(w http.ResponseWriter, r *http.Request) error {
	p, err := c.authenticate(r.Context(), r.Header.Get("Authorization"), ScopeAgent)
	if err != nil {
		return err
	}
	if c.deps.Commands == nil {
		return errNoAgents
	}
	source, namespace, queues, cancels, err := commandQuery(r, &p)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	conn := &agentConn{cancel}
	if !c.agents.join(source, conn) {
		return &OverloadError{RetryAfter: c.cfg.RetryAfter, Cause: errFullHouse}
	}
	defer c.agents.leave(source, conn)
	defer c.watch.heard(source, c.deps.Now())
	if c.stopping.Load() {
		return c.unavailable(ErrNotRunning)
	}
	c.watch.heard(source, c.deps.Now())

	commands := c.deps.Commands.Commands(ctx, source, namespace, queues, cancels...)
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // proxies that would hold lines back
	c.metrics.requests.WithLabelValues(transportHTTP, strconv.Itoa(http.StatusOK)).Inc()
	c.pump(ctx, w, commands)
	cancel(nil)
	for range commands { // the source closes the channel; what it still gives is given again later
	}
	return nil
}

// pump writes lines until the agent goes, the source ends, or we stop.
func (c *Collector) pump(ctx context.Context, w http.ResponseWriter, commands <-chan timeline.Command) {
	control := http.NewResponseController(w)
	line := func(b []byte) bool {
		_ = control.SetWriteDeadline(time.Now().Add(agentWriteLimit))
		_, err := w.Write(append(b, '\n'))
		return err == nil && control.Flush() == nil
	}
	beat := time.NewTicker(c.cfg.HeartbeatEvery)
	defer beat.Stop()
	if !line(nil) {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
			if !line(nil) {
				return
			}
		case cmd, ok := <-commands:
			if !ok {
				return
			}
			b, err := json.Marshal(cmd)
			if err != nil {
				c.cfg.Logger.Error("a command can't be encoded", "command", cmd.ID, "error", err)
				continue
			}
			if !line(b) {
				return
			}
			c.metrics.commands.Inc()
		}
	}
}

// commandQuery reads who asks and for what, and whether the token allows it.
func commandQuery(r *http.Request, p *Principal) (source, namespace string, queues, cancels []string, err error) {
	q := r.URL.Query()
	source, namespace = q.Get("source"), q.Get("namespace")
	if proto := q.Get("proto"); proto != "" && proto != agentProtocol {
		return "", "", nil, nil, &timeline.FieldError{Field: "proto", Want: "want " + agentProtocol}
	}
	queues, cancels = names(q.Get("queues")), names(q.Get("cancels"))
	live := timeline.AgentLive{SourceID: source, Namespace: namespace, Queues: slices.Concat(queues, cancels)}
	if err := live.Validate(); err != nil {
		return "", "", nil, nil, renamed(err, "source_id", "source")
	}
	if len(live.Queues) == 0 {
		return "", "", nil, nil, &timeline.FieldError{Field: "queues", Want: "at least one"}
	}
	if namespace == "" {
		namespace = p.Namespace
	}
	if namespace != p.Namespace && !p.AnyNamespace {
		return "", "", nil, nil, ErrForbidden
	}
	for _, name := range live.Queues {
		if len(p.Queues) > 0 && !slices.Contains(p.Queues, name) {
			return "", "", nil, nil, ErrForbidden
		}
	}
	return source, namespace, queues, cancels, nil
}

// names splits a list of queues.
func names(list string) (out []string) {
	for name := range strings.SplitSeq(list, ",") {
		if name != "" {
			out = append(out, name)
		}
	}
	return out
}

// renamed gives a field the name it has on this route.
func renamed(err error, from, to string) error {
	var field *timeline.FieldError
	if errors.As(err, &field) && field.Field == from {
		return &timeline.FieldError{Field: to, Want: field.Want}
	}
	return err
}

// postLive takes a heartbeat with the progress of running tasks. It is handed on
// and forgotten: the log never has it.
func (c *Collector) postLive(w http.ResponseWriter, r *http.Request) {
	err := c.takeLive(w, r)
	if err != nil {
		c.refuseAgent(w, err)
		return
	}
	c.metrics.requests.WithLabelValues(transportHTTP, strconv.Itoa(http.StatusNoContent)).Inc()
	w.WriteHeader(http.StatusNoContent)
}

func (c *Collector) takeLive(w http.ResponseWriter, r *http.Request) error {
	control := http.NewResponseController(w)
	now := time.Now()
	_ = control.SetReadDeadline(now.Add(c.cfg.ReadTimeout))
	_ = control.SetWriteDeadline(now.Add(c.cfg.ReadTimeout + writeTimeout))
	p, err := c.authenticate(r.Context(), r.Header.Get("Authorization"), ScopeAgent)
	if err != nil {
		return err
	}
	body, l, err := c.readBody(w, r)
	if err != nil {
		return err
	}
	defer l.close()
	defer c.buffers.put(body)
	if err := l.resize(jsonWeight * int64(len(body))); err != nil {
		return err
	}
	var live timeline.AgentLive
	if err := json.Unmarshal(body, &live); err != nil {
		return &requestError{http.StatusBadRequest, codes.InvalidArgument, "body: " + err.Error()}
	}
	if err := live.Validate(); err != nil {
		return err
	}
	live.Namespace = allowedNamespace(&p, live.Namespace)
	for i := range live.Tasks {
		if ns := live.Tasks[i].Namespace; ns != "" {
			live.Tasks[i].Namespace = allowedNamespace(&p, ns)
		}
	}
	if live.At.IsZero() {
		live.At = c.deps.Now().UTC()
	}
	c.watch.alive(&live, c.deps.Now())
	if c.deps.Live == nil {
		return errNoLive
	}
	if err := c.deps.Live.AgentLive(r.Context(), &live); err != nil {
		return &OverloadError{RetryAfter: c.cfg.RetryAfter, Unavailable: true, Cause: fmt.Errorf("pass on live data: %w", err)}
	}
	return nil
}

func allowedNamespace(p *Principal, asked string) string {
	if p.AnyNamespace && asked != "" {
		return asked
	}
	return p.Namespace
}

// refuseAgent answers a failed request of an agent in JSON.
func (c *Collector) refuseAgent(w http.ResponseWriter, err error) { c.refuse(w, typeJSON, err) }
