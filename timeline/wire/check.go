package wire

import "time"

// Limits bound what one request may carry, beyond the limits of the
// vocabulary itself (see the constants of package timeline).
type Limits struct {
	// MaxRecordBytes bounds one LogRecord message.
	// Defaults to 1 MiB.
	MaxRecordBytes int
	// MaxReasons bounds how many refused records are described.
	// Defaults to 10.
	MaxReasons int
	// Now is the receiver's clock, against which times in the future are refused.
	// Defaults to the time of the call.
	Now time.Time
}

// Rejection says why one record was refused.
type Rejection struct {
	// Index is the record's place in the request, from 0.
	Index int
	// Field is the wire name of the field at fault, Want what is allowed there.
	Field string
	Want  string
}

// Report is what became of a request.
type Report struct {
	// Accepted and Rejected count records; together they are all of the request.
	Accepted int
	Rejected int
	// Telemetry counts the accepted ones that are telemetry of Tasktrail's own
	// agent, which came as timeline events too and are not yielded by ScanFrame.
	Telemetry int
	// Live counts the accepted ones that are live data (see [ScanLive]).
	Live int
	// Reasons describes the first refused records.
	Reasons []Rejection
	// Clean is the request without the refused records: the argument itself where
	// none was refused.
	Clean []byte
}

// Message says in one line why records were refused, for the answer's
// partial_success; empty where none was.
func (r *Report) Message() string { return "" }

// Check reads an OTLP ExportLogsServiceRequest and sorts out the records that
// can't be stored. The error says that the request as a whole can't be read and
// wraps [ErrMalformed]. Where nothing is refused nothing is allocated.
func Check(request []byte, lim Limits) (Report, error) { return Report{}, ErrMalformed }
