// Package sidecar executes tasks for programs in any language: they post a task
// over HTTP, and the sidecar calls their callback, with the retries, breakers and
// timeline of package agent. It runs the retries of recorded commands, too, where
// an operator has allowed them.
//
// A task is on the disk before it is accepted, and what waits, waits there: memory
// holds a small entry for each, and no goroutine. A sidecar that was killed goes
// on where it was. It decides nothing about retries, which is the agent's, and
// keeps no history: the outcomes it remembers are for callers that ask again.
package sidecar
