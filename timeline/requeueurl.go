package timeline

import (
	"fmt"
	"net/url"
	"time"
)

// RequeueURL is the body of a setting of the kind [SettingRequeueURL]: where the
// retries of a queue that no agent serves are posted. The setting's id is the
// queue's name.
type RequeueURL struct {
	// URL takes the posts: http or https, without a user.
	URL string `json:"url"`
	// KeepsInput: whoever takes the posts still has the tasks' original inputs, so
	// that dead letters whose input is not known here can be retried too.
	KeepsInput bool `json:"keeps_input,omitempty"`
	// Salt is what the signing secret is derived from, together with a key that is
	// not among the settings.
	Salt string `json:"salt"`
	// FormerSalt is that of the secret before; calls are signed with it too until
	// FormerUntil.
	FormerSalt  string    `json:"former_salt,omitempty"`
	FormerUntil time.Time `json:"former_until,omitzero"`
}

// maxURLBytes bounds a URL.
const maxURLBytes = 2048

// Validate reports what is wrong as a *[FieldError].
func (r *RequeueURL) Validate() error {
	wrong := func(format string, args ...any) error {
		return &FieldError{Field: "url", Want: fmt.Sprintf(format, args...)}
	}
	if len(r.URL) > maxURLBytes {
		return wrong("at most %d bytes", maxURLBytes)
	}
	u, err := url.Parse(r.URL)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return wrong("an http or https URL with a host")
	case u.User != nil:
		return wrong("a URL without user and password: calls are signed")
	case u.Fragment != "":
		return wrong("a URL without a fragment")
	}
	return nil
}
