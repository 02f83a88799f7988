package auth_test

import (
	"path/filepath"
	"testing"

	"github.com/tasktrail/tasktrail/query/auth"
)

// Two processes that tell one another of their keys know the same ones, and a key
// that either of them revoked is taken by none.
func TestKeysAreMerged(t *testing.T) {
	open := func() *auth.KeyFile {
		f, err := auth.OpenKeyFile(filepath.Join(t.TempDir(), "keys.json"))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	list := func(f *auth.KeyFile) []auth.Key {
		keys, err := f.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	a, b := open(), open()
	spec := auth.KeySpec{Name: "k", Scopes: []auth.Scope{auth.ScopeIngest}}
	k, token, err := a.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := b.Merge(list(a)); err != nil || n != 1 {
		t.Fatalf("merged %d, %v", n, err)
	}
	authenticator, err := auth.New(auth.Config{Keys: b})
	if err != nil {
		t.Fatal(err)
	}
	if p, err := authenticator.Authenticate(t.Context(), token); err != nil || p.ID != "key:"+k.ID {
		t.Errorf("%+v, %v", p, err)
	}
	if n, err := b.Merge(list(a)); err != nil || n != 0 {
		t.Errorf("merged again: %d, %v", n, err)
	}
	if err := a.Revoke(t.Context(), k.ID); err != nil {
		t.Fatal(err)
	}
	old := list(b)
	if n, err := b.Merge(list(a)); err != nil || n != 1 {
		t.Errorf("the revocation: %d, %v", n, err)
	}
	if _, err := authenticator.Authenticate(t.Context(), token); err == nil {
		t.Error("a key that was revoked elsewhere is taken")
	}
	if n, err := a.Merge(old); err != nil || n != 0 {
		t.Errorf("what was revoked came back: %d, %v", n, err)
	}
}
