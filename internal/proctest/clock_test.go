package proctest

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
)

// A running process has its time of day set, forward and back; its monotonic clock
// goes on.
func TestAClockIsSet(t *testing.T) {
	defer RemoveBuilds()
	c := NewClock(t)
	cmd := exec.CommandContext(t.Context(), BuildWithClock(t, "./internal/proctest/testdata/clock"))
	cmd.Env = append(os.Environ(), c.Env()...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, off := range []time.Duration{0, time.Hour, -48 * time.Hour, 0} {
		c.Set(off)
		if _, err := fmt.Fprintln(in); err != nil {
			t.Fatal(err)
		}
		var now, ran int64
		if _, err := fmt.Fscanln(out, &now, &ran); err != nil {
			t.Fatal(err)
		}
		if late := time.Since(time.Unix(now, 0).Add(-off)); late < -time.Second || late > 30*time.Second {
			t.Errorf("set off by %v the clock is off by %v", off, off-late)
		}
		if ran < 0 || ran > 30 {
			t.Errorf("set off by %v the process says that it has run for %d s", off, ran)
		}
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}
