package embedded_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/store/storetest"
)

const parentEnv = "EMBEDDED_TEST_PARENT"

// TestParent is the body of the process that the next test kills; on its own it
// checks only that the engine answers.
func TestParent(t *testing.T) {
	p := storetest.Process(t)
	must(t, p.DSN(), "", "SELECT 1")
	if os.Getenv(parentEnv) == "" {
		return
	}
	fmt.Printf("engine at %s\n", p.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin) // until it is killed
}

func TestTheEngineDiesWithItsParent(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestParent$", "-test.v")
	cmd.Env = append(os.Environ(), parentEnv+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	addr := ""
	for sc := bufio.NewScanner(out); addr == "" && sc.Scan(); {
		if _, a, ok := strings.Cut(sc.Text(), "engine at "); ok {
			addr = a
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if addr == "" {
		t.Fatal("the parent did not say where its engine is")
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			return
		}
		_ = c.Close()
		if time.Now().After(deadline) {
			t.Fatal("the engine still listens")
		}
	}
}
