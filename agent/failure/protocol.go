package failure

import (
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// protocol looks for an answer with a code: HTTP, gRPC or SQL.
func (w *walk) protocol(err error) {
	switch e := err.(type) {
	case *HTTPError:
		w.http(e.Status)
		if d, ok := e.retryAfter(w.now); ok && w.worthAnother(e.Status) {
			w.wait(d)
		}
	case interface{ StatusCode() int }:
		w.http(e.StatusCode())
	case interface{ HTTPStatusCode() int }:
		w.http(e.HTTPStatusCode())
	}
	if e, ok := err.(interface{ SQLState() string }); ok {
		w.sql(e.SQLState())
	}
	w.grpc(err)
}

func (w *walk) http(status int) {
	if status < 300 || status > 599 {
		return // not a status that could have failed anything
	}
	text := strconv.Itoa(status)
	f := Failure{Class: timeline.ClassPermanent, Kind: "http_" + text, Code: text, HTTPStatus: status}
	if w.worthAnother(status) {
		f.Class = timeline.ClassRetryable
	}
	if status >= 500 || status == http.StatusRequestTimeout || status < 400 {
		f.Breaker = BreakerFailure
	}
	if status == http.StatusTooManyRequests {
		w.pause = true
	}
	w.take(rankProtocol, f)
}

func (w *walk) worthAnother(status int) bool {
	switch {
	case slices.Contains(w.c.settings.RetryableStatus, status):
		return true
	case slices.Contains(w.c.settings.PermanentStatus, status):
		return false
	case status >= 400 && status <= 499:
		return status == http.StatusRequestTimeout || status == http.StatusTooEarly || status == http.StatusTooManyRequests
	default:
		return true
	}
}

// sql takes a SQLSTATE, five digits or capitals.
func (w *walk) sql(state string) {
	if len(state) != 5 {
		return
	}
	for _, c := range []byte(state) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') {
			return
		}
	}
	f := Failure{Class: timeline.ClassRetryable, Kind: "sqlstate_" + state, Code: state}
	switch class := state[:2]; {
	case state == "40001" || state == "40P01": // serialization failure, deadlock
	case class == "08" || state == "53300" || state == "57P01": // connection, too many of them, shutdown
		f.Breaker = BreakerFailure
	case class == "22" || class == "23" || class == "42": // data, constraint, syntax or privilege
		f.Class = timeline.ClassPermanent
	default:
		f.Kind, f.Breaker = KindOther, BreakerFailure
	}
	w.take(rankProtocol, f)
}

// grpcNames are the names of gRPC's status codes by number.
var grpcNames = [...]string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
	"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
	"INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

// grpc takes the status of an error with gRPC's GRPCStatus method. Its result has
// a type of gRPC's own, which only reflection can call without importing it; the
// methods are named by constants so that the linker still drops unused ones.
func (w *walk) grpc(err error) {
	method := reflect.ValueOf(err).MethodByName("GRPCStatus")
	if !method.IsValid() || method.Type().NumIn() != 0 || method.Type().NumOut() != 1 {
		return
	}
	status := method.Call(nil)[0]
	if isNil(status) {
		return
	}
	code := status.MethodByName("Code")
	if !code.IsValid() || code.Type().NumIn() != 0 || code.Type().NumOut() != 1 || !code.Type().Out(0).ConvertibleTo(reflect.TypeFor[uint32]()) {
		return
	}
	n := code.Call(nil)[0].Convert(reflect.TypeFor[uint32]()).Uint()
	if n == 0 || n >= uint64(len(grpcNames)) {
		return
	}
	name := grpcNames[n]
	f := Failure{Class: timeline.ClassPermanent, Kind: "grpc_" + name, Code: name}
	switch name {
	case "UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "UNKNOWN":
		f.Class, f.Breaker = timeline.ClassRetryable, BreakerFailure
		f.Timeout = name == "DEADLINE_EXCEEDED"
	case "ABORTED":
		f.Class = timeline.ClassRetryable
	}
	if d, ok := retryInfo(status); ok {
		if name == "RESOURCE_EXHAUSTED" {
			f.Class = timeline.ClassRetryable
		}
		if f.Class == timeline.ClassRetryable {
			w.wait(d)
		}
	}
	w.take(rankProtocol, f)
}

// retryInfo finds google.rpc.RetryInfo among a status's details. The message is
// read from its bytes, so that it is found in programs that do not link its type.
func retryInfo(status reflect.Value) (time.Duration, bool) {
	proto := callOne(status.MethodByName("Proto"))
	if !proto.IsValid() || isNil(proto) {
		return 0, false
	}
	details := callOne(proto.MethodByName("GetDetails"))
	if !details.IsValid() || details.Kind() != reflect.Slice {
		return 0, false
	}
	for i := range min(details.Len(), maxNodes) {
		detail, ok := details.Index(i).Interface().(interface {
			GetTypeUrl() string
			GetValue() []byte
		})
		if !ok {
			continue
		}
		if url := detail.GetTypeUrl(); url == "type.googleapis.com/google.rpc.RetryInfo" {
			return decodeRetryInfo(detail.GetValue())
		}
	}
	return 0, false
}

func callOne(method reflect.Value) reflect.Value {
	if !method.IsValid() || method.Type().NumIn() != 0 || method.Type().NumOut() != 1 {
		return reflect.Value{}
	}
	return method.Call(nil)[0]
}

func isNil(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Slice, reflect.Map, reflect.Func, reflect.Chan:
		return v.IsNil()
	default:
		return false
	}
}

// decodeRetryInfo reads RetryInfo{Duration retry_delay = 1} where Duration is
// {int64 seconds = 1; int32 nanos = 2}. A RetryInfo without a delay means 0.
func decodeRetryInfo(b []byte) (time.Duration, bool) {
	var seconds, nanos int64
	ok := eachField(b, func(field uint64, _ uint64, body []byte) {
		if field != 1 {
			return
		}
		eachField(body, func(field uint64, value uint64, _ []byte) {
			switch field {
			case 1:
				seconds = int64(value)
			case 2:
				nanos = int64(int32(value))
			}
		})
	})
	switch {
	case !ok:
		return 0, false
	case seconds < 0 || nanos < 0:
		return 0, true
	case seconds >= int64(MaxRetryAfter/time.Second):
		return MaxRetryAfter, true
	}
	return time.Duration(seconds)*time.Second + time.Duration(nanos), true
}
