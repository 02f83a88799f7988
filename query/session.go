package query

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/tasktrail/tasktrail/query/auth"
)

// maxSessionToken bounds the token a cookie can hold: browsers drop cookies past
// 4 096 bytes.
const maxSessionToken = 2_800

// sessions seals a token into a browser's cookie, so that a script on the page
// cannot read it. The token is checked anew with every request: revoking it ends
// the session. Nothing is kept here, so that every replica with the same key
// knows every session.
type sessions struct {
	aead   cipher.AEAD
	ttl    time.Duration
	secure bool
	now    func() time.Time
}

func newSessions(key []byte, ttl time.Duration, secure bool, now func() time.Time) (*sessions, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("session cipher: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("session cipher: %w", err)
	}
	return &sessions{aead, ttl, secure, now}, nil
}

// cookieName binds the cookie to this host where the browser holds us to it,
// which it does for Secure ones alone.
func (s *sessions) cookieName() string {
	if s.secure {
		return "__Host-tasktrail_session"
	}
	return "tasktrail_session"
}

func (s *sessions) seal(token string, until time.Time) string {
	nonce := make([]byte, s.aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails: crypto/rand aborts the process instead
	plain := binary.BigEndian.AppendUint64(nil, uint64(until.Unix()))
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nonce, nonce, append(plain, token...), nil))
}

func (s *sessions) open(cookie string) (token string, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(cookie)
	if err != nil || len(b) < s.aead.NonceSize() {
		return "", false
	}
	plain, err := s.aead.Open(nil, b[:s.aead.NonceSize()], b[s.aead.NonceSize():], nil)
	if err != nil || len(plain) < 8 {
		return "", false
	}
	if !s.now().Before(time.Unix(int64(binary.BigEndian.Uint64(plain)), 0)) {
		return "", false
	}
	return string(plain[8:]), true
}

func (s *sessions) cookie(value string, age time.Duration) *fiber.Cookie {
	c := &fiber.Cookie{
		Name: s.cookieName(), Value: value, Path: "/", HTTPOnly: true, Secure: s.secure,
		SameSite: fiber.CookieSameSiteStrictMode, MaxAge: int(age.Seconds()),
	}
	if age <= 0 {
		c.Expires = time.Unix(1, 0)
	}
	return c
}

type whoami struct {
	ID        string       `json:"id"`
	Namespace string       `json:"namespace"`
	UserID    string       `json:"user_id,omitempty"`
	Scopes    []auth.Scope `json:"scopes"`
	ExpiresAt time.Time    `json:"expires_at,omitzero"`
}

func whoamiOf(p auth.Principal) whoami {
	w := whoami{ID: p.ID, Namespace: p.Namespace, UserID: p.UserID, Scopes: p.Scopes, ExpiresAt: p.ExpiresAt}
	if w.Scopes == nil {
		w.Scopes = []auth.Scope{}
	}
	return w
}

func (s *Server) getWhoami(r *request) error { return r.answer(fiber.StatusOK, whoamiOf(r.principal)) }

// postSession puts the token of the Authorization header into a cookie.
func (s *Server) postSession(r *request) error {
	token, ok := auth.BearerToken(r.c.Get(fiber.HeaderAuthorization))
	if !ok {
		return fail(codeForbidden, "a session begins with a token in the Authorization header")
	}
	// Another site must not be able to log a browser in under a name of its choice.
	if site := r.c.Get("Sec-Fetch-Site"); site != "" {
		if err := sameSite(r.c); err != nil {
			return err
		}
	}
	if len(r.c.BodyRaw()) > 0 {
		return &failure{code: codeInvalidBody, detail: "the token stands in the Authorization header; there is no body"}
	}
	if len(token) > maxSessionToken {
		return &failure{code: codeInvalidParameter, field: "Authorization", detail: fmt.Sprintf("a token of %d bytes does not fit into a cookie, the limit is %d", len(token), maxSessionToken)}
	}
	now := s.now()
	until := now.Add(s.cfg.SessionTTL)
	if e := r.principal.ExpiresAt; !e.IsZero() && e.Before(until) {
		until = e
	}
	r.c.Cookie(s.sessions.cookie(s.sessions.seal(token, until), until.Sub(now)))
	w := whoamiOf(r.principal)
	w.ExpiresAt = until.UTC().Truncate(time.Second)
	return r.answer(fiber.StatusCreated, w)
}

func (s *Server) deleteSession(r *request) error {
	r.c.Cookie(s.sessions.cookie("", 0))
	return r.c.SendStatus(fiber.StatusNoContent)
}
