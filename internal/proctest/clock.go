package proctest

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// clockEnv names the file that a process of BuildWithClock has its clock's offset in.
const clockEnv = "PROCTEST_CLOCK"

// Clock is the time of day of processes that BuildWithClock compiled, which tests can
// set: forward and back, while they run, as an operator or NTP does. Their monotonic
// clock goes on, as it does then.
type Clock struct {
	t    testing.TB
	path string
}

// NewClock makes a clock that is right.
func NewClock(t testing.TB) *Clock {
	t.Helper()
	c := &Clock{t: t, path: filepath.Join(t.TempDir(), "clock")}
	c.Set(0)
	return c
}

// Set has the clock differ from the machine's by so many whole seconds, from now on.
func (c *Clock) Set(off time.Duration) {
	c.t.Helper()
	f, err := os.OpenFile(c.path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	defer f.Close()
	// In place: processes have the file mapped.
	if _, err := f.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(off/time.Second)), 0); err != nil {
		c.t.Fatal(err)
	}
}

// Env gives the clock to a process.
func (c *Clock) Env() []string { return []string{clockEnv + "=" + c.path} }

// shiftedNow is what is put into Go's package time: the seconds in the clock's file.
const shiftedNow = `package time

import (
	"syscall"
	"unsafe"
)

var shift = openShift()

func openShift() *int64 {
	path, ok := syscall.Getenv("` + clockEnv + `")
	if !ok {
		return new(int64)
	}
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		panic("open the clock of ` + clockEnv + `: " + err.Error())
	}
	page, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic("map the clock of ` + clockEnv + `: " + err.Error())
	}
	_ = syscall.Close(fd)
	return (*int64)(unsafe.Pointer(&page[0]))
}
`

// BuildWithClock is Build of a program whose time.Now a Clock shifts. Nothing of the
// program is changed for it: its compiler is given another time.Now, so that every
// package in it has the same clock. (Nothing outside could do it: a Go program does
// not ask libc for the time, and Linux has no namespace for the time of day.)
func BuildWithClock(t testing.TB, pkg string) string {
	t.Helper()
	overlay, err := writeOverlay(filepath.Join(Root(t), "bin", "_clock"))
	if err != nil {
		t.Fatal(err)
	}
	return compile(t, pkg, "-with-clock", "-overlay", overlay)
}

// writeOverlay writes what the compiler is to read in place of Go's own files, always
// at the same place so that its cache holds.
func writeOverlay(dir string) (string, error) {
	const from, to = "sec, nsec, mono := runtimeNow()\n\tif mono == 0 {", "sec, nsec, mono := runtimeNow()\n\tsec += *shift\n\tif mono == 0 {"
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	std := filepath.Join(strings.TrimSpace(string(out)), "src", "time")
	now, err := os.ReadFile(filepath.Join(std, "time.go"))
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(now), from); n != 1 {
		return "", fmt.Errorf("the time.Now of this Go reads otherwise than this test expects: %d places of %q in %s/time.go", n, from, std)
	}
	files := map[string]string{"time.go": strings.Replace(string(now), from, to, 1), "shift.go": shiftedNow}
	replace := map[string]string{}
	for name := range files {
		replace[filepath.Join(std, name)] = filepath.Join(dir, name)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	files["overlay.json"] = string(overlay)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for name, text := range files {
		if err := replaceFile(filepath.Join(dir, name), text); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, "overlay.json"), nil
}

// replaceFile writes a file as a whole: other test processes read the same.
func replaceFile(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // where it was not renamed
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
