package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unsafe"
)

// LibraryEnv names the file of the engine library and goes before every other
// place it is looked for.
const LibraryEnv = "TASKTRAIL_CHDB_LIB"

// installHint is the command that brings the library.
const installHint = "npm ci --prefix deploy/embedded"

// ErrNoLibrary says that the engine library is nowhere; the error that wraps it
// lists where it was looked for and how to install it.
var ErrNoLibrary = errors.New("the ClickHouse engine library was not found")

// platforms are the packages that carry the library, by GOOS/GOARCH.
var platforms = map[string]string{
	"linux/amd64":  "lib-linux-x64-gnu",
	"linux/arm64":  "lib-linux-arm64-gnu",
	"darwin/amd64": "lib-darwin-x64",
	"darwin/arm64": "lib-darwin-arm64",
}

// FindLibrary returns the path of the engine library: that of [LibraryEnv], else
// beside the executable, else deploy/embedded/node_modules under the working
// directory or one above it, else the system's library directories.
func FindLibrary() (string, error) {
	if !HasLoader {
		return "", fmt.Errorf("%w: this build is without it (tag noengine): name a ClickHouse server in clickhouse_dsn, or use the full build", ErrNoLibrary)
	}
	if path := os.Getenv(LibraryEnv); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("%w: %s: %w", ErrNoLibrary, LibraryEnv, err)
		}
		return path, nil
	}
	var tried []string
	for _, path := range libraryPlaces() {
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return path, nil
		}
		tried = append(tried, path)
	}
	return "", fmt.Errorf("%w: install it with %q, or name it in %s (looked for %s)",
		ErrNoLibrary, installHint, LibraryEnv, strings.Join(tried, ", "))
}

func libraryPlaces() []string {
	const name = "libchdb.so" // on macOS too
	var places []string
	inModules := func(dir string) {
		if pkg, ok := platforms[runtime.GOOS+"/"+runtime.GOARCH]; ok {
			places = append(places, filepath.Join(dir, "deploy", "embedded", "node_modules", "@chdb", pkg, name))
		}
	}
	if exe, err := os.Executable(); err == nil {
		dir := filepath.Dir(exe)
		places = append(places, filepath.Join(dir, name), filepath.Join(dir, "..", "lib", name))
		inModules(filepath.Dir(dir))
	}
	if dir, err := os.Getwd(); err == nil {
		// A test runs in its package's directory, the library is at the root.
		for range 8 {
			inModules(dir)
			up := filepath.Dir(dir)
			if up == dir {
				break
			}
			dir = up
		}
	}
	return append(places, "/usr/local/lib/"+name, "/usr/lib/"+name)
}

// library is the C interface that is used. Handles are opaque addresses of the
// library's own memory.
type library struct {
	connect        func(argc int32, argv unsafe.Pointer) *uintptr
	closeConn      func(conn *uintptr)
	query          func(conn uintptr, q unsafe.Pointer, qn uintptr, f unsafe.Pointer, fn uintptr) uintptr
	queryParams    func(conn uintptr, q unsafe.Pointer, qn uintptr, f unsafe.Pointer, fn uintptr, names, nameLens, values, valueLens unsafe.Pointer, n uintptr) uintptr
	insertStream   func(conn uintptr, q unsafe.Pointer, qn uintptr, f unsafe.Pointer, fn uintptr) uintptr
	insertAppend   func(stream uintptr, data unsafe.Pointer, n uintptr) int32
	insertDone     func(stream uintptr) uintptr
	insertError    func(stream uintptr) unsafe.Pointer
	insertDestroy  func(stream uintptr)
	resultBuffer   func(result uintptr) unsafe.Pointer
	resultLength   func(result uintptr) uintptr
	resultError    func(result uintptr) unsafe.Pointer
	resultRows     func(result uintptr) uint64
	resultWritten  func(result uintptr) uint64
	resultDestroy  func(result uintptr)
	signalHandlers func(enabled int32)
}

// goString copies a C string.
func goString(p unsafe.Pointer) string {
	if p == nil {
		return ""
	}
	n := 0
	for *(*byte)(unsafe.Add(p, n)) != 0 {
		n++
	}
	return string(unsafe.Slice((*byte)(p), n))
}
