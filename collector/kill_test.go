package collector

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tasktrail/tasktrail/internal/spool"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// killDirEnv makes the test's binary a collector that runs until it is killed.
const killDirEnv = "COLLECTOR_TEST_KILL_DIR"

// fileSink appends every try of a batch to a file: what it was asked to write,
// whether or not the process lived to say so.
type fileSink struct{ path string }

func (fileSink) Name() string { return "file" }

func (s fileSink) Write(_ context.Context, b *spool.Batch) error {
	f, err := os.OpenFile(s.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	var out []byte
	part := func(p []byte) {
		out = binary.LittleEndian.AppendUint32(out, uint32(len(p)))
		out = append(out, p...)
	}
	part([]byte(b.Token()))
	part(bytes.Join(b.Frames, nil))
	var rec wire.Record
	var ids []byte
	for _, frame := range b.Frames {
		if err := wire.ScanFrame(frame, &rec, func(r *wire.Record) error {
			ids = append(ids, r.ID[:]...)
			return nil
		}); err != nil {
			return err
		}
	}
	part(ids)
	_, err = f.Write(out)
	return errors.Join(err, f.Close())
}

// serveUntilKilled runs a collector, prints where it listens and waits for the
// end of its input, which does not come.
func serveUntilKilled() {
	dir := os.Getenv(killDirEnv)
	c, err := New(testConfig(filepath.Join(dir, "data")), Deps{Auth: testTokens, Sinks: []SinkSpec{{Sink: fileSink{filepath.Join(dir, "sink")}, MaxBatchFrames: 7}}})
	if err == nil {
		err = c.Start(context.Background())
	}
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println(c.HTTPAddr())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func TestKilledAtAnyTime(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	acked := map[timeline.ID]bool{}
	for round := range 4 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), killDirEnv+"="+dir)
		cmd.Stderr = os.Stderr
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(stdout).ReadString('\n')
		if err != nil || strings.HasPrefix(line, "error") {
			t.Fatalf("child: %q %v", line, err)
		}
		addr := strings.TrimSpace(line)
		client := &http.Client{Transport: &http.Transport{}}
		enough := make(chan struct{})
		stop := make(chan struct{})
		var once sync.Once
		var senders sync.WaitGroup
		got := 0
		for s := range 4 {
			senders.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					e := []timeline.Event{event(fmt.Sprintf("t-%d-%d-%d", round, s, n), 1, 1, 1, timeline.TaskStarted), event(fmt.Sprintf("t-%d-%d-%d", round, s, n), 1, 1, 2, timeline.AttemptStarted)}
					req, err := http.NewRequest(http.MethodPost, "http://"+addr+pathLogs, bytes.NewReader(request(e...)))
					if err != nil {
						t.Error(err)
						return
					}
					req.Header.Set("Content-Type", typeProtobuf)
					req.Header.Set("Authorization", "Bearer ingest-a")
					resp, err := client.Do(req)
					if err != nil {
						return // killed
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					if resp.StatusCode == http.StatusOK {
						mu.Lock()
						acked[e[0].ID], acked[e[1].ID] = true, true
						if got++; got == 60+40*round {
							once.Do(func() { close(enough) })
						}
						mu.Unlock()
					}
				}
			})
		}
		<-enough
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		close(stop)
		senders.Wait()
		_ = cmd.Wait() // killed is how it should end
		stdin.Close()
		client.CloseIdleConnections()
	}

	// A last one, in this process, delivers what is left; the ledger balances.
	c := start(t, testConfig(filepath.Join(dir, "data")), Deps{Sinks: []SinkSpec{{Sink: fileSink{filepath.Join(dir, "sink")}, MaxBatchFrames: 7}}})
	eventually(t, "everything delivered", func() bool { return c.Sinks()[0].LagBytes == 0 })
	l := c.Ledger()
	if l.Accepted < uint64(len(acked)) || l.Sinks[0].Written != l.Accepted || l.Sinks[0].Queued != 0 {
		t.Errorf("acknowledged %d, ledger %+v", len(acked), l)
	}
	stop(t, c)
	checkFile(t, filepath.Join(dir, "sink"), acked, l.Accepted)
}

// checkFile reads what the sink was asked to write: every acknowledged event is
// there, a token stands for the same bytes each time, and apart from repeated
// tokens every event is there once.
func checkFile(t *testing.T, path string, acked map[timeline.ID]bool, records uint64) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	part := func() []byte {
		if len(b) < 4 || len(b) < 4+int(binary.LittleEndian.Uint32(b)) {
			b = nil
			return nil
		}
		n := binary.LittleEndian.Uint32(b)
		p := b[4 : 4+n]
		b = b[4+n:]
		return p
	}
	bodies := map[string][]byte{}
	seen := map[timeline.ID]int{}
	repeats := 0
	for len(b) > 0 {
		token, body, ids := string(part()), part(), part()
		if b == nil && ids == nil {
			break // the kill came in the middle of the file's write
		}
		if before, ok := bodies[token]; ok {
			repeats++
			if !bytes.Equal(before, body) {
				t.Errorf("token %s stands for two different batches", token)
			}
			continue
		}
		bodies[token] = body
		for len(ids) > 0 {
			seen[timeline.ID(ids[:16])]++
			ids = ids[16:]
		}
	}
	for id := range acked {
		if seen[id] == 0 {
			t.Errorf("event %s was acknowledged and is gone", id)
		}
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("event %s was delivered under %d tokens", id, n)
		}
	}
	if uint64(len(seen)) != records {
		t.Errorf("delivered %d events, accepted %d", len(seen), records)
	}
	t.Logf("%d events acknowledged, %d delivered, %d batches repeated", len(acked), len(seen), repeats)
}
