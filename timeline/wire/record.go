package wire

import "github.com/tasktrail/tasktrail/timeline"

// Record is one log record read as a timeline event. Its byte slices are views
// into the buffer it was decoded from, or into memory of the Record itself, and
// hold until the buffer changes or the Record is decoded into again; [Record.Event]
// makes copies. Text is valid UTF-8 where the record passed [Check].
//
// Times are nanoseconds since 1970 (0: not known), durations nanoseconds. A
// Record may be reused for ever; it is not safe for concurrent use.
type Record struct {
	Type timeline.Type
	// Severity follows from Type.
	Severity timeline.Severity

	ID        timeline.ID
	SourceID  []byte
	SourceSeq uint64
	Seq       uint64

	Namespace   []byte
	TaskID      []byte
	TaskType    []byte
	Queue       []byte
	Runner      []byte
	Agent       []byte
	Provider    []byte
	UserID      []byte
	Amount      []byte
	Currency    []byte
	Input       []byte
	Output      []byte
	MaxAttempts int
	// Metadata are the task's pairs, without the prefix of the wire.
	Metadata []Attribute

	Run      int
	Attempt  int
	Attempts int

	// OccurredAt is the writer's clock. IngestedAt is the collector's: the
	// frame's out of [ScanFrame], the record's observed time out of
	// [DecodeLogRecord].
	OccurredAt int64
	IngestedAt int64

	TraceID timeline.TraceID
	SpanID  timeline.SpanID

	Duration  int64
	Reason    []byte // why the run failed
	StopProof []byte

	// Has says which of the groups below were reported; the others are zero.
	Has        Group
	Error      ErrorFields
	Policy     timeline.Policy
	Retry      RetryFields
	Breaker    BreakerFields
	DeadLetter DeadLetterFields
	Operator   OperatorFields
	Gap        GapFields
	Setting    SettingFields
	Progress   ProgressFields

	// Attributes are those beyond the vocabulary, the first
	// [timeline.MaxAttributePairs] of them; Excess counts the rest.
	Attributes []Attribute
	Excess     int

	// Raw is the LogRecord message itself.
	Raw []byte

	// Foreign: the record is one of the four telemetry events of a foreign SDK,
	// read as a timeline event.
	Foreign bool
	// Derived: the record does not stand on the wire but follows from the one
	// before it (moved_to_dlq after a foreign task_failed).
	Derived bool

	name       []byte // event_name
	altName    []byte // the attribute event.name
	httpStatus Value  // of http.response.status_code, as it stands
	bad        *timeline.FieldError
	whole      bool // everything was read, not what is brief alone
	standing   standing
	keep
}

// keep is what outlives one record.
type keep struct {
	// Skipped counts, over the life of the Record, what [ScanFrame] could not
	// read and passed over.
	Skipped uint64

	scratch []byte // text of coerced values
	sorted  []Attribute
	lenient bool // a field that can't be read is left empty
}

// Group is a set of the optional groups of fields.
type Group uint16

// The groups, one for each optional struct of [timeline.Event].
const (
	HasError Group = 1 << iota
	HasPolicy
	HasRetry
	HasBreaker
	HasDeadLetter
	HasOperator
	HasGap
	HasSetting
	HasProgress
)

// ErrorFields is [timeline.Error] as views.
type ErrorFields struct {
	Class, Kind, Message, Code []byte
	HTTPStatus                 int
	Fingerprint, Stack         []byte
}

// RetryFields is [timeline.Retry] as views.
type RetryFields struct {
	NextAttempt    int
	Delay          int64
	Reason         []byte
	Base, Cap      int64
	Factor, Jitter float64
	CommandID      timeline.ID
}

// BreakerFields is [timeline.Breaker] as views.
type BreakerFields struct {
	Provider, State, Why                    []byte
	Calls, Failures, SlowCalls, Consecutive int
	OpenUntil                               int64
}

// DeadLetterFields is [timeline.DeadLetterRef] as views.
type DeadLetterFields struct {
	ID                       timeline.ID
	AlertSeverity            timeline.AlertSeverity
	Requeueable, AutoRecover bool
	KeptInput                bool
	NotReplayable, Sealed    []byte
	SourceID                 []byte
}

// OperatorFields is [timeline.Operator] as views.
type OperatorFields struct {
	Actor, Reason           []byte
	CommandID               timeline.ID
	InputBefore, InputAfter []byte
	InputPatch              []byte
	InputEdits              int
}

// SettingFields is [timeline.Setting] as views.
type SettingFields struct {
	Kind, ID []byte
	Version  uint64
	Deleted  bool
	Body     []byte
}

// GapFields is [timeline.Gap] as views.
type GapFields struct {
	From, To uint64
	Reason   []byte
}

// ProgressFields is [timeline.Progress] as views.
type ProgressFields struct {
	Done, Total, Fraction float64
	Message               []byte
	At                    int64
}

// Attribute is one key and its value as it stands on the wire.
type Attribute struct {
	Key   []byte
	Value Value
}
