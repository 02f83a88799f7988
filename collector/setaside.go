package collector

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/timeline/wire"
)

// SetAside describes a frame that a sink will never take. It stands as JSON
// beside a file with the request itself, an OTLP ExportLogsServiceRequest in
// protobuf that can be read, mended and sent again.
type SetAside struct {
	Sink       string    `json:"sink"`
	Token      string    `json:"token"`
	Error      string    `json:"error"`
	At         time.Time `json:"at"`
	Namespace  string    `json:"namespace"`
	IngestedAt time.Time `json:"ingested_at"`
	Records    int       `json:"records"`
	// File is the name of the request's file in the same directory.
	File string `json:"file"`
}

// aside is the directory of one sink's set-aside frames.
type aside struct {
	dir   string
	max   int64
	mu    sync.Mutex
	bytes int64
	// made says that the directory is there.
	made bool
}

var errAsideFull = errors.New("the directory of set-aside frames is full: look at it and empty it")

func openAside(dir string, limit int64) (*aside, error) {
	a := &aside{dir: dir, max: limit}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return a, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read set-aside frames: %w", err)
	}
	a.made = true
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			a.bytes += info.Size()
		}
	}
	return a, nil
}

// put writes one frame, to the disk before it returns. Putting the same range
// again replaces the files.
func (a *aside) put(name string, frame []byte, entry SetAside) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.bytes+int64(len(frame)) > a.max {
		return errAsideFull
	}
	if !a.made {
		if err := os.MkdirAll(a.dir, 0o700); err != nil {
			return fmt.Errorf("set frame aside: %w", err)
		}
		a.made = true
	}
	request := frame
	if env, inner, err := wire.DecodeFrame(frame); err == nil {
		request, entry.Namespace, entry.IngestedAt = inner, env.Namespace, env.IngestedAt
	}
	entry.File = name + ".pb"
	about, err := json.MarshalIndent(entry, "", "  ")
	if err != nil {
		return fmt.Errorf("set frame aside: %w", err)
	}
	if err := writeDurably(filepath.Join(a.dir, entry.File), request); err != nil {
		return fmt.Errorf("set frame aside: %w", err)
	}
	if err := writeDurably(filepath.Join(a.dir, name+".json"), append(about, '\n')); err != nil {
		return fmt.Errorf("set frame aside: %w", err)
	}
	a.bytes += int64(len(request) + len(about))
	return nil
}

// writeDurably replaces a file and returns when that is on the disk.
func writeDurably(path string, data []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
