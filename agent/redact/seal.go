package redact

import "errors"

// Errors of a Sealer.
var (
	// ErrNoKey: no key with the sealed payload's id is at hand.
	ErrNoKey = errors.New("no key to open the sealed payload")
	// ErrSealBroken: the payload was changed, or belongs to another task or run.
	ErrSealBroken = errors.New("sealed payload does not belong here or was changed")
)

// Key is a 256-bit secret with a name.
type Key struct {
	// ID names the key on what it sealed, 1 to 32 bytes; it is not secret.
	ID     string
	Secret [32]byte
}

// ParseKeys reads keys from text such as "2026b:BASE64,2026a:BASE64": the first
// seals, all of them open.
func ParseKeys(s string) ([]Key, error) { return nil, nil }

// Sealer encrypts payloads with AES-256-GCM, bound to the task and run they
// belong to. It is safe for concurrent use.
type Sealer struct{}

// NewSealer returns a sealer: the first key seals, all of them open, so that a
// key is replaced by putting the new one in front.
func NewSealer(keys ...Key) (*Sealer, error) { return &Sealer{}, nil }

// Seal encrypts payload for one run of one task.
func (s *Sealer) Seal(namespace, taskID string, run int, payload []byte) ([]byte, error) {
	return nil, nil
}

// Open decrypts what Seal made for the same run of the same task. It fails with
// ErrNoKey or ErrSealBroken.
func (s *Sealer) Open(namespace, taskID string, run int, sealed []byte) ([]byte, error) {
	return nil, nil
}
