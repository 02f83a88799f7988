package agent_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/agenttest"
	"github.com/tasktrail/tasktrail/timeline"
)

const (
	envBusy    = "AGENT_TEST_BUSY"
	envBusyURL = "AGENT_TEST_BUSY_URL"
)

// busy is a worker that executes one task after the other and names each once Do
// has returned, until it is killed.
func busy(dir string) {
	cfg := quick
	cfg.SpoolDir, cfg.Name, cfg.CollectorURL = dir, "worker", os.Getenv(envBusyURL)
	a, err := agent.New(cfg)
	if err == nil {
		err = a.Start(context.Background())
	}
	for i := 0; err == nil; i++ {
		id := fmt.Sprintf("%d-%d", os.Getpid(), i)
		if _, err = a.Do(context.Background(), task(id, ""), succeeding); err == nil {
			_, err = os.Stdout.WriteString(id + "\n")
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// killBusy starts a busy worker and kills it, without a warning, after so many
// tasks. It returns those whose Do had returned.
func killBusy(t *testing.T, dir, url string, tasks int) []string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), envBusy+"="+dir, envBusyURL+"="+url)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var done []string
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil { // what was written before the kill is read to its end
			break
		}
		if done = append(done, strings.TrimSpace(line)); len(done) == tasks {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || len(done) < tasks {
		t.Fatalf("the worker ended by itself after %d tasks: %v", len(done), err)
	}
	return done
}

// A worker is killed again and again under a collector that misbehaves. In the end
// every event of every task whose Do had returned is there, once by its id, and
// the numbers of the source have no hole.
func TestNothingIsLostToAKill(t *testing.T) {
	var n atomic.Int64
	for name, answer := range map[string]func(http.ResponseWriter, []byte) bool{
		"healthy": nil,
		"slow": func(w http.ResponseWriter, _ []byte) bool {
			<-time.After(20 * time.Millisecond)
			return true
		},
		"dead": func(w http.ResponseWriter, _ []byte) bool {
			w.WriteHeader(http.StatusServiceUnavailable)
			return false
		},
		"erratic": func(w http.ResponseWriter, _ []byte) bool {
			switch n.Add(1) % 4 {
			case 0:
				w.WriteHeader(http.StatusInternalServerError)
				return false
			case 1: // taken, and the answer lost
				w.WriteHeader(http.StatusGatewayTimeout)
			}
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, c := t.TempDir(), agenttest.NewCollector(t)
			c.Answer(answer)
			var done []string
			for range 3 {
				done = append(done, killBusy(t, dir, c.URL(), 100)...)
			}
			c.Answer(nil)
			settle(t, dir, c)
			types := map[string]map[timeline.Type]bool{}
			seqs, highest := map[uint64]timeline.ID{}, uint64(0)
			for _, e := range c.Events("") {
				if id, seen := seqs[e.SourceSeq]; seen && id != e.ID {
					t.Fatalf("two events have the number %d", e.SourceSeq)
				}
				seqs[e.SourceSeq] = e.ID
				highest = max(highest, e.SourceSeq)
				if types[e.Task.ID] == nil {
					types[e.Task.ID] = map[timeline.Type]bool{}
				}
				types[e.Task.ID][e.Type] = true
			}
			for _, id := range done {
				if len(types[id]) != 5 {
					t.Errorf("of task %s %d events arrived, want 5", id, len(types[id]))
				}
			}
			if uint64(len(seqs)) != highest {
				t.Errorf("%d numbers up to %d arrived: there is a hole", len(seqs), highest)
			}
		})
	}
}

// settle lets a next process ship what the spool still holds.
func settle(t *testing.T, dir string, c *agenttest.Collector) {
	t.Helper()
	a, err := agent.New(agent.Config{SpoolDir: dir, CollectorURL: c.URL(), Name: "worker"})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	if err := a.Flush(ctx); err != nil {
		t.Error(err)
	}
	if err := a.Close(ctx); err != nil {
		t.Error(err)
	}
}
