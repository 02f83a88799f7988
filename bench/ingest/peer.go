package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// peerConfig is the OpenTelemetry Collector set up as its documentation advises
// for throughput: large batches at the exporter's queue, inserts that wait.
const peerConfig = `
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: %s
        max_recv_msg_size_mib: 16
exporters:
  clickhouse:
    endpoint: http://%s
    username: %s
    password: %s
    database: %s
    create_schema: true
    async_insert: false
    timeout: 60s
    sending_queue:
      enabled: true
      num_consumers: 2
      queue_size: 400000
      sizer: items
      block_on_overflow: true
%s
      batch:
        flush_timeout: 200ms
        min_size: 50000
        max_size: 50000
extensions:
%s
service:
%s
  telemetry:
    metrics:
      level: none
    logs:
      level: error
  pipelines:
    logs:
      receivers: [otlp]
      exporters: [clickhouse]
`

func (d *driver) memoryQueue(ctx context.Context) error {
	return d.peers(ctx, "OpenTelemetry Collector, memory queue", "peer_memory", "", "  {}", "")
}

func (d *driver) fsyncQueue(ctx context.Context) error {
	dir := filepath.Join(d.dir, "peer-queue")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return d.peers(ctx, "OpenTelemetry Collector, fsynced queue", "peer_fsync", "      storage: file_storage",
		"  file_storage:\n    directory: "+dir+"\n    fsync: true\n    timeout: 60s", "  extensions: [file_storage]")
}

func (d *driver) peers(ctx context.Context, name, database, storage, extensions, use string) error {
	if _, err := d.sql(ctx, "CREATE DATABASE IF NOT EXISTS "+database+" -- "); err != nil {
		return err
	}
	defer d.drop(ctx, database)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	addr := l.Addr().String()
	l.Close()
	creds := d.engine.Credentials()
	config := filepath.Join(d.dir, database+".yaml")
	text := fmt.Sprintf(peerConfig, addr, d.engine.Addr(), creds.User, creds.Password, database, storage, extensions, use)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	p, err := startChild(d.peer, "--config", "file:"+config)
	if err != nil {
		return err
	}
	if err := reachable(ctx, addr); err != nil {
		_ = p.terminate()
		return err
	}
	r := run{name: name}
	began, engine := time.Now(), cpuOf(d.engine.PID())
	g, err := d.generate(addr, database, d.forSeconds()...)
	if err != nil {
		return err
	}
	if err := g.read(&r.sent); err != nil {
		return err
	}
	_ = g.stop()
	table := database + ".otel_logs"
	end, err := d.await(ctx, table, r.sent.Events, 90*time.Second)
	if err != nil {
		r.note = err.Error()
	}
	r.wall = end.Sub(began).Seconds()
	pid := p.cmd.Process.Pid
	r.collector, r.engine, r.memory = cpuOf(pid).Seconds(), (cpuOf(d.engine.PID()) - engine).Seconds(), memoryOf(pid)
	n, err := d.numbers(ctx, "SELECT count(), uniqExact(LogAttributes['event.id']) FROM "+table)
	if err != nil {
		return err
	}
	r.lost, r.twice = int64(r.sent.Events)-int64(n[1]), int64(n[0])-int64(n[1])
	d.report.add(r)
	_ = p.terminate()
	return nil
}

func reachable(ctx context.Context, addr string) error {
	for deadline := time.Now().Add(30 * time.Second); ; {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}
