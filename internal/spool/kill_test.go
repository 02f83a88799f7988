package spool

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

const killFrame = 9000

// child is the other process. "append" and "durable" append and print each
// number once it is acknowledged, until they are killed.
func child(role, dir string) int {
	fail := func(err error) int { fmt.Fprintln(os.Stderr, err); return 1 }
	opts := Options{Dir: dir, SegmentBytes: 256 << 10, MaxBytes: 512 << 20, DurableOnly: role == "durable"}
	switch role {
	case "append", "durable":
		l, err := Open(opts)
		if err != nil {
			return fail(err)
		}
		for {
			var got uint64
			to, err := l.AppendFunc(false, func(dst []byte, seq uint64) []byte {
				got = seq
				return frame(dst, seq, killFrame)
			})
			if err == nil && opts.DurableOnly {
				err = l.Sync(context.Background(), to)
			}
			if err != nil {
				return fail(err)
			}
			if _, err := os.Stdout.WriteString(strconv.FormatUint(got, 10) + "\n"); err != nil {
				return fail(err)
			}
		}
	case "rlimit":
		signal.Ignore(syscall.SIGXFSZ)
		err := useFullDisk(dir, func() error {
			return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 4096, Max: 4096})
		})
		if err != nil {
			return fail(err)
		}
		return 0
	}
	return fail(errors.New("no such role"))
}

func childCommand(t *testing.T, role, dir string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, dir)
	cmd.Env = append(os.Environ(), childEnv+"="+role)
	return cmd
}

func TestKilledProcessLosesNothingAcknowledged(t *testing.T) {
	for _, role := range []string{"append", "durable"} {
		t.Run(role, func(t *testing.T) {
			dir := t.TempDir()
			last := uint64(0)
			for round := range 8 {
				cmd := childCommand(t, role, dir)
				var stderr strings.Builder
				cmd.Stderr = &stderr
				out, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				lines, stopAt := bufio.NewScanner(out), 50+round*97
				for n := 0; lines.Scan(); n++ {
					seq, err := strconv.ParseUint(lines.Text(), 10, 64)
					if err != nil {
						break // the kill tore the line
					}
					if seq <= last && n == 0 {
						t.Fatalf("round %d: number %d again", round, seq)
					}
					last = max(last, seq)
					if n == stopAt {
						if err := cmd.Process.Kill(); err != nil {
							t.Fatal(err)
						}
					}
				}
				if err := cmd.Wait(); err == nil || stderr.Len() > 0 {
					t.Fatalf("the child was not killed: %v %s", err, stderr.String())
				}
				l := open(t, Options{Dir: dir, SegmentBytes: 256 << 10, MaxBytes: 512 << 20})
				seqs, damaged := readAll(t, l, 0, killFrame)
				if st := l.Stats(); st.DamagedRanges != 0 || len(damaged) > 0 {
					t.Fatalf("round %d: damage after a kill: %+v", round, l.Damaged())
				}
				if uint64(len(seqs)) < last {
					t.Fatalf("round %d: %d acknowledged, %d there", round, last, len(seqs))
				}
				wantSeqs(t, seqs, 1, uint64(len(seqs)))
				last = uint64(len(seqs))
				mustClose(t, l)
			}
		})
	}
}
