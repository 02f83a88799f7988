package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Config says which tokens are believed.
type Config struct {
	// AdminToken may do everything in every namespace. At least 16 bytes; empty
	// turns it off.
	AdminToken string
	// Keys finds API keys. Nil turns them off.
	Keys Keys
	// JWT says which JSON Web Tokens are believed. Zero turns them off.
	JWT JWTConfig
	// Client fetches the issuer's keys. Defaults to a client of its own.
	Client *http.Client
	// Now is the clock. Defaults to time.Now.
	Now func() time.Time
}

// Validate reports everything that is wrong.
func (c Config) Validate() error {
	var errs []error
	if c.AdminToken != "" && len(c.AdminToken) < 16 {
		errs = append(errs, errors.New("admin token: want at least 16 bytes"))
	}
	if strings.HasPrefix(c.AdminToken, keyPrefix) {
		errs = append(errs, fmt.Errorf("admin token: must not begin with %s, which API keys do", keyPrefix))
	}
	return errors.Join(append(errs, c.JWT.Validate())...)
}

// Authenticator tells whose a token is. It starts nothing and is safe for
// concurrent use.
type Authenticator struct {
	verifiers []verifier
}

// New makes an authenticator.
func New(cfg Config) (*Authenticator, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{Timeout: jwksTimeout}
	}
	cfg.JWT = cfg.JWT.withDefaults()
	a := &Authenticator{}
	if cfg.AdminToken != "" {
		a.verifiers = append(a.verifiers, adminVerifier{sha256.Sum256([]byte(cfg.AdminToken))})
	}
	if cfg.Keys != nil {
		a.verifiers = append(a.verifiers, keyVerifier{cfg.Keys, cfg.Now})
	}
	if cfg.JWT.enabled() {
		var keys *keySet
		if cfg.JWT.JWKSURL != "" {
			keys = &keySet{url: cfg.JWT.JWKSURL, refresh: cfg.JWT.RefreshEvery, client: cfg.Client, now: cfg.Now}
		}
		a.verifiers = append(a.verifiers, newJWTVerifier(cfg.JWT, keys, cfg.Now))
	}
	return a, nil
}

// Authenticate returns who the token speaks for. Errors are [ErrUnauthenticated]
// or [ErrUnavailable].
func (a *Authenticator) Authenticate(ctx context.Context, token string) (Principal, error) {
	if token == "" || len(token) > maxTokenLen {
		return Principal{}, ErrUnauthenticated
	}
	for _, v := range a.verifiers {
		p, mine, err := v.verify(ctx, token)
		if mine {
			return p, err
		}
	}
	return Principal{}, ErrUnauthenticated
}

// BearerToken takes the token out of an Authorization header; ok is false where
// there is none.
func BearerToken(header string) (token string, ok bool) {
	scheme, token, found := strings.Cut(header, " ")
	if !found || !strings.EqualFold(scheme, "bearer") {
		return "", false
	}
	token = strings.TrimSpace(token)
	return token, token != ""
}

// adminVerifier knows the admin token by its hash: comparing hashes takes the
// same time whatever was sent, its length included.
type adminVerifier struct{ hash [32]byte }

func (v adminVerifier) verify(_ context.Context, token string) (Principal, bool, error) {
	got := sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(got[:], v.hash[:]) != 1 {
		return Principal{}, false, nil
	}
	return Principal{ID: "admin", Namespace: AnyNamespace, Scopes: []Scope{ScopeAdmin}}, true, nil
}
