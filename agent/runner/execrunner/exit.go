package execrunner

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/tasktrail/tasktrail/timeline"
)

// ExitError is a command that ran and did not end with status 0.
type ExitError struct {
	// Code is the exit status, as a shell gives it: 128 and the signal's number for
	// a command that was killed.
	Code int
	// Signal killed the command; 0 for none.
	Signal syscall.Signal
	// Stderr is the end of what it wrote to standard error, 8 KiB at most.
	Stderr string
}

func (e *ExitError) Error() string {
	s := fmt.Sprintf("exit status %d", e.Code)
	if e.Signal != 0 {
		s = "killed by signal: " + e.Signal.String()
	}
	text := strings.TrimSpace(e.Stderr)
	if text == "" {
		return s
	}
	// The end is what says why: a message that is too long loses its beginning.
	if room := timeline.MaxMessageBytes - len(s) - 2; len(text) > room {
		text = text[len(text)-room:]
	}
	return s + ": " + strings.ToValidUTF8(text, "")
}

func exitError(state *os.ProcessState, stderr string) *ExitError {
	e := &ExitError{Code: state.ExitCode(), Stderr: stderr}
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		e.Signal = ws.Signal()
		e.Code = 128 + int(e.Signal)
	}
	return e
}

// Status is the exit status that stands for the error of a command, as a shell
// would give it: the command's own where it ran, 127 where it was not found, 126
// where it could not be executed, 75 (try again later) where it was not tried.
func Status(err error) int {
	var exit *ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.Code
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return 127
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ENOEXEC):
		return 126
	}
	return 75
}
