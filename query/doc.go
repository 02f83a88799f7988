// Package query is the REST service over the timeline: it reads what the store
// holds, turns what operators ask for into events, streams live updates, and
// serves the web UI. It decides who may see and do what.
//
// It keeps no state that another replica needs, knows no SQL and no Redis, and
// never changes a task itself: a retry or a cancellation is an event, which an
// agent acts on. What it reads through and writes to are the small interfaces of
// this package.
package query
