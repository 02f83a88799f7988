package failure

// The kinds of errors; error.type in OpenTelemetry. Beside these stand http_NNN,
// grpc_CODE and sqlstate_XXXXX.
const (
	KindTimeout            = "timeout"
	KindDeadline           = "deadline"
	KindCancelled          = "cancelled"
	KindConnectionRefused  = "connection_refused"
	KindConnectionReset    = "connection_reset"
	KindConnectionClosed   = "connection_closed"
	KindBrokenPipe         = "broken_pipe"
	KindHostUnreachable    = "host_unreachable"
	KindNetworkUnreachable = "network_unreachable"
	KindEOF                = "eof"
	KindUnexpectedEOF      = "unexpected_eof"
	KindDNS                = "dns_failure"
	KindDNSNotFound        = "dns_not_found"
	KindTLSCertificate     = "tls_certificate"
	KindTLSHandshake       = "tls_handshake"
	KindTooManyOpenFiles   = "too_many_open_files"
	KindNoMemory           = "no_memory"
	KindNoSpace            = "no_space"
	KindNoLocalAddress     = "no_local_address"
	KindPanic              = "panic"
	KindGoexit             = "goexit"
	KindInvalidCallbackURL = "invalid_callback_url"
	KindUnknownTaskType    = "unknown_task_type"
	KindUndecodableInput   = "undecodable_input"
	KindCircuitOpen        = "circuit_open"
	KindLimiterFull        = "limiter_full"
	// KindOther is everything that has no name of its own.
	KindOther = "_OTHER"
)
