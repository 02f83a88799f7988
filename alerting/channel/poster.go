package channel

import (
	"context"
	"time"
)

// Poster posts JSON to one URL, guarded as channels are.
type Poster struct{ *caller }

// NewPoster makes one; timeout bounds a call.
func NewPoster(url string, timeout time.Duration, allowPrivate bool) *Poster {
	return &Poster{newCaller(Config{URL: url, Timeout: Duration(timeout), Parallel: 1, AllowPrivate: allowPrivate})}
}

// Post makes one call; an error is a *DeliveryError.
func (p *Poster) Post(ctx context.Context, body []byte) error { return p.post(ctx, p.url, body, nil) }

// Close gives idle connections up.
func (p *Poster) Close() { p.close() }
