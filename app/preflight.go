package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tasktrail/tasktrail/internal/filelock"
)

// Before anything is started it is made sure that it can be: a process that
// cannot have its directory or its ports says so at once, in one line, and leaves
// nothing behind that was not there before.

// MarkerFile says whose a data directory is, and in which form it is kept.
const MarkerFile = "tasktrail.json"

// marker is the content of [MarkerFile].
type marker struct {
	Format int `json:"format"`
}

// dataFormat is the form this version writes, and reads.
const dataFormat = 1

// leastFree is the free space below which nothing is started.
const leastFree = 64 << 20

// checkDataDir reports why a directory cannot be used: it is none, it is
// somebody else's, of a later version, or on a full disk. One that is missing or
// empty can be.
func checkDataDir(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		dir = existingParent(dir)
	case err != nil:
		return fmt.Errorf("data_dir: %w: name a directory this user may read and write", err)
	case len(entries) > 0:
		if err := checkMarker(dir, entries); err != nil {
			return err
		}
	}
	if free, known := freeBytes(dir); known && free < leastFree {
		return fmt.Errorf("data_dir: %d MiB are free on the disk of %s: make room for at least %d MiB", free>>20, dir, int64(leastFree)>>20)
	}
	return nil
}

// known are the names a data directory may hold without a marker: what versions
// before it left there, the command line and the demonstration, and a fresh
// volume's own.
var known = []string{
	KeysFile, KeysFile + ".lock", AdminTokenFile, AddressesFile, "demo-spool", lockFile, "alerting", "clickhouse", "collector",
	"collector-name", "command-key", "redis-password", "session-key", "lost+found",
}

const lockFile = "tasktrail.lock"

func checkMarker(dir string, entries []fs.DirEntry) error {
	path := filepath.Join(dir, MarkerFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		for _, e := range entries {
			if !slices.Contains(known, e.Name()) {
				return fmt.Errorf("data_dir: %s holds other things (%s): name a directory that is empty, missing, or tasktrail's", dir, e.Name())
			}
		}
		return nil
	}
	var m marker
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	switch {
	case err != nil:
		return fmt.Errorf("data_dir: %s: %w: restore it from a backup, or name another directory", path, err)
	case m.Format != dataFormat:
		return fmt.Errorf("data_dir: %s was written in format %d, this version reads %d: use the version that wrote it", dir, m.Format, dataFormat)
	}
	return nil
}

// takeDataDir makes the data directory this process's own until it ends.
func takeDataDir(dir string) (*filelock.Lock, error) {
	if err := checkDataDir(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data_dir: %w: name a directory this user may make", err)
	}
	lock, err := filelock.Try(filepath.Join(dir, lockFile))
	if errors.Is(err, filelock.ErrHeld) {
		return nil, fmt.Errorf("data_dir: %s is %w: stop that one, or name another directory", dir, err)
	}
	if err != nil {
		return nil, fmt.Errorf("data_dir: %w: name a directory this user may write", err)
	}
	path := filepath.Join(dir, MarkerFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		b, _ := json.Marshal(marker{dataFormat}) // a number: it cannot fail
		if err := os.WriteFile(path, append(b, '\n'), 0o600); err != nil {
			lock.Unlock()
			return nil, fmt.Errorf("data_dir: %w", err)
		}
	}
	return lock, nil
}

// existingParent is the nearest directory above that is there.
func existingParent(dir string) string {
	for dir, _ = filepath.Abs(dir); ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
	}
}

// listened is an address that a role listens on.
type listened struct{ key, addr string }

// listens are the addresses of a role. The embedded engine's is not among them:
// that of a process that was killed a moment ago may still hold it, and is waited
// for.
func (s *Settings) listens(role Role) (out []listened) {
	if role != RoleQuery {
		out = append(out, listened{"otlp_grpc_addr", s.OTLPGRPCAddr}, listened{"otlp_http_addr", s.OTLPHTTPAddr})
	}
	if role != RoleCollector {
		out = append(out, listened{"http_addr", s.HTTPAddr})
	}
	if role == RoleUp && s.RedisURL == "" {
		out = append(out, listened{"redis_addr", s.RedisAddr})
	}
	return out
}

// checkPort reports why an address cannot be listened on.
func checkPort(ctx context.Context, l listened) error {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", l.addr)
	if err != nil {
		why := err.Error()
		if i := strings.LastIndex(why, ": "); i >= 0 {
			why = why[i+2:]
		}
		return fmt.Errorf("%s: %s: %s: stop what listens there, or set %s to another", l.key, l.addr, why, l.key)
	}
	return ln.Close() //nolint:wrapcheck // says all there is
}

// preflight reports everything that keeps a role from starting.
func preflight(ctx context.Context, s *Settings, role Role) error {
	errs := []error{checkDataDir(s.DataDir)}
	for _, l := range s.listens(role) {
		errs = append(errs, checkPort(ctx, l))
	}
	return errors.Join(errs...)
}
