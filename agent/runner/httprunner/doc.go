// Package httprunner executes tasks by calling an HTTP callback: one POST an
// attempt, whose answer is the outcome.
//
// It decides nothing about retries, which is the agent's, and listens nowhere. A
// callback cannot be used to reach what only this machine can: addresses that are
// not public are refused unless they are allowed.
package httprunner

// Name is the runner's name in a task's timeline.
const Name = "http"

// Headers of a callback.
const (
	HeaderIdempotencyKey = "Idempotency-Key"
	HeaderRun            = "Tasktrail-Run"
	HeaderAttempt        = "Tasktrail-Attempt"
	HeaderDeadline       = "Tasktrail-Deadline"
	HeaderProgressURL    = "Tasktrail-Progress-Url"
)
