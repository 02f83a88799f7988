package failure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

func TestStackOfErrorsThatBringOne(t *testing.T) {
	pcs := make([]uintptr, 10)
	pcs = pcs[:runtime.Callers(1, pcs)]
	frames := make([]frame, len(pcs))
	for i := range pcs {
		frames[i] = frame(pcs[i])
	}
	for _, err := range []error{traced{pcs}, pkgErrors{frames}} {
		f := Classify(context.Background(), nil, fmt.Errorf("wrapped: %w", err))
		if !strings.Contains(f.Stack, "TestStackOfErrorsThatBringOne(...)\n\t") {
			t.Errorf("%T: stack %q", err, f.Stack)
		}
		if got := applicationFrames(f.Stack); len(got) != 1 || !strings.HasSuffix(got[0], ".TestStackOfErrorsThatBringOne") {
			t.Errorf("%T: in-application frames %q", err, got)
		}
	}
}

// grow builds an error tree from bytes and says whether anything permanent, and
// any mark, is in it.
func grow(data []byte, depth int) (err error, rest []byte, permanent, marked bool) {
	if len(data) == 0 || depth > 20 {
		return errors.New("leaf"), nil, false, false
	}
	op := data[0]
	rest = data[1:]
	one := func() error {
		var child error
		child, rest, permanent, marked = grow(rest, depth+1)
		return child
	}
	switch op % 16 {
	case 0:
		return fmt.Errorf("wrap %d: %w", op, one()), rest, permanent, marked
	case 1:
		a := one()
		p, m := permanent, marked
		b := one()
		return errors.Join(a, b, nil), rest, permanent || p, marked || m
	case 2:
		return Permanent(one()), rest, true, true
	case 3:
		return RetryAfter(time.Duration(op)*time.Second, one()), rest, permanent, true
	case 4:
		return statusError(int(op) + 300), rest, int(op)+300 >= 400 && int(op)+300 < 500 && int(op)+300 != 408 && int(op)+300 != 425 && int(op)+300 != 429, false
	case 5:
		return &HTTPError{Status: 503}, rest, false, false
	case 6:
		return grpcErr(grpcCode(op>>4), op&64 != 0), rest, false, true // its class is the table test's
	case 7:
		return sqlError("23505"), rest, true, false
	case 8:
		return syscall.Errno(op), rest, false, false
	case 9:
		return &hostile{"x"}, rest, false, true // panics in the middle of its own words
	case 10:
		return NewPanic(nil), rest, true, false
	case 11:
		return io.ErrUnexpectedEOF, rest, false, false
	case 12:
		return context.Canceled, rest, false, false
	case 13:
		return (*HTTPError)(nil), rest, false, false
	case 14:
		return wide{}, rest, false, true // uses up the bound on nodes
	default:
		return errors.New("leaf"), rest, false, false
	}
}

func FuzzClassify(f *testing.F) {
	f.Add([]byte{0, 1, 2, 15, 3, 5}, uint8(0))
	f.Add([]byte{1, 1, 1, 4, 104, 7, 10, 8, 9}, uint8(1))
	f.Add([]byte{14, 14, 13, 6, 118}, uint8(2))
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	over, stop := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer stop()
	f.Fuzz(func(t *testing.T, data []byte, which uint8) {
		if len(data) > 256 {
			return
		}
		err, _, permanent, marked := grow(data, 0)
		ctx := []context.Context{context.Background(), cancelled, over}[which%3]
		got := Classify(ctx, ctx, err)
		switch got.Class {
		case timeline.ClassRetryable, timeline.ClassPermanent, timeline.ClassAborted:
		default:
			t.Fatalf("%v: class %q", err, got.Class)
		}
		if got.Kind == "" || got.Err == nil || got.RetryAfter < 0 || got.RetryAfter > MaxRetryAfter {
			t.Fatalf("%v: %+v", err, got)
		}
		if !marked {
			switch want := ([]timeline.ErrorClass{"", timeline.ClassAborted, timeline.ClassPermanent}[which%3]); {
			case want != "" && got.Class != want:
				t.Fatalf("%v: class %s under context %v", err, got.Class, ctx.Err())
			case want == "" && permanent != (got.Class == timeline.ClassPermanent):
				t.Fatalf("%v: class %s, permanent within: %v", err, got.Class, permanent)
			}
		}
		if e := got.ToError(); !strings.HasPrefix(e.Fingerprint, "fp1:") {
			t.Fatalf("%v: fingerprint %q", err, e.Fingerprint)
		}
	})
}

func FuzzDecodeRetryInfo(f *testing.F) {
	f.Add([]byte("\x0a\x08\x08\x02\x10\x80\xca\xb5\xee\x01"))
	f.Add([]byte("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, _ := decodeRetryInfo(b); d < 0 || d > MaxRetryAfter+time.Hour {
			t.Fatalf("%x: %v", b, d)
		}
	})
}
