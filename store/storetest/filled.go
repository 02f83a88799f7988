package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// filledFile says in a data directory what it was filled with.
const filledFile = "filled.json"

// filled is the file's form.
type filled struct {
	Events   int       `json:"events"`
	LastHour int       `json:"last_hour_tasks"`
	Days     int       `json:"days"`
	Now      time.Time `json:"now"`
}

// ReadFilling returns what a data directory was filled with, and whether it was
// at all; `make fill` does it.
func ReadFilling(dir string) (f Filling, found bool, err error) {
	b, err := os.ReadFile(filepath.Join(dir, filledFile))
	if errors.Is(err, fs.ErrNotExist) {
		return f, false, nil
	}
	var as filled
	if err == nil {
		err = json.Unmarshal(b, &as)
	}
	if err != nil {
		return f, false, fmt.Errorf("read what the directory was filled with: %w", err)
	}
	return Filling{Events: as.Events, LastHour: as.LastHour, Days: as.Days, Now: as.Now}, true, nil
}

// WriteTo notes the filling in a data directory.
func (f Filling) WriteTo(dir string) error {
	f = f.withDefaults()
	b, err := json.Marshal(filled{f.Events, f.LastHour, f.Days, f.Now})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, filledFile), append(b, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("note what the directory was filled with: %w", err)
	}
	return nil
}
