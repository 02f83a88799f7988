package query

import (
	"errors"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/tasktrail/tasktrail/query/auth"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

const keyPart = "what keeps the keys"

// keyView is a key as it is shown: never its hash, its token once.
type keyView struct {
	ID        string       `json:"id"`
	Name      string       `json:"name"`
	Namespace string       `json:"namespace"`
	UserID    string       `json:"user_id,omitempty"`
	Scopes    []auth.Scope `json:"scopes"`
	Queues    []string     `json:"queues,omitempty"`
	CreatedAt time.Time    `json:"created_at"`
	ExpiresAt time.Time    `json:"expires_at,omitzero"`
	RevokedAt time.Time    `json:"revoked_at,omitzero"`
	// Token stands in the first answer to its making alone.
	Token string `json:"token,omitempty"`
}

func viewKey(k auth.Key) keyView {
	return keyView{k.ID, k.Name, k.Namespace, k.UserID, k.Scopes, k.Queues, k.CreatedAt, k.ExpiresAt, k.RevokedAt, ""}
}

func (s *Server) keys() (KeyManager, error) {
	if s.deps.Keys == nil {
		return nil, unavailable(keyPart, nil)
	}
	return s.deps.Keys, nil
}

// seesKey reports whether the key is the caller's to see: those of the namespace
// the caller is bound to, or all.
func seesKey(p auth.Principal, k auth.Key) bool {
	return p.Namespace == auth.AnyNamespace || p.Namespace == k.Namespace
}

func (s *Server) getKeys(r *request) error {
	if err := r.params.err(); err != nil {
		return err
	}
	keys, err := s.keys()
	if err != nil {
		return err
	}
	all, err := keys.List(r.ctx)
	if err != nil {
		return partFailure(keyPart, "list keys", err)
	}
	_, asked := r.params.raw("namespace")
	out := listBody[keyView]{Data: []keyView{}}
	for _, k := range all {
		if seesKey(r.principal, k) && (!asked || k.Namespace == r.scope.Namespace) {
			out.Data = append(out.Data, viewKey(k))
		}
	}
	return r.answer(fiber.StatusOK, out)
}

func (s *Server) postKey(r *request, body []byte) (reply, error) {
	var in struct {
		Name      string    `json:"name"`
		Namespace string    `json:"namespace"`
		UserID    string    `json:"user_id"`
		Scopes    []string  `json:"scopes"`
		Queues    []string  `json:"queues"`
		ExpiresAt time.Time `json:"expires_at"`
		ExpiresIn string    `json:"expires_in"`
	}
	if err := decodeBody(r, body, &in); err != nil {
		return reply{}, err
	}
	spec := auth.KeySpec{Name: in.Name, Namespace: in.Namespace, UserID: in.UserID, Queues: in.Queues, ExpiresAt: in.ExpiresAt.UTC()}
	if in.Namespace == "" {
		spec.Namespace = r.scope.Namespace
	}
	if spec.Namespace != r.principal.Namespace && r.principal.Namespace != auth.AnyNamespace {
		return reply{}, &failure{code: codeNamespaceForbidden, field: "namespace"}
	}
	if in.Name == "" {
		return reply{}, wrongBody("name", "say what the key is for")
	}
	for _, word := range in.Scopes {
		scope, err := auth.ParseScope(word)
		if err != nil {
			return reply{}, wrongBody("scopes", "%s", printable(err.Error()))
		}
		spec.Scopes = append(spec.Scopes, scope)
	}
	if len(spec.Queues) > maxListItems {
		return reply{}, wrongBody("queues", "%d values, the limit is %d", len(spec.Queues), maxListItems)
	}
	for _, q := range spec.Queues {
		if q == "" || len(q) > timeline.MaxNameBytes {
			return reply{}, wrongBody("queues", "a queue's name has 1 to %d bytes", timeline.MaxNameBytes)
		}
	}
	if in.ExpiresIn != "" {
		d, err := parseDuration(in.ExpiresIn)
		if err != nil || d <= 0 || d > 100*365*24*time.Hour || !in.ExpiresAt.IsZero() {
			return reply{}, wrongBody("expires_in", "want a duration such as 12h or 90d, and no expires_at beside it")
		}
		spec.ExpiresAt = s.now().Add(d).UTC()
	}
	if !spec.ExpiresAt.IsZero() && (!spec.ExpiresAt.After(s.now()) || spec.ExpiresAt.Year() > 2261) {
		return reply{}, wrongBody("expires_at", "must be in the future")
	}
	if err := spec.Validate(); err != nil {
		return reply{}, wrongBody("scopes", "%s", err)
	}
	keys, err := s.keys()
	if err != nil {
		return reply{}, err
	}
	k, token, err := keys.Create(r.ctx, spec)
	if err != nil {
		return reply{}, partFailure(keyPart, "create key", err)
	}
	r.audit = append(r.audit, "key_id", k.ID, "key_name", k.Name, "scopes", k.Scopes, "key_namespace", k.Namespace)
	again := viewKey(k)
	shown := again
	shown.Token = token
	return reply{status: fiber.StatusCreated, location: base + "/keys", body: shown, again: again}, nil
}

func (s *Server) deleteKey(r *request, _ []byte) (reply, error) {
	id, err := pathText("id", r.c.Params("id"), timeline.MaxNameBytes)
	if err != nil {
		return reply{}, err
	}
	keys, err := s.keys()
	if err != nil {
		return reply{}, err
	}
	all, err := keys.List(r.ctx)
	if err != nil {
		return reply{}, partFailure(keyPart, "list keys", err)
	}
	for _, k := range all {
		if k.ID == id && seesKey(r.principal, k) {
			if err := keys.Revoke(r.ctx, id); err != nil && !errors.Is(err, auth.ErrUnknownKey) {
				return reply{}, partFailure(keyPart, "revoke key", err)
			}
			return reply{status: fiber.StatusNoContent}, nil
		}
	}
	return reply{}, readmodel.ErrNotFound
}
