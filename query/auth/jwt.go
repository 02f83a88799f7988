package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// JWTConfig says which JSON Web Tokens are believed.
type JWTConfig struct {
	// Secret is the shared secret of HS256, HS384 and HS512, at least 32 bytes.
	// Empty turns those off.
	Secret string
	// JWKSURL is where the issuer publishes its public keys, for RS*, PS*, ES* and
	// EdDSA. Empty turns those off.
	JWKSURL string
	// Issuer is the iss a token must have. Needed where JWTs are on.
	Issuer string
	// Audience is the aud a token must have. Needed where JWTs are on.
	Audience string
	// Leeway forgives this much difference between the clocks. Defaults to 30 s.
	Leeway time.Duration
	// RefreshEvery is how often the keys of JWKSURL are fetched again; an unknown
	// key id fetches them at once, at most every 10 s. Defaults to 15 min.
	RefreshEvery time.Duration
}

func (c JWTConfig) withDefaults() JWTConfig {
	if c.Leeway == 0 {
		c.Leeway = 30 * time.Second
	}
	if c.RefreshEvery == 0 {
		c.RefreshEvery = 15 * time.Minute
	}
	return c
}

func (c JWTConfig) enabled() bool { return c.Secret != "" || c.JWKSURL != "" }

// Validate reports everything that is wrong.
func (c JWTConfig) Validate() error {
	if !c.enabled() {
		return nil
	}
	var errs []error
	if c.Secret != "" && len(c.Secret) < 32 {
		errs = append(errs, errors.New("jwt secret: want at least 32 bytes"))
	}
	if c.JWKSURL != "" && !strings.HasPrefix(c.JWKSURL, "https://") && !strings.HasPrefix(c.JWKSURL, "http://") {
		errs = append(errs, fmt.Errorf("jwks url %.80q: want http:// or https://", c.JWKSURL))
	}
	if c.Issuer == "" {
		errs = append(errs, errors.New("jwt issuer: must be set where JWTs are on"))
	}
	if c.Audience == "" {
		errs = append(errs, errors.New("jwt audience: must be set where JWTs are on"))
	}
	if c.Leeway < 0 || c.Leeway > 5*time.Minute {
		errs = append(errs, errors.New("jwt leeway: want 0 to 5 min"))
	}
	return errors.Join(errs...)
}

// claims are those a token of ours may carry.
type claims struct {
	jwt.RegisteredClaims
	Scope     scopeClaim `json:"scope"`
	Namespace string     `json:"namespace"`
	Queues    []string   `json:"queues"`
}

// scopeClaim is a string of scopes with spaces between (RFC 8693) or a list.
type scopeClaim []string

func (s *scopeClaim) UnmarshalJSON(b []byte) error {
	var list []string
	if err := jsonStrings(b, &list); err != nil {
		return fmt.Errorf("scope: %w", err)
	}
	*s = list
	return nil
}

// jwtVerifier checks JWTs.
type jwtVerifier struct {
	cfg    JWTConfig
	parser *jwt.Parser
	keys   *keySet // nil without a JWKS URL
}

var (
	hmacAlgs       = []string{"HS256", "HS384", "HS512"}
	asymmetricAlgs = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)

func newJWTVerifier(cfg JWTConfig, keys *keySet, now func() time.Time) *jwtVerifier {
	var algs []string
	if cfg.Secret != "" {
		algs = append(algs, hmacAlgs...)
	}
	if keys != nil {
		algs = append(algs, asymmetricAlgs...)
	}
	return &jwtVerifier{cfg: cfg, keys: keys, parser: jwt.NewParser(
		jwt.WithValidMethods(algs), jwt.WithIssuer(cfg.Issuer), jwt.WithAudience(cfg.Audience),
		jwt.WithExpirationRequired(), jwt.WithLeeway(cfg.Leeway), jwt.WithTimeFunc(now),
	)}
}

func (v *jwtVerifier) verify(ctx context.Context, token string) (Principal, bool, error) {
	if strings.Count(token, ".") != 2 {
		return Principal{}, false, nil
	}
	var c claims
	_, err := v.parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		// The family of the algorithm chooses the key: a public key is never used as
		// a shared secret.
		if _, shared := t.Method.(*jwt.SigningMethodHMAC); shared {
			return []byte(v.cfg.Secret), nil
		}
		return v.keys.key(ctx, t)
	})
	if err != nil {
		if errors.Is(err, ErrUnavailable) {
			return Principal{}, true, err
		}
		return Principal{}, true, ErrUnauthenticated
	}
	p, err := c.principal()
	if err != nil {
		return Principal{}, true, fmt.Errorf("%w: %w", ErrUnauthenticated, err)
	}
	return p, true, nil
}

func (c *claims) principal() (Principal, error) {
	p := Principal{ID: "jwt:" + c.Subject, Namespace: c.Namespace, UserID: c.Subject, Queues: c.Queues}
	if p.Namespace == "" {
		p.Namespace = "default"
	}
	for _, s := range []string{p.Namespace, p.UserID} {
		if len(s) > 255 || !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
			return Principal{}, errors.New("sub and namespace: want at most 255 bytes of UTF-8 without NUL")
		}
	}
	for _, s := range c.Scope {
		// A token of an identity provider carries scopes of others too.
		if sc, err := ParseScope(s); err == nil {
			p.Scopes = append(p.Scopes, sc)
		}
	}
	if p.Namespace == AnyNamespace && !p.Has(ScopeAdmin) {
		return Principal{}, errors.New("namespace: * is for admins")
	}
	if c.ExpiresAt != nil {
		p.ExpiresAt = c.ExpiresAt.Time
	}
	return p, nil
}
