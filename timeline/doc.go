// Package timeline is the vocabulary of Tasktrail: tasks, the events of their
// lives, and everything that is a fold over those events (state, attempts, dead
// letters). It holds the rules that every room must agree on: the order of a
// timeline, what a state follows from, which alert severity a task has.
//
// It does no input or output, starts nothing, keeps no state, and imports the
// standard library alone, so that any program may import it. How an event
// looks on the wire is the business of timeline/wire.
package timeline
