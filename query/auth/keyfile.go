package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/internal/filelock"
)

// MaxKeys bounds how many keys a file holds.
const MaxKeys = 100_000

// recheckEvery is how often a reader looks whether another process changed the
// file: how long a revoked key may still be taken.
const recheckEvery = time.Second

// KeyFile keeps API keys in one JSON file that only its owner may read. Changes
// replace the file as a whole, under a lock that other processes respect, and a
// reader in another process sees them within a second. It is safe for concurrent
// use.
type KeyFile struct {
	path string
	now  func() time.Time

	mu      sync.Mutex
	byID    map[string]Key
	stamp   fileStamp
	checked time.Time
}

type fileStamp struct {
	modified time.Time
	size     int64
	exists   bool
}

type keyFileContent struct {
	Version int   `json:"version"`
	Keys    []Key `json:"keys"`
}

// OpenKeyFile opens the file of that path; a missing one holds no key and is made
// by the first [KeyFile.Create]. A file that cannot be read is an error.
func OpenKeyFile(path string) (*KeyFile, error) {
	f := &KeyFile{path: path, now: time.Now}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.reload(true); err != nil {
		return nil, err
	}
	return f, nil
}

// Key implements [Keys].
func (f *KeyFile) Key(_ context.Context, id string) (Key, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.reload(false); err != nil {
		return Key{}, err
	}
	k, ok := f.byID[id]
	if !ok {
		return Key{}, ErrUnknownKey
	}
	return k, nil
}

// List returns every key, revoked ones included, by creation.
func (f *KeyFile) List(context.Context) ([]Key, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.reload(true); err != nil {
		return nil, err
	}
	return f.sorted(), nil
}

func (f *KeyFile) sorted() []Key {
	keys := make([]Key, 0, len(f.byID))
	for _, k := range f.byID {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b Key) int {
		if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
			return c
		}
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return keys
}

// Create makes a key and returns it with its token, which cannot be had again.
func (f *KeyFile) Create(_ context.Context, spec KeySpec) (Key, string, error) {
	k, token, err := NewKey(spec, f.now())
	if err != nil {
		return Key{}, "", err
	}
	err = f.change(func() error {
		if len(f.byID) >= MaxKeys {
			return fmt.Errorf("there are %d keys, the limit", len(f.byID))
		}
		f.byID[k.ID] = k
		return nil
	})
	if err != nil {
		return Key{}, "", fmt.Errorf("create key: %w", err)
	}
	return k, token, nil
}

// Revoke ends a key for ever. Revoking it twice is no error; an unknown id is
// [ErrUnknownKey].
func (f *KeyFile) Revoke(_ context.Context, id string) error {
	err := f.change(func() error {
		k, ok := f.byID[id]
		if !ok {
			return ErrUnknownKey
		}
		if k.RevokedAt.IsZero() {
			k.RevokedAt = f.now().UTC()
			f.byID[id] = k
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("revoke key %.40q: %w", id, err)
	}
	return nil
}

// change reads the newest file, applies fn and replaces the file.
func (f *KeyFile) change(fn func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return fmt.Errorf("make the directory of the keys: %w", err)
	}
	lock, err := filelock.Wait(f.path + ".lock")
	if err != nil {
		return fmt.Errorf("lock the keys: %w", err)
	}
	defer lock.Unlock()
	if err := f.reload(true); err != nil {
		return err
	}
	if err := fn(); err != nil {
		return err
	}
	if err := f.replace(); err != nil {
		// What is on disk decides: forget the change.
		f.stamp = fileStamp{}
		return errors.Join(err, f.reload(true))
	}
	return nil
}

func (f *KeyFile) replace() error {
	b, err := json.MarshalIndent(keyFileContent{Version: 1, Keys: f.sorted()}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the keys: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(f.path), ".keys-*") // made with mode 0600
	if err != nil {
		return fmt.Errorf("write the keys: %w", err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.Write(append(b, '\n'))
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), f.path)
	}
	if err != nil {
		return fmt.Errorf("write the keys: %w", err)
	}
	if dir, err := os.Open(filepath.Dir(f.path)); err == nil {
		_ = dir.Sync()
		_ = dir.Close()
	}
	f.stamp, err = f.stat()
	return err
}

func (f *KeyFile) stat() (fileStamp, error) {
	info, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return fileStamp{}, nil
	}
	if err != nil {
		return fileStamp{}, fmt.Errorf("look at the keys: %w", err)
	}
	return fileStamp{modified: info.ModTime(), size: info.Size(), exists: true}, nil
}

// reload reads the file again where it changed. Callers hold mu. Unless forced
// it looks at most once in recheckEvery.
func (f *KeyFile) reload(force bool) error {
	now := f.now()
	if since := now.Sub(f.checked); !force && f.byID != nil && since >= 0 && since < recheckEvery {
		return nil
	}
	f.checked = now
	stamp, err := f.stat()
	if err != nil {
		return err
	}
	if f.byID != nil && stamp == f.stamp && !force {
		return nil
	}
	byID := map[string]Key{}
	if stamp.exists {
		b, err := os.ReadFile(f.path)
		if err != nil {
			return fmt.Errorf("read the keys: %w", err)
		}
		var content keyFileContent
		if err := json.Unmarshal(b, &content); err != nil {
			return fmt.Errorf("read the keys: %s: %w", f.path, err)
		}
		if content.Version != 1 {
			return fmt.Errorf("read the keys: %s has version %d, want 1", f.path, content.Version)
		}
		for _, k := range content.Keys {
			byID[k.ID] = k
		}
	}
	f.byID, f.stamp = byID, stamp
	return nil
}
