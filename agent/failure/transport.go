package failure

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"

	"github.com/tasktrail/tasktrail/timeline"
)

// transport looks for what goes wrong below a protocol's answers.
func (w *walk) transport(err error) {
	switch e := err.(type) {
	case *net.DNSError:
		if e.IsNotFound {
			w.retryable(rankName, KindDNSNotFound, BreakerIgnore)
		} else {
			w.take(rankName, Failure{Class: timeline.ClassRetryable, Kind: KindDNS, Breaker: BreakerFailure, Timeout: e.IsTimeout})
		}
		return
	case *tls.CertificateVerificationError, x509.CertificateInvalidError, x509.HostnameError, x509.UnknownAuthorityError,
		x509.SystemRootsError, *x509.SystemRootsError, x509.ConstraintViolationError, x509.UnhandledCriticalExtension,
		x509.InsecureAlgorithmError:
		w.take(rankPermanent, Failure{Class: timeline.ClassPermanent, Kind: KindTLSCertificate})
		return
	case tls.AlertError, tls.RecordHeaderError, *tls.ECHRejectionError:
		w.retryable(rankName, KindTLSHandshake, BreakerFailure)
		return
	case syscall.Errno:
		w.errno(e)
		return
	case *url.Error:
		if e.Op == "parse" {
			w.take(rankPermanent, Failure{Class: timeline.ClassPermanent, Kind: KindInvalidCallbackURL})
			return
		}
		if e.Err != nil && badURL(Message(e.Err)) {
			w.take(rankPermanent, Failure{Class: timeline.ClassPermanent, Kind: KindInvalidCallbackURL})
			return
		}
	case url.EscapeError, url.InvalidHostError:
		w.take(rankPermanent, Failure{Class: timeline.ClassPermanent, Kind: KindInvalidCallbackURL})
		return
	}
	switch {
	case same(err, io.ErrUnexpectedEOF):
		w.retryable(rankTransport, KindUnexpectedEOF, BreakerFailure)
	case same(err, io.EOF):
		w.retryable(rankTransport, KindEOF, BreakerFailure)
	case same(err, net.ErrClosed), same(err, io.ErrClosedPipe):
		w.retryable(rankTransport, KindConnectionClosed, BreakerFailure)
	case timedOut(err):
		kind := KindTimeout
		if strings.Contains(Message(err), "TLS handshake timeout") {
			kind = KindTLSHandshake
		}
		w.take(rankTimeout, Failure{Class: timeline.ClassRetryable, Kind: kind, Breaker: BreakerFailure, Timeout: true})
	default:
		w.text(err)
	}
}

func (w *walk) retryable(rank int, kind string, breaker BreakerEffect) {
	w.take(rank, Failure{Class: timeline.ClassRetryable, Kind: kind, Breaker: breaker})
}

func timedOut(err error) bool {
	if same(err, context.DeadlineExceeded) || same(err, os.ErrDeadlineExceeded) {
		return true
	}
	e, ok := err.(interface{ Timeout() bool })
	return ok && e.Timeout()
}

// same reports whether err is target or says so itself; what it wraps gets its
// own turn.
func same(err, target error) bool {
	if is, ok := err.(interface{ Is(error) bool }); ok && is.Is(target) {
		return true
	}
	// The targets are comparable; an err that is not is of another type.
	return err == target
}

// errno takes a system call's error number.
func (w *walk) errno(e syscall.Errno) {
	name, ok := errnoKinds[e]
	if !ok {
		if e.Timeout() {
			w.take(rankTimeout, Failure{Class: timeline.ClassRetryable, Kind: KindTimeout, Breaker: BreakerFailure, Timeout: true})
		}
		return
	}
	f := Failure{Class: timeline.ClassRetryable, Kind: name.kind, Code: name.code, Breaker: BreakerFailure}
	rank := rankTransport
	switch {
	case name.local:
		rank, f.Breaker = rankLocal, BreakerIgnore
	case name.kind == KindTimeout:
		rank, f.Timeout = rankTimeout, true
	}
	w.take(rank, f)
}

type errnoKind struct {
	kind, code string
	local      bool
}

// badURL recognises what net/http says of a URL that it cannot call.
func badURL(message string) bool {
	return strings.HasPrefix(message, "unsupported protocol scheme") || strings.HasPrefix(message, "http: no Host in request URL")
}

// texts are conditions of net/http and its HTTP/2 that have neither a type nor a
// variable; only leaves of the tree are compared.
var texts = [...]struct{ text, kind string }{
	{"http: server closed idle connection", KindConnectionClosed},
	{"server sent GOAWAY", KindConnectionClosed},
	{"http2: client connection lost", KindConnectionClosed},
	{"client connection force closed", KindConnectionClosed},
	{"http2: Transport received", KindConnectionClosed},
	{"REFUSED_STREAM", KindConnectionClosed},
	{"transport connection broken", KindConnectionClosed},
	{"use of closed network connection", KindConnectionClosed},
	{"readLoopPeekFailLocked", KindConnectionClosed},
	{"connection reset by peer", KindConnectionReset},
	{"connection refused", KindConnectionRefused},
	{"broken pipe", KindBrokenPipe},
	{"remote error: tls:", KindTLSHandshake},
	{"TLS handshake timeout", KindTLSHandshake},
	{"no such host", KindDNSNotFound},
}

func (w *walk) text(err error) {
	// An alert of the other side has a type of crypto/tls's own; the OpError
	// around it can be told by its operation.
	if op, ok := err.(*net.OpError); !ok || op.Op != "remote error" {
		switch err.(type) {
		case interface{ Unwrap() error }, interface{ Unwrap() []error }:
			return
		}
	}
	message := cut(Message(err), maxSnippet)
	for _, t := range texts {
		if strings.Contains(message, t.text) {
			effect := BreakerFailure
			if t.kind == KindDNSNotFound {
				effect = BreakerIgnore
			}
			w.retryable(rankText, t.kind, effect)
			return
		}
	}
}
