package live

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/live/livetest"
)

// The master that a Sentinel names is killed: its replica takes over, what was
// replicated is there, subscriptions go on, and the process is told that Redis is
// back.
func TestASentinelFailsOver(t *testing.T) {
	s := livetest.StartSentinel(t)
	var back atomic.Int32
	l := start(t, Config{URL: s.URL(), OnConnect: func(context.Context) { back.Add(1) }})
	sub, err := l.Subscribe(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	if err := l.Share(t.Context(), "name", "a", []byte("kept"), time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := l.client.Do(t.Context(), "WAIT", 1, 1000).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first connection to be told", func() bool { return back.Load() == 1 })
	s.Master.Stop()
	began := time.Now()
	eventually(t, "the loss to be noticed", func() bool { return !l.Ready() })
	eventually(t, "the replica to be used", func() bool { return l.Ready() && back.Load() == 2 })
	took := time.Since(began)
	if got, err := l.Shared(t.Context(), "name"); err != nil || string(got["a"]) != "kept" {
		t.Errorf("what was replicated: %q, %v", got["a"], err)
	}
	eventually(t, "a message over the new master", func() bool {
		if err := l.client.Publish(t.Context(), "x", "hello").Err(); err != nil {
			return false
		}
		select {
		case m := <-sub.C():
			return string(m.Payload) == "hello"
		case <-time.After(10 * time.Millisecond):
			return false
		}
	})
	t.Logf("in use again after %v", took.Round(10*time.Millisecond))
}

// In a cluster of three nodes keys lie on all of them, and a message that is
// published at one reaches those who listen at another.
func TestAClusterOfThreeNodes(t *testing.T) {
	url, nodes := livetest.StartNodes(t)
	l, other := start(t, Config{URL: url}), start(t, Config{URL: url})
	for i := range 30 {
		if err := l.Share(t.Context(), fmt.Sprint("name", i), "a", []byte("body"), time.Hour); err != nil {
			t.Fatal(err)
		}
		if got, err := other.Shared(t.Context(), fmt.Sprint("name", i)); err != nil || string(got["a"]) != "body" {
			t.Fatalf("%d: %q, %v", i, got["a"], err)
		}
	}
	for i, n := range nodes {
		if size := n.Client().DBSize(t.Context()).Val(); size == 0 {
			t.Errorf("node %d has no keys", i)
		}
	}
	sub, err := l.Subscribe(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	for i, n := range nodes {
		eventually(t, fmt.Sprint("a message of node ", i), func() bool {
			if err := n.Client().Publish(t.Context(), "x", fmt.Sprint("from ", i)).Err(); err != nil {
				return false
			}
			select {
			case m := <-sub.C():
				return string(m.Payload) == fmt.Sprint("from ", i)
			case <-time.After(10 * time.Millisecond):
				return false
			}
		})
	}
}
