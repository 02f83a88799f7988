package execrunner_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/agent/agenttest"
	"github.com/tasktrail/tasktrail/agent/runner/execrunner"
)

// Both ways to report are seen by the collector while the command still runs.
func TestProgressReachesTheCollector(t *testing.T) {
	rec := agenttest.New(t, quick)
	for name, report := range map[string]string{
		"descriptor": `eval "echo 3 10 by-descriptor >&$TASKTRAIL_PROGRESS_FD"`,
		"stdout":     `echo "##tasktrail progress 4/10 by-stdout"`,
	} {
		seen := filepath.Join(t.TempDir(), "seen")
		done := make(chan error, 1)
		go func() {
			done <- do(t, t.Context(), rec, name, execrunner.Config{Args: sh(report + `; while [ ! -e ` + seen + ` ]; do sleep 0.05; done`)}, 20*time.Second)
		}()
		if !reported(rec, "by-"+name, 10*time.Second) {
			t.Errorf("%s: the collector was told %s", name, rec.Collector().Live())
		}
		if err := os.WriteFile(seen, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func reported(rec *agenttest.Recorder, message string, within time.Duration) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(within); time.Now().Before(deadline); <-tick.C {
		if bytes.Contains(rec.Collector().Live(), []byte(message)) {
			return true
		}
	}
	return false
}
