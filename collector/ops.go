package collector

import (
	"encoding/json"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// The routes for those who run the collector. All but the ledger are open, as
// probes and scrapers want them, and say nothing about tasks.
const (
	pathHealthz = "/healthz"
	pathReadyz  = "/readyz"
	pathMetricz = "/metrics"
	// pathLedger is for a token that may operate in every namespace.
	pathLedger = "/v1/ledger"
)

func (c *Collector) handleOps(mux *http.ServeMux) {
	mux.HandleFunc("GET "+pathHealthz, func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET "+pathReadyz, c.getReady)
	mux.HandleFunc("GET "+pathLedger, func(w http.ResponseWriter, r *http.Request) {
		if err := c.getLedger(w, r); err != nil {
			c.refuseAgent(w, err)
		}
	})
	if c.deps.Gatherer != nil {
		mux.Handle("GET "+pathMetricz, promhttp.HandlerFor(c.deps.Gatherer, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	}
}

// readiness is the answer of /readyz. A sink that is down is told and does not
// make the collector unready: the log stands in for it.
type readiness struct {
	Status string          `json:"status"`
	Sinks  map[string]bool `json:"sinks_up"`
}

func (c *Collector) getReady(w http.ResponseWriter, _ *http.Request) {
	answer, status := readiness{Status: "ready", Sinks: map[string]bool{}}, http.StatusOK
	for _, s := range c.Sinks() {
		answer.Sinks[s.Name] = s.Up()
	}
	if err := c.Ready(); err != nil {
		answer.Status, status = "not ready: "+err.Error(), http.StatusServiceUnavailable
	}
	answerJSON(w, status, answer)
}

func (c *Collector) getLedger(w http.ResponseWriter, r *http.Request) error {
	p, err := c.authenticate(r.Context(), r.Header.Get("Authorization"), ScopeOperate)
	if err != nil {
		return err
	}
	if !p.AnyNamespace {
		return ErrForbidden
	}
	answerJSON(w, http.StatusOK, c.Ledger())
	return nil
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", typeJSON)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // whoever asked is gone
}
