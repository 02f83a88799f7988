package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

const (
	maxJWKSBytes = 1 << 20
	// unknownKeyEvery is how often an unknown key id may cause a fetch, so that
	// forged tokens do not become requests to the issuer.
	unknownKeyEvery = 10 * time.Second
	jwksTimeout     = 5 * time.Second
)

// keySet is an issuer's published keys: fetched when first needed, kept, fetched
// again when they are old or a token names an unknown one. While the issuer does
// not answer the keys that are known serve on. It starts no goroutine.
type keySet struct {
	url     string
	refresh time.Duration
	client  *http.Client
	now     func() time.Time

	// fetching is held by the one caller that fetches.
	fetching sync.Mutex

	mu      sync.Mutex
	keys    keyfunc.Keyfunc // nil until the first fetch succeeded
	edition int             // counts the fetches that succeeded
	fetched time.Time       // when keys were fetched
	tried   time.Time       // when a fetch was last tried
}

// key returns the key that verifies the token.
func (s *keySet) key(ctx context.Context, t *jwt.Token) (any, error) {
	keys, edition, err := s.current(ctx, false)
	if err != nil {
		return nil, err
	}
	k, err := keys.KeyfuncCtx(ctx)(t)
	if err == nil {
		return k, nil
	}
	again, newer, fetchErr := s.current(ctx, true)
	if fetchErr != nil || newer == edition {
		return nil, err
	}
	return again.KeyfuncCtx(ctx)(t)
}

// current returns the keys and their edition, fetched anew where they are old, or
// where unknown says that they lack one. One caller fetches; the others go on with
// the keys there are, and wait only where there are none.
func (s *keySet) current(ctx context.Context, unknown bool) (keyfunc.Keyfunc, int, error) {
	s.mu.Lock()
	keys, edition, due := s.keys, s.edition, s.due(unknown)
	s.mu.Unlock()
	if !due {
		return known(keys, edition)
	}
	if keys != nil {
		if !s.fetching.TryLock() {
			return keys, edition, nil
		}
	} else {
		s.fetching.Lock()
	}
	defer s.fetching.Unlock()
	s.mu.Lock()
	if !s.due(unknown) {
		// Another caller has just fetched.
		defer s.mu.Unlock()
		return known(s.keys, s.edition)
	}
	s.tried = s.now()
	s.mu.Unlock()
	fresh, err := s.fetch(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.keys, s.fetched = fresh, s.now()
		s.edition++
	} else if s.keys == nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return s.keys, s.edition, nil
}

// due reports whether to fetch. Callers hold mu.
func (s *keySet) due(unknown bool) bool {
	now := s.now()
	wanted := s.keys == nil || unknown || now.Sub(s.fetched) >= s.refresh
	return wanted && (s.tried.IsZero() || now.Sub(s.tried) >= unknownKeyEvery)
}

func known(keys keyfunc.Keyfunc, edition int) (keyfunc.Keyfunc, int, error) {
	if keys == nil {
		return nil, 0, fmt.Errorf("%w: the issuer's keys could not be fetched", ErrUnavailable)
	}
	return keys, edition, nil
}

func (s *keySet) fetch(ctx context.Context) (keyfunc.Keyfunc, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, jwksTimeout, errors.New("the issuer's keys took too long"))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("fetch the issuer's keys: %w", err)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetch the issuer's keys: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch the issuer's keys: status %d", resp.StatusCode)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxJWKSBytes))
	if err != nil {
		return nil, fmt.Errorf("fetch the issuer's keys: %w", err)
	}
	keys, err := keyfunc.NewJWKSetJSON(json.RawMessage(b))
	if err != nil {
		return nil, fmt.Errorf("read the issuer's keys: %w", err)
	}
	return keys, nil
}

// jsonStrings reads a JSON string of words with spaces between, or a list of
// strings.
func jsonStrings(b []byte, into *[]string) error {
	var one string
	if err := json.Unmarshal(b, &one); err == nil {
		*into = strings.Fields(one)
		return nil
	}
	return json.Unmarshal(b, into)
}
