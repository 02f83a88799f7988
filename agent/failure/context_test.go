package failure

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"syscall"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

func TestContexts(t *testing.T) {
	background := context.Background()
	cancelled, cancel := context.WithCancelCause(background)
	cancel(errors.New("an operator said so"))
	over, stop := context.WithDeadline(background, time.Now().Add(-time.Second))
	defer stop()
	attempt, stop2 := context.WithTimeoutCause(background, 0, errors.New("a cause of its own"))
	defer stop2()
	<-attempt.Done()

	plain := errors.New("plain")
	for name, c := range map[string]struct {
		ctx, attempt context.Context
		err          error
		class        timeline.ErrorClass
		kind         string
		breaker      BreakerEffect
		reason       timeline.FailureReason
	}{
		"caller cancelled":               {cancelled, cancelled, plain, timeline.ClassAborted, KindCancelled, BreakerIgnore, ""},
		"caller cancelled, the cause":    {cancelled, cancelled, &url.Error{Op: "Post", Err: context.Cause(cancelled)}, timeline.ClassAborted, KindCancelled, BreakerIgnore, ""},
		"caller cancelled, a 400":        {cancelled, cancelled, statusError(400), timeline.ClassAborted, KindCancelled, BreakerIgnore, ""},
		"caller cancelled, own word":     {cancelled, cancelled, &knowing{}, timeline.ClassAborted, KindCancelled, BreakerIgnore, ""},
		"caller cancelled, marked":       {cancelled, cancelled, Permanent(plain), timeline.ClassPermanent, KindOther, BreakerIgnore, timeline.FailPermanent},
		"attempt cancelled":              {background, cancelled, plain, timeline.ClassAborted, KindCancelled, BreakerIgnore, ""},
		"task's deadline":                {over, over, context.DeadlineExceeded, timeline.ClassPermanent, KindDeadline, BreakerIgnore, timeline.FailDeadline},
		"task's deadline, another error": {over, over, statusError(503), timeline.ClassPermanent, KindDeadline, BreakerIgnore, timeline.FailDeadline},
		"attempt timeout":                {background, attempt, context.DeadlineExceeded, timeline.ClassRetryable, KindTimeout, BreakerFailure, ""},
		"attempt timeout, the cause":     {background, attempt, context.Cause(attempt), timeline.ClassRetryable, KindTimeout, BreakerFailure, ""},
		"attempt timeout, reset":         {background, attempt, opError(syscall.ECONNRESET), timeline.ClassRetryable, KindTimeout, BreakerFailure, ""},
		"attempt timeout, a 503":         {background, attempt, statusError(503), timeline.ClassRetryable, "http_503", BreakerFailure, ""},
		"attempt timeout, a 400":         {background, attempt, statusError(400), timeline.ClassPermanent, "http_400", BreakerIgnore, timeline.FailPermanent},
		"another's cancellation":         {background, background, context.Canceled, timeline.ClassRetryable, KindOther, BreakerFailure, ""},
		"no contexts":                    {nil, nil, plain, timeline.ClassRetryable, KindOther, BreakerFailure, ""},
	} {
		f := Classify(c.ctx, c.attempt, c.err)
		if f.Class != c.class || f.Kind != c.kind || f.Breaker != c.breaker || f.Reason != c.reason || f.Err != c.err {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if f := Classify(cancelled, cancelled, nil); !f.OK() {
		t.Error("a success whose caller is gone is no success")
	}
}

// TestRealCauses asks net/http itself, which returns the cause of a context
// instead of its error.
func TestRealCauses(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-release:
		}
	}))
	defer server.Close()
	defer close(release)
	call := func(ctx context.Context, client *http.Client) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("cancelled by an operator"))
	if f := Classify(ctx, ctx, call(ctx, http.DefaultClient)); f.Class != timeline.ClassAborted {
		t.Errorf("cancelled with a cause: %+v", f)
	}
	attempt, stop := context.WithTimeoutCause(context.Background(), 20*time.Millisecond, errors.New("attempt took too long"))
	defer stop()
	if f := Classify(context.Background(), attempt, call(attempt, http.DefaultClient)); f.Class != timeline.ClassRetryable || f.Kind != KindTimeout || !f.Timeout {
		t.Errorf("attempt timeout with a cause: %+v", f)
	}
	client := &http.Client{Timeout: 20 * time.Millisecond}
	if f := Classify(context.Background(), context.Background(), call(context.Background(), client)); f.Kind != KindTimeout || f.Breaker != BreakerFailure {
		t.Errorf("http.Client.Timeout: %+v", f)
	}
	self := httptest.NewUnstartedServer(http.NotFoundHandler())
	self.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of us, rightly
	self.StartTLS()
	defer self.Close()
	if f := Classify(context.Background(), nil, doRequest(self.URL)); f.Kind != KindTLSCertificate || f.Class != timeline.ClassPermanent {
		t.Errorf("self-signed certificate: %+v", f)
	}
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	if f := Classify(context.Background(), nil, doRequest(closed.URL)); f.Kind != KindConnectionRefused {
		t.Errorf("closed port: %+v", f)
	}
}
