package sidecar

import (
	"fmt"
	"net/http"
	"strings"
)

// readyz says whether tasks are taken. That the collector is away does not matter:
// what is recorded waits for it.
func (s *Sidecar) readyz(w http.ResponseWriter, _ *http.Request) {
	s.queue.mu.Lock()
	err := s.queue.mayTake(0)
	s.queue.mu.Unlock()
	if syncErr := s.queue.log.Stats().SyncFailed; err == nil && syncErr != nil {
		err = syncErr
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

// metrics writes the figures in Prometheus' text format.
func (s *Sidecar) metrics(w http.ResponseWriter, _ *http.Request) {
	s.queue.mu.Lock()
	q, open, live := s.queue.stats, s.queue.open, s.queue.live
	waiting := s.queue.urgent.Len() + s.queue.normal.Len()
	done, faults := s.queue.ended[0].count, s.queue.ended[1].count
	s.queue.mu.Unlock()
	log, a := s.queue.log.Stats(), s.agent.Stats()
	var b strings.Builder
	metric := func(kind, name, help string, value any) {
		name = "tasktrail_agent_" + name
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n%s %v\n", name, help, name, kind, name, value)
	}
	counter := func(name, help string, value uint64) { metric("counter", name, help, value) }
	gauge := func(name, help string, value any) { metric("gauge", name, help, value) }
	counter("tasks_accepted_total", "Tasks that were accepted.", q.accepted)
	counter("tasks_repeated_total", "Tasks that were posted again.", q.repeated)
	counter("tasks_refused_total", "Tasks for which there was no room.", q.refused)
	counter("runs_completed_total", "Runs that completed.", q.completed)
	counter("runs_failed_total", "Runs that failed.", q.failed)
	counter("runs_cancelled_total", "Runs that were cancelled.", q.cancelled)
	gauge("tasks_open", "Tasks that wait or run.", open)
	gauge("tasks_waiting", "Tasks that wait for their turn.", waiting)
	gauge("tasks_kept_completed", "Completed tasks whose outcome is remembered.", done)
	gauge("tasks_kept_failed", "Failed and cancelled tasks that are kept for a retry.", faults)
	counter("tasks_forgotten_total", "Ended tasks that were forgotten.", q.forgotten)
	counter("tasks_forgotten_early_total", "Failed tasks that were forgotten before their time.", q.lostRoom)
	gauge("callers_waiting", "Callers that wait for an outcome.", s.callers.Load())
	counter("callers_hung_up_total", "Callers that did not wait for their outcome.", s.http.hungUp.Load())
	counter("http_requests_total", "Requests to the API.", s.http.requests.Load())
	counter("http_unavailable_total", "Requests answered with 503.", s.http.refused.Load())
	gauge("queue_disk_bytes", "Size of the queue's log on the disk.", log.DiskBytes)
	gauge("queue_needed_bytes", "Bytes of records that are still needed.", live)
	counter("queue_compactions_total", "Times the queue's log was compacted.", q.compacts)
	counter("queue_syncs_total", "Fsyncs of the queue's log.", log.Syncs)
	counter("events_emitted_total", "Events that were to be recorded.", a.Emitted)
	counter("events_shipped_total", "Events the collector has acknowledged.", a.Shipped)
	counter("events_shed_total", "Events dropped because the spool was full.", a.Shed)
	counter("events_unwritten_total", "Events lost to an error of the spool.", a.Unwritten)
	counter("events_refused_total", "Events the collector will never take.", a.Refused)
	counter("commands_total", "Commands carried out.", a.Commands)
	gauge("spool_bytes", "Bytes of events that wait to be shipped.", a.Spooled)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write([]byte(b.String()))
}
