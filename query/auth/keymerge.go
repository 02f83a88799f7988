package auth

import "fmt"

// Merge takes over what others know of keys: those that are not known here, and
// that one was revoked. A key never changes otherwise, and one that was revoked
// stays so. It returns how many records changed.
func (f *KeyFile) Merge(keys []Key) (changed int, err error) {
	if !f.news(keys) {
		return 0, nil // nothing to lock and to write
	}
	err = f.change(func() error {
		for _, k := range keys {
			have, known := f.byID[k.ID]
			switch {
			case !known && len(f.byID) >= MaxKeys:
				return fmt.Errorf("there are %d keys, the limit", len(f.byID))
			case !known:
				f.byID[k.ID] = k
				changed++
			case have.RevokedAt.IsZero() && !k.RevokedAt.IsZero():
				have.RevokedAt = k.RevokedAt
				f.byID[k.ID] = have
				changed++
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("merge keys: %w", err)
	}
	return changed, nil
}

// news reports whether any of the keys tells what is not known.
func (f *KeyFile) news(keys []Key) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range keys {
		if have, known := f.byID[k.ID]; !known || have.RevokedAt.IsZero() && !k.RevokedAt.IsZero() {
			return true
		}
	}
	return false
}
