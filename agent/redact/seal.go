package redact

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Errors of a Sealer.
var (
	// ErrNoKey: no key with the sealed payload's id is at hand.
	ErrNoKey = errors.New("no key to open the sealed payload")
	// ErrSealBroken: the payload was changed, or belongs to another task or run.
	ErrSealBroken = errors.New("sealed payload does not belong here or was changed")
)

const (
	// sealVersion is the first byte of a sealed payload. Behind it stand the length
	// of the key's id, the id, the nonce, the ciphertext and its tag.
	sealVersion = 1
	maxKeyID    = 32
)

// Key is a 256-bit secret with a name.
type Key struct {
	// ID names the key on what it sealed, 1 to 32 bytes; it is not secret.
	ID     string
	Secret [32]byte
}

// String gives the id alone, so that no log shows the secret.
func (k Key) String() string { return "key " + k.ID }

// GoString is [Key.String].
func (k Key) GoString() string { return k.String() }

// ParseKeys reads keys from text such as "2026b:BASE64,2026a:BASE64", each secret
// 32 bytes in standard or URL base64: the first seals, all of them open. Its
// errors never quote a secret.
func ParseKeys(s string) ([]Key, error) {
	var keys []Key
	for i, text := range strings.Split(s, ",") {
		id, secret, ok := strings.Cut(strings.TrimSpace(text), ":")
		if !ok {
			return nil, fmt.Errorf("sealing key %d: want id:base64", i+1)
		}
		secret = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(secret), "=")
		b, err := base64.RawStdEncoding.DecodeString(secret)
		k := Key{ID: id}
		if err != nil || len(b) != len(k.Secret) {
			return nil, fmt.Errorf("sealing key %d: want a secret of 32 bytes in base64", i+1)
		}
		copy(k.Secret[:], b)
		keys = append(keys, k)
	}
	return keys, nil
}

// Sealer encrypts payloads with AES-256-GCM, bound to the task and run they
// belong to. It is safe for concurrent use. Nonces are random: a key should be
// replaced before it sealed 2^32 payloads.
type Sealer struct {
	first string
	byID  map[string]cipher.AEAD
}

// NewSealer returns a sealer: the first key seals, all of them open, so that a
// key is replaced by putting the new one in front.
func NewSealer(keys ...Key) (*Sealer, error) {
	if len(keys) == 0 {
		return nil, errors.New("sealing: want at least one key")
	}
	s := &Sealer{first: keys[0].ID, byID: make(map[string]cipher.AEAD, len(keys))}
	var faults []error
	for i, k := range keys {
		if k.ID == "" || len(k.ID) > maxKeyID {
			faults = append(faults, fmt.Errorf("sealing key %d: want an id of 1 to %d bytes", i+1, maxKeyID))
		}
		if k.Secret == [32]byte{} {
			faults = append(faults, fmt.Errorf("sealing key %d: the secret is empty", i+1))
		}
		if s.byID[k.ID] != nil {
			faults = append(faults, fmt.Errorf("sealing key %d: the id %q is there twice", i+1, k.ID))
		}
		block, err := aes.NewCipher(k.Secret[:])
		if err != nil {
			return nil, fmt.Errorf("sealing key %d: %w", i+1, err)
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, fmt.Errorf("sealing key %d: %w", i+1, err)
		}
		s.byID[k.ID] = aead
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return s, nil
}

// Seal encrypts payload for one run of one task.
func (s *Sealer) Seal(namespace, taskID string, run int, payload []byte) ([]byte, error) {
	aead := s.byID[s.first]
	header := make([]byte, 0, 2+len(s.first)+len(payload)+aead.Overhead())
	header = append(header, sealVersion, byte(len(s.first)))
	header = append(header, s.first...)
	return aead.Seal(header, nil, payload, bindTo(header, namespace, taskID, run)), nil
}

// Open decrypts what Seal made for the same run of the same task. It fails with
// ErrNoKey or ErrSealBroken.
func (s *Sealer) Open(namespace, taskID string, run int, sealed []byte) ([]byte, error) {
	if len(sealed) < 2 || sealed[0] != sealVersion || len(sealed) < 2+int(sealed[1]) {
		return nil, fmt.Errorf("open sealed payload: %w", ErrSealBroken)
	}
	header := sealed[:2+int(sealed[1])]
	aead := s.byID[string(header[2:])]
	if aead == nil {
		return nil, fmt.Errorf("open sealed payload of key %.32q: %w", header[2:], ErrNoKey)
	}
	payload, err := aead.Open(nil, nil, sealed[len(header):], bindTo(header, namespace, taskID, run))
	if err != nil {
		return nil, fmt.Errorf("open sealed payload of task %q run %d: %w", taskID, run, ErrSealBroken)
	}
	return payload, nil
}

// bindTo returns the additional data: everything a sealed payload must not be
// moved between, each part with its length before it.
func bindTo(header []byte, namespace, taskID string, run int) []byte {
	var aad []byte
	for _, part := range [...]string{"tasktrail sealed input", string(header), namespace, taskID} {
		aad = binary.AppendUvarint(aad, uint64(len(part)))
		aad = append(aad, part...)
	}
	return binary.AppendVarint(aad, int64(run))
}
