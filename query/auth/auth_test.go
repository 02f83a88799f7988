package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var at = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

const secret = "0123456789abcdef0123456789abcdef"

func TestScopes(t *testing.T) {
	p := func(user string, scopes ...Scope) Principal { return Principal{UserID: user, Scopes: scopes} }
	for _, c := range []struct {
		p                           Principal
		read, payload, operate, all bool
		restricted                  string
	}{
		{p("", ScopeRead), false, false, false, false, ""},
		{p("", ScopeReadAll), true, false, false, true, ""},
		{p("u", ScopeRead), true, false, false, false, "u"},
		{p("u", ScopeReadAll), true, false, false, true, ""},
		{p("u", ScopeOperate), false, false, true, false, "u"},
		{p("", ScopeOperate), false, false, true, false, ""},
		{p("", ScopeReadPayload), false, true, false, false, ""},
		{p("", ScopeAdmin), true, true, true, true, ""},
		{p("u"), false, false, false, false, "u"},
	} {
		if c.p.MayRead() != c.read || c.p.Has(ScopeReadPayload) != c.payload || c.p.Has(ScopeOperate) != c.operate || c.p.Has(ScopeReadAll) != c.all || c.p.Restricted() != c.restricted {
			t.Errorf("%+v: read %v, payload %v, operate %v, all %v, restricted %q", c.p, c.p.MayRead(), c.p.Has(ScopeReadPayload), c.p.Has(ScopeOperate), c.p.Has(ScopeReadAll), c.p.Restricted())
		}
	}
}

func newFile(t *testing.T, now *time.Time) *KeyFile {
	t.Helper()
	f, err := OpenKeyFile(filepath.Join(t.TempDir(), "data", "keys.json"))
	if err != nil {
		t.Fatal(err)
	}
	f.now = func() time.Time { return *now }
	return f
}

