package collector

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/tasktrail/tasktrail/internal/spool"
)

// spoiled counts, over restarts, the frames that the disk spoiled before their sink
// had them: they were acknowledged, so that nobody sends them again.
type spoiled struct {
	path string

	mu  sync.Mutex
	now spoiledFrames
}

// spoiledFrames is what the file holds.
type spoiledFrames struct {
	LogID string `json:"log_id"`
	// At is up to where damage is counted: what is read again is not counted again.
	At     spool.Position `json:"at"`
	Frames uint64         `json:"frames"`
}

func openSpoiled(path, logID string, logger *slog.Logger) (*spoiled, error) {
	s := &spoiled{path: path, now: spoiledFrames{LogID: logID}}
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what was spoiled: %w", err)
	}
	var was spoiledFrames
	if err := json.Unmarshal(b, &was); err != nil {
		// The disk may spoil this too, and that is no reason to take nothing in.
		logger.Error("the count of spoiled frames is damaged and begins anew", "file", path, "error", err)
	}
	if was.LogID == logID {
		s.now = was
	}
	return s, nil
}

// note counts damage that a batch ran into. It is on the disk before the cursor moves.
func (s *spoiled) note(damage []spool.Damage) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.now
	for _, d := range damage {
		if d.From >= next.At {
			next.At, next.Frames = d.To, next.Frames+d.Missing()
		}
	}
	if next == s.now {
		return nil
	}
	b, err := json.Marshal(next)
	if err == nil {
		err = writeDurably(s.path, b)
	}
	s.now = next
	if err != nil {
		return fmt.Errorf("write what was spoiled: %w", err)
	}
	return nil
}

func (s *spoiled) frames() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now.Frames
}
