package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// ErrUnknownKey says that there is no key of that id.
var ErrUnknownKey = errors.New("no such key")

// Keys finds API keys by id. It is safe for concurrent use.
type Keys interface {
	// Key returns the record of a key, revoked and expired ones included, or
	// [ErrUnknownKey].
	Key(ctx context.Context, id string) (Key, error)
}

// Key is the record of an API key. It does not hold the secret.
type Key struct {
	ID string `json:"id"`
	// Hash is the SHA-256 of the secret, hexadecimal. The secret has 256 random
	// bits, so that a slow hash would protect nothing more.
	Hash string `json:"hash"`
	// Name says what the key is for.
	Name      string    `json:"name,omitempty"`
	Namespace string    `json:"namespace"`
	UserID    string    `json:"user_id,omitempty"`
	Scopes    []Scope   `json:"scopes"`
	Queues    []string  `json:"queues,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
}

// Principal returns who the key speaks for.
func (k Key) Principal() Principal {
	return Principal{ID: "key:" + k.ID, Namespace: k.Namespace, UserID: k.UserID, Scopes: k.Scopes, Queues: k.Queues, ExpiresAt: k.ExpiresAt}
}

// KeySpec is what a new key shall be.
type KeySpec struct {
	// Name says what the key is for, at most 255 bytes.
	Name string
	// Namespace the key is bound to, or [AnyNamespace]. Defaults to default.
	Namespace string
	// UserID restricts the key to one user's tasks unless it has read:all.
	UserID string
	// Scopes of the key, at least one.
	Scopes []Scope
	// Queues bound which commands an agent's key may take; empty for all.
	Queues []string
	// ExpiresAt ends the key; zero for never.
	ExpiresAt time.Time
}

// Validate reports everything that is wrong with the specification.
func (s KeySpec) Validate() error {
	var errs []error
	if len(s.Scopes) == 0 {
		errs = append(errs, errors.New("scopes: want at least one"))
	}
	for _, sc := range s.Scopes {
		if _, err := ParseScope(string(sc)); err != nil {
			errs = append(errs, err)
		}
	}
	for _, f := range [...]struct{ name, value string }{{"name", s.Name}, {"namespace", s.Namespace}, {"user_id", s.UserID}} {
		if len(f.value) > 255 || !utf8.ValidString(f.value) || strings.IndexByte(f.value, 0) >= 0 {
			errs = append(errs, fmt.Errorf("%s: want at most 255 bytes of UTF-8 without NUL", f.name))
		}
	}
	p := Principal{UserID: s.UserID, Scopes: s.Scopes}
	if p.Has(ScopeRead) && !p.MayRead() {
		errs = append(errs, errors.New("scopes: read without a user sees nothing; give a user or read:all"))
	}
	return errors.Join(errs...)
}

const (
	keyPrefix   = "tt_"
	keyIDLen    = 16 // characters: 10 random bytes
	keySecret   = 52 // characters: 32 random bytes
	maxTokenLen = 8 << 10
)

var keyEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// NewKey makes a key from its specification and returns the token, which is
// shown once and stored nowhere.
func NewKey(spec KeySpec, now time.Time) (Key, string, error) {
	if err := spec.Validate(); err != nil {
		return Key{}, "", fmt.Errorf("new key: %w", err)
	}
	var raw [10 + 32]byte
	_, _ = rand.Read(raw[:]) // never fails: crypto/rand aborts the process instead
	id, secret := keyEncoding.EncodeToString(raw[:10]), keyEncoding.EncodeToString(raw[10:])
	if spec.Namespace == "" {
		spec.Namespace = "default"
	}
	return Key{
		ID: id, Hash: hashSecret(secret), Name: spec.Name, Namespace: spec.Namespace, UserID: spec.UserID,
		Scopes: spec.Scopes, Queues: spec.Queues, CreatedAt: now.UTC(), ExpiresAt: spec.ExpiresAt,
	}, keyPrefix + id + "_" + secret, nil
}

func hashSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// splitKey takes a token apart; ok is false where it is no API key.
func splitKey(token string) (id, secret string, ok bool) {
	rest, ok := strings.CutPrefix(token, keyPrefix)
	if !ok {
		return "", "", false
	}
	id, secret, ok = strings.Cut(rest, "_")
	return id, secret, ok && len(id) == keyIDLen && len(secret) == keySecret
}

// keyVerifier checks API keys.
type keyVerifier struct {
	keys Keys
	now  func() time.Time
}

func (v keyVerifier) verify(ctx context.Context, token string) (Principal, bool, error) {
	if !strings.HasPrefix(token, keyPrefix) {
		return Principal{}, false, nil
	}
	id, secret, ok := splitKey(token)
	if !ok {
		return Principal{}, true, ErrUnauthenticated
	}
	k, err := v.keys.Key(ctx, id)
	if err != nil && !errors.Is(err, ErrUnknownKey) {
		return Principal{}, true, fmt.Errorf("%w: key %s: %w", ErrUnavailable, id, err)
	}
	// An unknown id is compared too, so that it takes as long as a wrong secret.
	want := k.Hash
	if want == "" {
		want = hashSecret("")
	}
	same := subtle.ConstantTimeCompare([]byte(hashSecret(secret)), []byte(want)) == 1
	if !same || err != nil || !k.RevokedAt.IsZero() {
		return Principal{}, true, ErrUnauthenticated
	}
	p := k.Principal()
	if p.expired(v.now()) {
		return Principal{}, true, ErrUnauthenticated
	}
	return p, true, nil
}
