package app

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// secretFile reads the secret kept in a file of the data directory, and makes
// one on the first start: 32 random bytes after the prefix, mode 0600. The
// second result is true where it was made by this call.
func secretFile(dir, name, prefix string) (string, bool, error) {
	path := filepath.Join(dir, name)
	b, err := os.ReadFile(path)
	if err == nil {
		if s := strings.TrimSpace(string(b)); s != "" {
			return s, false, nil
		}
		return "", false, fmt.Errorf("%s is empty: remove it, and a new secret is made", path)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", false, fmt.Errorf("read a secret: %w", err)
	}
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails: crypto/rand aborts the process instead
	secret := prefix + base64.RawURLEncoding.EncodeToString(raw[:])
	// O_EXCL: of two processes that start at once, one makes it and the other
	// reads it.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return secretFile(dir, name, prefix)
	}
	if err != nil {
		return "", false, fmt.Errorf("write a secret: %w", err)
	}
	defer f.Close()
	if _, err := f.WriteString(secret + "\n"); err != nil {
		return "", false, fmt.Errorf("write a secret: %w", err)
	}
	return secret, true, f.Sync()
}
