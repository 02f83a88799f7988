package livetest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Sentinel is a master with a replica and a Sentinel that fails over within a
// second or two.
type Sentinel struct {
	Master, Replica *Redis
	addr            string
}

// StartSentinel runs them until the test ends.
func StartSentinel(tb testing.TB) *Sentinel {
	tb.Helper()
	s := &Sentinel{Master: Start(tb, "--masterauth", Password, "--repl-diskless-sync-delay", "0")}
	host, port, _ := net.SplitHostPort(s.Master.addr)
	s.Replica = Start(tb, "--replicaof", host, port, "--masterauth", Password, "--repl-diskless-sync-delay", "0")
	wait(tb, "the replica to follow", func(ctx context.Context) bool {
		info, err := s.Replica.client.Info(ctx, "replication").Result()
		return err == nil && strings.Contains(info, "master_link_status:up")
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s.addr = l.Addr().String()
	_ = l.Close()
	_, own, _ := net.SplitHostPort(s.addr)
	conf := filepath.Join(tb.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("port %s\nbind %s\nsentinel monitor mymaster %s %s 1\nsentinel auth-pass mymaster %s\n"+
		"sentinel down-after-milliseconds mymaster 500\nsentinel failover-timeout mymaster 2000\n", own, host, host, port, Password)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command("redis-server", conf, "--sentinel")
	cmd.SysProcAttr = dieWithParent()
	if err := cmd.Start(); err != nil {
		tb.Fatalf("start a sentinel: %v", err)
	}
	tb.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	c := redis.NewSentinelClient(&redis.Options{Addr: s.addr, MaxRetries: -1, Protocol: 2})
	tb.Cleanup(func() { _ = c.Close() })
	wait(tb, "the sentinel to know the replica", func(ctx context.Context) bool {
		known, err := c.Replicas(ctx, "mymaster").Result()
		return err == nil && len(known) == 1 && known[0]["master-link-status"] == "ok"
	})
	return s
}

// URL is the URL of the master that the Sentinel names, as package live takes it.
func (s *Sentinel) URL() string {
	return "redis://:" + Password + "@" + s.addr + "?master_name=mymaster"
}

// StartNodes runs a cluster of three masters until the test ends, each with a
// third of the slots, and returns its URL.
func StartNodes(tb testing.TB) (url string, nodes []*Redis) {
	tb.Helper()
	for i := range 3 {
		r := Start(tb, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
		nodes = append(nodes, r)
		from, to := i*16384/3, (i+1)*16384/3-1
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		err := r.client.ClusterAddSlotsRange(ctx, from, to).Err()
		if err == nil && i > 0 {
			host, port, _ := net.SplitHostPort(nodes[0].addr)
			err = r.client.ClusterMeet(ctx, host, port).Err()
		}
		cancel()
		if err != nil {
			tb.Fatalf("make a cluster: %v", err)
		}
	}
	wait(tb, "the cluster to be whole", func(ctx context.Context) bool {
		for _, r := range nodes {
			info, err := r.client.ClusterInfo(ctx).Result()
			if err != nil || !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_known_nodes:3") {
				return false
			}
		}
		return true
	})
	return "redis://:" + Password + "@" + nodes[0].addr + "?cluster=true&addr=" + nodes[1].addr + "&addr=" + nodes[2].addr, nodes
}

func wait(tb testing.TB, what string, ok func(ctx context.Context) bool) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for !ok(ctx) {
		select {
		case <-ctx.Done():
			tb.Fatalf("wait for %s: %v", what, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
