package collector

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// requestError is a fault of a request that only one transport knows.
type requestError struct {
	http    int
	code    codes.Code
	message string
}

func (e *requestError) Error() string { return e.message }

// failure is an error as senders see it: what both transports answer with.
type failure struct {
	http    int
	code    codes.Code
	retry   time.Duration // 0: trying again does not help
	message string
}

// explain is the one table from errors to answers. What stands in a message is
// for the sender; causes inside the collector go to the log alone.
func (c *Collector) explain(err error) failure {
	var (
		overload *OverloadError
		large    *TooLargeError
		request  *requestError
		field    *timeline.FieldError
		body     *http.MaxBytesError
		network  net.Error
	)
	switch {
	case errors.Is(err, ErrUnauthenticated):
		return failure{http.StatusUnauthorized, codes.Unauthenticated, 0, ErrUnauthenticated.Error()}
	case errors.Is(err, ErrForbidden):
		return failure{http.StatusForbidden, codes.PermissionDenied, 0, ErrForbidden.Error()}
	case errors.As(err, &overload) && overload.Unavailable:
		c.sayOnce("unavailable", "requests are refused for now", "error", overload.Cause)
		return failure{http.StatusServiceUnavailable, codes.Unavailable, overload.RetryAfter, "the log can't take it now"}
	case errors.As(err, &overload):
		return failure{http.StatusTooManyRequests, codes.ResourceExhausted, overload.RetryAfter, overload.Cause.Error()}
	case errors.As(err, &large):
		return failure{http.StatusRequestEntityTooLarge, codes.InvalidArgument, 0, large.Error()}
	case errors.As(err, &body):
		return failure{http.StatusRequestEntityTooLarge, codes.InvalidArgument, 0, (&TooLargeError{"compressed body", body.Limit}).Error()}
	case errors.As(err, &request):
		return failure{request.http, request.code, 0, request.message}
	case errors.As(err, &field):
		return failure{http.StatusBadRequest, codes.InvalidArgument, 0, field.Error()}
	case errors.Is(err, wire.ErrMalformed):
		return failure{http.StatusBadRequest, codes.InvalidArgument, 0, err.Error()}
	case errors.As(err, &network) && network.Timeout():
		return failure{http.StatusRequestTimeout, codes.DeadlineExceeded, c.cfg.RetryAfter, "the request took too long to arrive"}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return failure{http.StatusServiceUnavailable, codes.Unavailable, c.cfg.RetryAfter, "the request was given up"}
	default:
		c.sayOnce("failed", "a request failed", "error", err)
		return failure{http.StatusServiceUnavailable, codes.Unavailable, c.cfg.RetryAfter, "can't be answered now"}
	}
}

// status is the failure as google.rpc.Status, with RetryInfo where a repeat helps.
func (f failure) status() *status.Status {
	st := status.New(f.code, f.message)
	if f.retry > 0 {
		if with, err := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(f.retry)}); err == nil {
			return with
		}
	}
	return st
}
