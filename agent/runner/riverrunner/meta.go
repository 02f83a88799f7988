package riverrunner

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Keys of a job's metadata that are ours.
const (
	metaKey = "tasktrail"
	// metaAborted stands beside the others, since River merges metadata by their
	// first level only.
	metaAborted = "tasktrail_aborted"
)

// kindKey is the task metadata that carries River's kind where the task's type is
// another.
const kindKey = "river.kind"

// meta is what a job carries that River's own fields cannot.
type meta struct {
	// TaskID and Run are those of a later run, and of a first one whose task's id is
	// not River's, so that its job is found by it.
	TaskID string `json:"task_id,omitempty"`
	Run    int    `json:"run,omitempty"`
	// Command and Edits are those of a later run.
	Command string `json:"command_id,omitempty"`
	Edits   int    `json:"input_edits,omitempty"`
	// Trace is the trace context of the side that inserted.
	Trace map[string]string `json:"trace,omitempty"`

	aborted int
}

// readMeta reads a job's metadata. What is not ours, or not readable, is passed
// over: a job without it is a first run.
func readMeta(metadata []byte) meta {
	var keys struct {
		Ours    json.RawMessage `json:"tasktrail"`
		Aborted json.RawMessage `json:"tasktrail_aborted"`
	}
	var m meta
	if json.Unmarshal(metadata, &keys) != nil {
		return m
	}
	if json.Unmarshal(keys.Ours, &m) != nil || m.Run < 0 {
		m = meta{}
	}
	if n, err := strconv.Atoi(string(keys.Aborted)); err == nil && n > 0 {
		m.aborted = n
	}
	return m
}

// add puts m beside whatever else the metadata hold.
func (m *meta) add(metadata []byte) ([]byte, error) {
	keys := map[string]json.RawMessage{}
	if len(metadata) > 0 {
		if err := json.Unmarshal(metadata, &keys); err != nil {
			return nil, fmt.Errorf("metadata: %w", err)
		}
	}
	own, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	keys[metaKey] = own
	return json.Marshal(keys)
}

func (r *Runner) taskID(job int64) string {
	return Name + ":" + r.cfg.Instance + ":" + strconv.FormatInt(job, 10)
}

// own marks a first run whose task has an id that does not tell River's, and reports
// whether it was not marked.
func (r *Runner) own(m *meta, taskID string) bool {
	if m.TaskID != "" || taskID == "" {
		return false
	}
	if _, rivers := r.jobID(taskID); rivers {
		return false
	}
	m.TaskID, m.Run = taskID, 1
	return true
}

// jobID is the job of a task's first run.
func (r *Runner) jobID(taskID string) (int64, bool) {
	digits, ok := strings.CutPrefix(taskID, Name+":"+r.cfg.Instance+":")
	if !ok {
		return 0, false
	}
	id, err := strconv.ParseInt(digits, 10, 64)
	return id, err == nil && id > 0
}
