//go:build !race

package agent_test

import (
	"context"
	"testing"

	"github.com/tasktrail/tasktrail/agent"
)

// The race detector allocates on its own account: `go test ./agent` runs this.
func TestASuccessfulTaskAllocatesThreeTimes(t *testing.T) {
	a, err := agent.New(agent.Config{SpoolDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close(context.Background())
	tk, ctx := task("counted", "bank"), context.Background()
	output := []byte(`{"ok":true}`)
	fn := func(context.Context, agent.Task) (agent.Result, error) { return agent.Result{Output: output}, nil }
	if n := testing.AllocsPerRun(2000, func() {
		if _, err := a.Do(ctx, tk, fn); err != nil {
			t.Error(err)
		}
	}); n > 3 {
		t.Errorf("%v allocations, want 3 at most", n)
	}
}
