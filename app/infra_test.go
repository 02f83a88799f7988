package app

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

type forGood struct{ error }

func (forGood) Permanent() bool { return true }

// What fails at a start since the engine died is tried again, and what fails for good
// is not.
func TestAStartIsTriedAgain(t *testing.T) {
	away := errors.New("bad connection")
	for name, c := range map[string]struct {
		fails []error // one a try, the first of which was made
		want  error
		tries int
	}{
		"well at once":  {[]error{nil}, nil, 0},
		"well later":    {[]error{away, away, nil}, nil, 2},
		"for good":      {[]error{forGood{away}}, away, 0},
		"for good then": {[]error{away, forGood{away}}, away, 1},
		"never":         {[]error{away}, away, 4},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				err := again(t.Context(), 900*time.Millisecond, c.fails[0], func(context.Context) error {
					tries++
					return c.fails[min(tries, len(c.fails)-1)]
				})
				if !errors.Is(err, c.want) && !errors.Is(err, forGood{away}) || (err == nil) != (c.want == nil) || tries != c.tries {
					t.Errorf("%v after %d tries, want %v after %d", err, tries, c.want, c.tries)
				}
			})
		})
	}
}
