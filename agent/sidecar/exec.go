package sidecar

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/runner/execrunner"
	"github.com/tasktrail/tasktrail/timeline"
)

// ExecRule allows one exact command to be run again for a queue.
type ExecRule struct {
	Queue   string
	Command []string
}

// ParseExecRule reads QUEUE=COMMAND. The command is split at spaces; where an
// argument holds some, it is written as a JSON array of strings. No shell sees it.
func ParseExecRule(s string) (ExecRule, error) {
	queue, command, ok := strings.Cut(s, "=")
	r := ExecRule{Queue: strings.TrimSpace(queue)}
	command = strings.TrimSpace(command)
	if !ok || r.Queue == "" || command == "" {
		return r, fmt.Errorf("exec_queue: %q is not QUEUE=COMMAND", s)
	}
	if strings.HasPrefix(command, "[") {
		if err := json.Unmarshal([]byte(command), &r.Command); err != nil {
			return r, fmt.Errorf("exec_queue: %q: the command is no JSON array of strings", s)
		}
	} else {
		r.Command = strings.Fields(command)
	}
	return r, r.validate()
}

func (r ExecRule) validate() error {
	if len(r.Command) == 0 || r.Command[0] == "" {
		return fmt.Errorf("exec_queue: queue %q has no command", r.Queue)
	}
	return checkQueue("exec_queue", r.Queue)
}

// checkQueue refuses names that the agents' connection cannot carry.
func checkQueue(field, name string) error {
	if strings.ContainsRune(name, ',') {
		return &timeline.FieldError{Field: field, Want: "a queue's name without a comma"}
	}
	return nil
}

// commandGrace is how long a command that was told to stop may take: with
// Config.DrainTimeout it stays within what stopping may take.
const commandGrace = 3 * time.Second

var errNotAllowed = errors.New("the command is not allowed here")

// command reads what `tasktrail run` recorded as its input.
func command(input []byte) ([]string, error) {
	var in struct {
		Command []string `json:"command"`
	}
	if err := json.Unmarshal(input, &in); err != nil || len(in.Command) == 0 {
		return nil, agent.Permanent(errors.New("the task's input names no command"))
	}
	return in.Command, nil
}

// runCommand executes a recorded command where its queue allows exactly that one.
func (s *Sidecar) runCommand(ctx context.Context, t agent.Task) (agent.Result, error) {
	args, err := command(t.Input)
	if err != nil {
		return agent.Result{}, err
	}
	allowed := slices.ContainsFunc(s.cfg.Exec, func(r ExecRule) bool { return r.Queue == t.Queue && slices.Equal(r.Command, args) })
	if !allowed {
		text, _ := json.Marshal(args) // strings alone: this cannot fail
		return agent.Result{}, agent.Permanent(fmt.Errorf("%w: start the agent with --exec-queue '%s=%s'", errNotAllowed, t.Queue, text))
	}
	fn, err := execrunner.Func(execrunner.Config{Args: args, Env: commandEnv(os.Environ()), Grace: commandGrace})
	if err != nil {
		return agent.Result{}, agent.Permanent(err)
	}
	return fn(ctx, t)
}

// commandEnv is the environment of commands: this process's own without its
// settings, of which the token is one.
func commandEnv(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(kv string) bool { return strings.HasPrefix(kv, "TASKTRAIL_") })
}
