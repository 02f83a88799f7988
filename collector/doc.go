// Package collector takes OTLP logs in and hands them on without losing any:
// receivers (gRPC; HTTP with protobuf and JSON) check a request, append it to a
// log on disk and answer after the group-committed fsync; every sink follows
// that log with its own cursor, so that one that is down holds up nobody else.
// Beside that it keeps the agents' connections (commands down, heartbeats up)
// and writes the events that follow from others: dlq_resolved, task_lost.
//
// It does not know what a sink does with a batch, keeps no timeline, decides
// nothing about alerts and checks no token itself: sinks, authentication,
// commands and live data come in through the small interfaces declared here.
package collector
