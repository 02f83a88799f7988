//go:build !unix

package alerting

import (
	"fmt"
	"os"
	"path/filepath"
)

// lockDir opens the lock's file; where there is no flock the operator keeps
// processes apart.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock: %w", err)
	}
	return f, nil
}
