// Package embedded runs the ClickHouse engine inside one process of ours and
// speaks ClickHouse's HTTP interface in front of it, so that clickhouse-go,
// Grafana and curl find an ordinary ClickHouse on the loopback. [Serve] is that
// process; [Process] keeps it alive as a child, because a crash of the engine
// must be a restart and not the end of the collector.
//
// The engine is libchdb, a C library that is found and loaded at run time,
// without cgo. What the facade does not have: the native TCP protocol, sessions
// (session_id), external tables, the engine's own users (there are two, one that
// writes and one that reads), and results larger than [Config.MaxResultBytes].
package embedded
