package agenttest

import (
	"encoding/json"
	"net/http"

	"github.com/tasktrail/tasktrail/timeline"
)

// Send gives a command to the agent that is connected, or to the next one that
// will be.
func (c *Collector) Send(cmd timeline.Command) { c.queues <- cmd }

func (c *Collector) commands(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	w.WriteHeader(http.StatusOK)
	enc := json.NewEncoder(w)
	for {
		if err := rc.Flush(); err != nil {
			return
		}
		select {
		case cmd := <-c.queues:
			if err := enc.Encode(cmd); err != nil {
				return
			}
		case <-r.Context().Done():
			return
		case <-c.closed:
			return
		}
	}
}