func TestKeysOfAFile(t *testing.T) {
	now := at
	f := newFile(t, &now)
	ctx := t.Context()
	k, token, err := f.Create(ctx, KeySpec{Name: "ci", UserID: "u1", Scopes: []Scope{ScopeRead}, ExpiresAt: at.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(token, "tt_"+k.ID+"_") || k.Namespace != "default" {
		t.Errorf("key %+v, token %s", k, token)
	}
	b, err := os.ReadFile(f.path)
	if err != nil {
		t.Fatal(err)
	}
	if _, s, _ := splitKey(token); strings.Contains(string(b), s) {
		t.Error("the secret stands in the file")
	}
	if info, err := os.Stat(f.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	a, err := New(Config{Keys: f, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	p, err := a.Authenticate(ctx, token)
	if err != nil || p.ID != "key:"+k.ID || p.UserID != "u1" || !p.MayRead() {
		t.Errorf("%+v, %v", p, err)
	}
	for i := range token {
		wrong := []byte(token)
		if wrong[i]++; string(wrong) == token {
			continue
		}
		if _, err := a.Authenticate(ctx, string(wrong)); !errors.Is(err, ErrUnauthenticated) {
			t.Fatalf("a wrong token at %d: %v", i, err)
		}
	}
	now = at.Add(time.Hour)
	if _, err := a.Authenticate(ctx, token); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("an expired key: %v", err)
	}
	now = at

	// Another process revokes it; this one sees that within a second.
	other, err := OpenKeyFile(f.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Revoke(ctx, k.ID); err != nil {
		t.Fatal(err)
	}
	now = now.Add(recheckEvery)
	if _, err := a.Authenticate(ctx, token); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("a revoked key: %v", err)
	}
	if keys, err := f.List(ctx); err != nil || len(keys) != 1 || keys[0].RevokedAt.IsZero() {
		t.Errorf("%+v, %v", keys, err)
	}
	if err := f.Revoke(ctx, "nosuch"); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("revoke of an unknown key: %v", err)
	}
}

func TestKeysOfTwoProcesses(t *testing.T) {
	now := at
	f := newFile(t, &now)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			mine, err := OpenKeyFile(f.path)
			if err != nil {
				t.Error(err)
				return
			}
			for range 5 {
				if _, _, err := mine.Create(t.Context(), KeySpec{Scopes: []Scope{ScopeIngest}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if keys, err := f.List(t.Context()); err != nil || len(keys) != 20 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
}

func TestKeyFileThatIsBroken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	for _, content := range []string{"{", `{"version":2}`, ""} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenKeyFile(path); err == nil {
			t.Errorf("%q was taken", content)
		}
	}
}

func TestKeySpecs(t *testing.T) {
	for _, s := range []KeySpec{{}, {Scopes: []Scope{"root"}}, {Scopes: []Scope{ScopeRead}}, {Scopes: []Scope{ScopeIngest}, Namespace: strings.Repeat("a", 256)}, {Scopes: []Scope{ScopeIngest}, UserID: "\xff"}} {
		if _, _, err := NewKey(s, at); err == nil {
			t.Errorf("%+v was taken", s)
		}
	}
}

func TestAdminToken(t *testing.T) {
	a, err := New(Config{AdminToken: "0123456789abcdef"})
	if err != nil {
		t.Fatal(err)
	}
	if p, err := a.Authenticate(t.Context(), "0123456789abcdef"); err != nil || p.Namespace != AnyNamespace || !p.Has(ScopeOperate) {
		t.Errorf("%+v, %v", p, err)
	}
	for _, wrong := range []string{"", "0123456789abcde", "0123456789abcdef0", strings.Repeat("a", 10_000)} {
		if _, err := a.Authenticate(t.Context(), wrong); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%.20q: %v", wrong, err)
		}
	}
	if _, err := New(Config{AdminToken: "short", JWT: JWTConfig{Secret: "short"}}); err == nil || strings.Count(err.Error(), "\n") < 3 {
		t.Errorf("not all faults at once: %v", err)
	}
}

func sign(t *testing.T, method jwt.SigningMethod, key any, kid string, change func(jwt.MapClaims)) string {
	t.Helper()
	c := jwt.MapClaims{"iss": "issuer", "aud": "tasktrail", "sub": "u1", "scope": "read openid", "namespace": "shop", "exp": at.Add(time.Hour).Unix()}
	if change != nil {
		change(c)
	}
	token := jwt.NewWithClaims(method, c)
	if kid != "" {
		token.Header["kid"] = kid
	}
	s, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestJWTBySecret(t *testing.T) {
	a, err := New(Config{JWT: JWTConfig{Secret: secret, Issuer: "issuer", Audience: "tasktrail"}, Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	p, err := a.Authenticate(t.Context(), sign(t, jwt.SigningMethodHS256, []byte(secret), "", nil))
	if err != nil || p.UserID != "u1" || p.Namespace != "shop" || len(p.Scopes) != 1 || p.Scopes[0] != ScopeRead || p.ExpiresAt.IsZero() {
		t.Errorf("%+v, %v", p, err)
	}
	p, err = a.Authenticate(t.Context(), sign(t, jwt.SigningMethodHS512, []byte(secret), "", func(c jwt.MapClaims) {
		c["scope"] = []string{"read:all"}
		delete(c, "namespace")
		delete(c, "sub")
	}))
	if err != nil || p.Namespace != "default" || !p.MayRead() || p.UserID != "" {
		t.Errorf("%+v, %v", p, err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for what, token := range map[string]string{
		"none":            sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "", nil),
		"another secret":  sign(t, jwt.SigningMethodHS256, []byte("another"), "", nil),
		"asymmetric":      sign(t, jwt.SigningMethodES256, key, "", nil),
		"expired":         sign(t, jwt.SigningMethodHS256, []byte(secret), "", func(c jwt.MapClaims) { c["exp"] = at.Add(-time.Minute).Unix() }),
		"no expiry":       sign(t, jwt.SigningMethodHS256, []byte(secret), "", func(c jwt.MapClaims) { delete(c, "exp") }),
		"not yet":         sign(t, jwt.SigningMethodHS256, []byte(secret), "", func(c jwt.MapClaims) { c["nbf"] = at.Add(time.Hour).Unix() }),
		"another issuer":  sign(t, jwt.SigningMethodHS256, []byte(secret), "", func(c jwt.MapClaims) { c["iss"] = "x" }),
		"no audience":     sign(t, jwt.SigningMethodHS256, []byte(secret), "", func(c jwt.MapClaims) { delete(c, "aud") }),
		"all namespaces":  sign(t, jwt.SigningMethodHS256, []byte(secret), "", func(c jwt.MapClaims) { c["namespace"] = "*" }),
		"scope of number": sign(t, jwt.SigningMethodHS256, []byte(secret), "", func(c jwt.MapClaims) { c["scope"] = 7 }),
		"long subject":    sign(t, jwt.SigningMethodHS256, []byte(secret), "", func(c jwt.MapClaims) { c["sub"] = strings.Repeat("a", 256) }),
		"nonsense":        "a.b.c",
	} {
		if p, err := a.Authenticate(t.Context(), token); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%s: %+v, %v", what, p, err)
		}
	}
}

// issuer publishes keys that can be rotated.
type issuer struct {
	mu      sync.Mutex
	keys    map[string]*ecdsa.PrivateKey
	down    bool
	fetches atomic.Int32
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fetches.Add(1)
	if i.down {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	set := map[string][]map[string]string{"keys": {}}
	for kid, k := range i.keys {
		raw, err := k.PublicKey.Bytes()
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		set["keys"] = append(set["keys"], map[string]string{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid,
			"x": base64.RawURLEncoding.EncodeToString(raw[1:33]), "y": base64.RawURLEncoding.EncodeToString(raw[33:])})
	}
	_ = json.NewEncoder(w).Encode(set)
}

func (i *issuer) add(t *testing.T, kid string) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = map[string]*ecdsa.PrivateKey{kid: k}
	return k
}

func (i *issuer) set(down bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down = down
}

func TestJWTByPublishedKeys(t *testing.T) {
	is := &issuer{}
	server := httptest.NewServer(is)
	defer server.Close()
	client := server.Client()
	defer client.CloseIdleConnections()
	var mu sync.Mutex
	now := at
	pass := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }
	a, err := New(Config{Client: client, Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now },
		JWT: JWTConfig{JWKSURL: server.URL, Issuer: "issuer", Audience: "tasktrail"}})
	if err != nil {
		t.Fatal(err)
	}
	is.set(true)
	first := is.add(t, "k1")
	token := sign(t, jwt.SigningMethodES256, first, "k1", nil)
	check := func(what, token string, want error) {
		t.Helper()
		if _, err := a.Authenticate(t.Context(), token); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	check("the issuer is down", token, ErrUnavailable)
	is.set(false)
	pass(unknownKeyEvery)
	check("the issuer is back", token, nil)
	check("a shared secret made of the public key", sign(t, jwt.SigningMethodHS256, []byte("x"), "k1", nil), ErrUnauthenticated)

	second := is.add(t, "k2")
	rotated := sign(t, jwt.SigningMethodES256, second, "k2", nil)
	pass(unknownKeyEvery)
	check("a new key", rotated, nil)
	check("the old key", token, ErrUnauthenticated)
	before := is.fetches.Load()
	for range 100 {
		check("an unknown key", sign(t, jwt.SigningMethodES256, first, "forged", nil), ErrUnauthenticated)
	}
	if n := is.fetches.Load() - before; n > 1 {
		t.Errorf("%d fetches for forged tokens", n)
	}
	is.set(true)
	pass(20 * time.Minute)
	check("known keys serve on while the issuer is down", rotated, nil)
}

// brokenKeys cannot be read.
type brokenKeys struct{}

func (brokenKeys) Key(context.Context, string) (Key, error) { return Key{}, errors.New("disk on fire") }

func TestKeysThatCannotBeRead(t *testing.T) {
	_, token, err := NewKey(KeySpec{Scopes: []Scope{ScopeIngest}}, at)
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(Config{Keys: brokenKeys{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Authenticate(t.Context(), token); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

func TestBearerToken(t *testing.T) {
	for header, want := range map[string]string{"Bearer abc": "abc", "bearer  abc ": "abc", "Basic abc": "", "Bearer": "", "Bearer ": "", "": ""} {
		if got, ok := BearerToken(header); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", header, got, ok)
		}
	}
}

func FuzzAuthenticate(f *testing.F) {
	a, err := New(Config{AdminToken: "0123456789abcdef", Keys: brokenKeys{}, JWT: JWTConfig{Secret: secret, Issuer: "i", Audience: "a"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("tt_a_b")
	f.Add("a.b.c")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, token string) {
		p, err := a.Authenticate(t.Context(), token)
		if err == nil && token != "0123456789abcdef" {
			t.Fatalf("%q is %+v", token, p)
		}
	})
}
