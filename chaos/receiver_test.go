package chaos

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/tasktrail/tasktrail/timeline"
)

// plan is what a task's service does: for each run what it answers to each
// attempt. The last of each holds for all that follow.
type plan [][]word

type word string

const (
	ok        word = "ok"        // does the work and says so
	fails     word = "fail"      // 502
	permanent word = "permanent" // 400
	loses     word = "lost"      // does the work; the answer is lost
)

func (p plan) at(run, attempt int) word {
	words := p.run(run)
	return words[min(max(attempt, 1), len(words))-1]
}

func (p plan) run(run int) []word { return p[min(max(run, 1), len(p))-1] }

// ends says whether a run completes.
func (p plan) completes(run int) bool {
	words := p.run(run)
	return words[len(words)-1] == ok
}

// receiver is the service that tasks call: it does what their plans say, and
// honours the idempotency key. It takes alerts too.
type receiver struct {
	server *httptest.Server

	mu      sync.Mutex
	plans   map[string]plan
	effects map[string]map[string]int  // task → key → how often the work was done
	calls   map[string]int             // task → calls
	alerts  map[string]map[string]bool // task → alert ids
	states  map[string][]string        // task → alert states in order
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{
		plans: map[string]plan{}, effects: map[string]map[string]int{}, calls: map[string]int{},
		alerts: map[string]map[string]bool{}, states: map[string][]string{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /work/{task}", r.work)
	mux.HandleFunc("POST /alerts", r.alert)
	r.server = httptest.NewServer(mux)
	t.Cleanup(r.server.Close)
	return r
}

func (r *receiver) url() string { return r.server.URL + "/work" }

func (r *receiver) plan(task string, p plan) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.plans[task] = p
}

func (r *receiver) work(w http.ResponseWriter, req *http.Request) {
	_, _ = io.Copy(io.Discard, req.Body)
	task := path.Base(req.URL.Path)
	run, _ := strconv.Atoi(req.Header.Get("Tasktrail-Run"))
	attempt, _ := strconv.Atoi(req.Header.Get("Tasktrail-Attempt"))
	r.mu.Lock()
	does := r.plans[task].at(run, attempt)
	r.calls[task]++
	if does == ok || does == loses {
		keys := r.effects[task]
		if keys == nil {
			keys = map[string]int{}
			r.effects[task] = keys
		}
		if key := req.Header.Get("Idempotency-Key"); keys[key] == 0 || key == "" {
			keys[key]++
		}
	}
	r.mu.Unlock()
	switch does {
	case fails:
		w.WriteHeader(http.StatusBadGateway)
	case permanent:
		w.WriteHeader(http.StatusBadRequest)
	case loses:
		panic(http.ErrAbortHandler)
	default:
		_, _ = io.WriteString(w, `{"done":true}`)
	}
}

func (r *receiver) alert(w http.ResponseWriter, req *http.Request) {
	var body struct {
		Data   timeline.Alert   `json:"data"`
		Alerts []timeline.Alert `json:"alerts"`
	}
	if err := json.NewDecoder(req.Body).Decode(&body); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range append(slices.Clone(body.Alerts), body.Data) {
		ids := r.alerts[a.TaskID]
		if ids == nil {
			ids = map[string]bool{}
			r.alerts[a.TaskID] = ids
		}
		ids[a.ID.String()] = true
		r.states[a.TaskID] = append(r.states[a.TaskID], string(a.State))
	}
}

// alerted returns how many different alerts came for a task.
func (r *receiver) alerted(task string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.alerts[task])
}

// done returns how often a task's work was done, over all keys.
func (r *receiver) done(task string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, times := range r.effects[task] {
		n += times
	}
	return n
}
