package failure

import (
	"reflect"
	"runtime"
	"strconv"
	"strings"
)

const (
	// maxFrames bounds the stack of an error that brings its own.
	maxFrames = 64
	// fingerprintFrames is how many in-application frames a fingerprint holds.
	fingerprintFrames = 5
)

// stackOf returns the stack an error carries, in the form of debug.Stack: from a
// Callers() []uintptr method, or a StackTrace method whose result is a slice of
// program counters, as in github.com/pkg/errors.
func stackOf(err error) string {
	if e, ok := err.(interface{ Callers() []uintptr }); ok {
		return formatStack(e.Callers())
	}
	trace := callOne(reflect.ValueOf(err).MethodByName("StackTrace"))
	if !trace.IsValid() || trace.Kind() != reflect.Slice || trace.Type().Elem().Kind() != reflect.Uintptr {
		return ""
	}
	pcs := make([]uintptr, min(trace.Len(), maxFrames))
	for i := range pcs {
		pcs[i] = uintptr(trace.Index(i).Uint())
	}
	return formatStack(pcs)
}

func formatStack(pcs []uintptr) string {
	if len(pcs) == 0 {
		return ""
	}
	var b strings.Builder
	frames := runtime.CallersFrames(pcs[:min(len(pcs), maxFrames)])
	for {
		frame, more := frames.Next()
		if frame.Function != "" {
			b.WriteString(frame.Function + "(...)\n\t" + frame.File + ":" + strconv.Itoa(frame.Line) + "\n")
		}
		if !more {
			return b.String()
		}
	}
}

// applicationFrames returns the functions of the first in-application frames of
// a stack in the form of debug.Stack: without the runtime and the standard
// library, without dependencies, and without what called the executor. Lines are
// left out, since every edit of a file moves them.
func applicationFrames(stack string) []string {
	var frames []string
	for len(frames) < fingerprintFrames {
		line, rest, ok := strings.Cut(stack, "\n")
		if !ok {
			break
		}
		stack = rest
		if line == "" || line[0] == '\t' || !strings.HasPrefix(rest, "\t") || strings.HasPrefix(line, "created by ") {
			continue
		}
		file, _, _ := strings.Cut(rest[1:], "\n")
		function := functionName(line)
		if inApplication(function, file) {
			frames = append(frames, function)
		}
	}
	return frames
}

// functionName cuts the arguments off a line of a stack: "pkg.(*T).Method(0x1,
// {0x2, 0x3})". Generic functions have brackets of their own before them.
func functionName(line string) string {
	if i := strings.LastIndexByte(line, '('); i > 0 && !strings.HasPrefix(line[i:], "(*") {
		return line[:i]
	}
	return line
}

func inApplication(function, file string) bool {
	if strings.Contains(file, "/pkg/mod/") || strings.Contains(file, "@v") || strings.Contains(file, "/vendor/") {
		return false
	}
	const agent = "github.com/tasktrail/tasktrail/agent"
	if strings.HasPrefix(function, agent) && !strings.Contains(file, "_test.go:") {
		return false
	}
	root, _, nested := strings.Cut(function, "/")
	if !nested {
		root, _, _ = strings.Cut(function, ".")
	}
	switch root {
	case "panic", "runtime", "testing", "reflect", "sync", "net", "os", "io", "fmt", "bufio", "bytes", "strings", "context",
		"encoding", "database", "crypto", "compress", "errors", "internal", "iter", "log", "maps", "math", "regexp", "slices",
		"sort", "strconv", "syscall", "text", "time", "html", "unicode", "vendor", "container", "go", "hash", "image", "mime",
		"path", "archive", "index", "debug", "expvar", "flag", "unique", "weak", "cmp":
		return false
	}
	return true
}
