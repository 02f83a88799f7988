package main

// kind is how a field's value stands on the wire.
type kind string

const (
	text     kind = "text"     // a string
	enum     kind = "enum"     // a string of few values
	decimal  kind = "decimal"  // a string, a decimal number
	payload  kind = "payload"  // a string where it is UTF-8, else bytes; lists and maps are read as JSON
	blob     kind = "bytes"    // bytes; a string in base64 is read too
	id       kind = "id"       // a string, the 36 characters of a UUID
	integer  kind = "int"      // an integer
	sequence kind = "sequence" // an integer that is never negative
	number   kind = "double"   // a double
	millis   kind = "ms"       // a double, milliseconds
	instant  kind = "time"     // a string, RFC 3339 in UTC
	boolean  kind = "bool"
	severity kind = "severity" // a string: medium, high, critical
)

// field is one attribute: its name, and where its value lives in an Event and a
// Record.
type field struct {
	key  string
	name string // of the constant
	kind kind
	// event is the Go path below timeline.Event; record below Record, where it
	// differs.
	event  string
	record string
	// typ is the Go type in the event where it is not the kind's own.
	typ string
	// cut is the constant that bounds the text; the rest is cut off when reading.
	// Defaults to timeline.MaxNameBytes where the field is not strict.
	cut string
	// strict: longer text, and text with a NUL in it, is refused instead.
	strict bool
	// aliases are other keys that are read where the key itself is missing.
	aliases []string
	// always: written even where zero, so that an empty group is still there.
	always bool
	// run: the same in every event that one agent writes of one run, so that it can
	// be encoded once.
	run bool
	// quiet: the attribute alone does not mean that its group was reported.
	quiet bool
	// on says which events carry it, doc what it is.
	on, doc string
}

// group is the fields of one struct of an event.
type group struct {
	title  string
	name   string // of the pointer in timeline.Event; empty for the event's own fields
	fields []field
}

var table = []group{
	{title: "Identity", fields: []field{
		{key: "event.id", name: "AttrEventID", kind: id, event: "ID", on: "every event of an agent", doc: "identifies the event; one that arrives twice counts once. Derived from the content where missing"},
		{key: "source.id", name: "AttrSourceID", kind: text, run: true, strict: true, event: "SourceID", on: "every event of an agent", doc: "the spool that wrote the event"},
		{key: "source.seq", name: "AttrSourceSeq", kind: sequence, event: "SourceSeq", on: "every event of an agent", doc: "counts the events of a source without a gap, from 1"},
		{key: "task.seq", name: "AttrTaskSeq", kind: sequence, event: "Seq", on: "every event of an agent", doc: "counts the events of one run at their agent, from 1"},
	}},
	{title: "Task", fields: []field{
		{key: "task.namespace", name: "AttrNamespace", kind: text, run: true, strict: true, event: "Task.Namespace", record: "Namespace", on: "all", doc: "counts where the sender's token allows several namespaces; else the token's own stands"},
		{key: "task.id", name: "AttrTaskID", kind: text, run: true, strict: true, event: "Task.ID", record: "TaskID", on: "all but tombstone and setting_changed, required", doc: "the runner's own id, 1 to 255 bytes"},
		{key: "task.type", name: "AttrTaskType", kind: text, run: true, strict: true, event: "Task.Type", record: "TaskType", on: "all", doc: "what kind of work it is"},
		{key: "task.queue", name: "AttrQueue", kind: text, run: true, strict: true, event: "Task.Queue", record: "Queue", on: "all", doc: "the runner's queue"},
		{key: "task.runner", name: "AttrRunner", kind: text, run: true, strict: true, event: "Task.Runner", record: "Runner", on: "all", doc: "what runs it: asynq, river, http, exec …"},
		{key: "task.agent", name: "AttrAgent", kind: text, run: true, strict: true, event: "Task.Agent", record: "Agent", on: "all", doc: "who executes it; `service.name` of the resource where missing"},
		{key: "task.provider", name: "AttrProvider", kind: text, run: true, strict: true, event: "Task.Provider", record: "Provider", on: "all", doc: "the dependency whose circuit breaker guards it"},
		{key: "task.user_id", name: "AttrUserID", kind: text, run: true, strict: true, event: "Task.UserID", record: "UserID", on: "all", doc: "whose task it is"},
		{key: "task.amount", name: "AttrAmount", kind: decimal, run: true, event: "Task.Amount", record: "Amount", on: "all", doc: "a decimal number as text, 40 bytes at most; a number is read as its exact shortest decimal"},
		{key: "task.currency", name: "AttrCurrency", kind: text, run: true, strict: true, event: "Task.Currency", record: "Currency", on: "all", doc: "ISO 4217 code of the amount"},
		{key: "task.max_attempts", name: "AttrMaxAttempts", kind: integer, run: true, event: "Task.MaxAttempts", record: "MaxAttempts", on: "all", doc: "how many attempts one run may take"},
		{key: "task.input", name: "AttrInput", kind: payload, event: "Task.Input", record: "Input", on: "task_created, dlq_retry_requested", doc: "the input, redacted; 512 KiB at most"},
		{key: "task.output", name: "AttrOutput", kind: payload, event: "Task.Output", record: "Output", on: "task_completed", doc: "the output, redacted; 512 KiB at most"},
	}},
	{title: "Place in the timeline", fields: []field{
		{key: "task.run", name: "AttrRun", kind: integer, run: true, event: "Run", on: "all", doc: "the pass through the pipeline, from 1; 1 where missing"},
		{key: "task.attempt", name: "AttrAttempt", kind: integer, event: "Attempt", on: "events of an attempt", doc: "the call of the executor within the run, from 1; where missing 1 for attempt_* and else none"},
		{key: "task.attempts", name: "AttrAttempts", kind: integer, event: "Attempts", on: "task_completed, task_failed, moved_to_dlq, task_lost", doc: "how many attempts the run took, or had begun when its worker fell silent"},
		{key: "task.duration_ms", name: "AttrDuration", kind: millis, event: "Duration", on: "attempt_success, attempt_failed, task_completed, task_failed", doc: "how long the attempt, or the whole run, took"},
		{key: "task.failure.reason", name: "AttrFailureReason", kind: enum, typ: "timeline.FailureReason", event: "Reason", on: "task_failed, moved_to_dlq", doc: "exhausted, permanent, circuit_open, deadline, poison, retry_after_too_long, retry_budget, lost, cancelled"},
		{key: "task.stop_proof", name: "AttrStopProof", kind: text, event: "StopProof", cut: "timeline.MaxMessageBytes", on: "task_cancelled, cancel_ignored, attempt_aborted", doc: "how the task stopped, that it did not, or why the attempt was aborted"},
	}},
	{title: "Error", name: "Error", fields: []field{
		{key: "error.type", name: "AttrErrorType", kind: text, event: "Kind", always: true, aliases: []string{"exception.type"}, on: "attempt_failed, task_failed, moved_to_dlq", doc: "low-cardinality name of the condition: http_503, timeout, _OTHER …"},
		{key: "error.class", name: "AttrErrorClass", kind: enum, typ: "timeline.ErrorClass", event: "Class", on: "as error.type", doc: "retryable, permanent, aborted, deferred"},
		{key: "error.message", name: "AttrErrorMessage", kind: text, event: "Message", cut: "timeline.MaxMessageBytes", aliases: []string{"exception.message"}, on: "as error.type", doc: "the error's text, redacted; cut at 8 KiB"},
		{key: "error.code", name: "AttrErrorCode", kind: text, event: "Code", on: "as error.type", doc: "the protocol's own code as text"},
		{key: "http.response.status_code", name: "AttrHTTPStatus", kind: integer, event: "HTTPStatus", quiet: true, on: "as error.type", doc: "status code of the response"},
		{key: "error.fingerprint", name: "AttrErrorFingerprint", kind: text, event: "Fingerprint", on: "as error.type", doc: "groups errors that are the same but for their values"},
		{key: "error.stack", name: "AttrErrorStack", kind: text, event: "Stack", cut: "timeline.MaxStackBytes", aliases: []string{"exception.stacktrace"}, on: "as error.type", doc: "where it happened; cut at 32 KiB"},
	}},
	{title: "Policy in force", name: "Policy", fields: []field{
		{key: "policy.max_attempts", name: "AttrPolicyMaxAttempts", kind: integer, event: "MaxAttempts", always: true, on: "task_started", doc: "attempts a run may take"},
		{key: "policy.base_ms", name: "AttrPolicyBase", kind: millis, event: "Base", on: "task_started", doc: "delay of the first retry"},
		{key: "policy.max_ms", name: "AttrPolicyMax", kind: millis, event: "Cap", on: "task_started", doc: "hard cap of a delay"},
		{key: "policy.factor", name: "AttrPolicyFactor", kind: number, event: "Factor", on: "task_started", doc: "growth from one delay to the next"},
		{key: "policy.jitter", name: "AttrPolicyJitter", kind: number, event: "Jitter", on: "task_started", doc: "share of the delay that is drawn on either side"},
		{key: "policy.attempt_timeout_ms", name: "AttrPolicyTimeout", kind: millis, event: "Timeout", on: "task_started", doc: "bound on one attempt"},
		{key: "policy.breaker.failure_rate", name: "AttrPolicyBreakerRate", kind: number, event: "BreakerFailureRate", on: "task_started", doc: "failure rate that opens the breaker"},
		{key: "policy.breaker.min_calls", name: "AttrPolicyBreakerMinCalls", kind: integer, event: "BreakerMinCalls", on: "task_started", doc: "calls below which the rate does not count"},
		{key: "policy.breaker.consecutive_failures", name: "AttrPolicyBreakerConsecutive", kind: integer, event: "BreakerConsecutive", on: "task_started", doc: "failures in a row that open the breaker"},
		{key: "policy.breaker.open_ms", name: "AttrPolicyBreakerOpen", kind: millis, event: "BreakerOpenFor", on: "task_started", doc: "how long the breaker stays open at first"},
	}},
	{title: "Retry", name: "Retry", fields: []field{
		{key: "retry.next_attempt", name: "AttrRetryNextAttempt", kind: integer, event: "NextAttempt", always: true, on: "task_retried", doc: "the attempt that follows"},
		{key: "retry.delay_ms", name: "AttrRetryDelay", kind: millis, event: "Delay", always: true, on: "task_retried", doc: "the wait before it"},
		{key: "retry.reason", name: "AttrRetryReason", kind: enum, typ: "timeline.RetryReason", event: "Reason", on: "task_retried", doc: "backoff, retry_after, provider_paused, retry_budget, manual, auto_recover, resumed"},
		{key: "retry.base_ms", name: "AttrRetryBase", kind: millis, event: "Base", on: "task_retried, backoff", doc: "delay of the first retry"},
		{key: "retry.factor", name: "AttrRetryFactor", kind: number, event: "Factor", on: "task_retried, backoff", doc: "growth from one delay to the next"},
		{key: "retry.max_ms", name: "AttrRetryMax", kind: millis, event: "Cap", on: "task_retried, backoff", doc: "hard cap of the delay"},
		{key: "retry.jitter_drawn", name: "AttrRetryJitter", kind: number, event: "Jitter", on: "task_retried, backoff", doc: "the factor that was drawn"},
		{key: "retry.command_id", name: "AttrRetryCommandID", kind: id, event: "CommandID", on: "task_retried, manual and auto_recover", doc: "the command that asked for it"},
	}},
	{title: "Circuit breaker", name: "Breaker", fields: []field{
		{key: "breaker.state", name: "AttrBreakerState", kind: enum, typ: "timeline.BreakerState", event: "State", always: true, on: "attempt_*, circuit_breaker_*, task_failed", doc: "closed, open, half_open"},
		{key: "breaker.provider", name: "AttrBreakerProvider", kind: text, event: "Provider", on: "circuit_breaker_*", doc: "whose breaker it is"},
		{key: "breaker.why", name: "AttrBreakerWhy", kind: enum, event: "Why", on: "circuit_breaker_opened", doc: "failure_rate, slow_call_rate, consecutive_failures, probe_failed, probe_timeout"},
		{key: "breaker.calls", name: "AttrBreakerCalls", kind: integer, event: "Calls", on: "circuit_breaker_opened", doc: "calls in the window"},
		{key: "breaker.failures", name: "AttrBreakerFailures", kind: integer, event: "Failures", on: "circuit_breaker_opened", doc: "failures among them"},
		{key: "breaker.slow_calls", name: "AttrBreakerSlowCalls", kind: integer, event: "SlowCalls", on: "circuit_breaker_opened", doc: "slow ones among them"},
		{key: "breaker.consecutive_failures", name: "AttrBreakerConsecutive", kind: integer, event: "Consecutive", on: "circuit_breaker_opened", doc: "failures in a row"},
		{key: "breaker.open_until", name: "AttrBreakerOpenUntil", kind: instant, event: "OpenUntil", on: "circuit_breaker_opened", doc: "when it lets a probe through"},
	}},
	{title: "Dead letter", name: "DeadLetter", fields: []field{
		{key: "dead_letter.id", name: "AttrDeadLetterID", kind: id, event: "ID", always: true, on: "moved_to_dlq, dlq_*", doc: "the dead letter the event is about"},
		{key: "dead_letter.alert_severity", name: "AttrAlertSeverity", kind: severity, event: "AlertSeverity", on: "moved_to_dlq", doc: "medium, high, critical"},
		{key: "dead_letter.requeueable", name: "AttrRequeueable", kind: boolean, event: "Requeueable", on: "moved_to_dlq", doc: "the writer owns the re-enqueue"},
		{key: "dead_letter.auto_recover", name: "AttrAutoRecover", kind: boolean, event: "AutoRecover", on: "moved_to_dlq", doc: "a closing breaker retries it"},
		{key: "dead_letter.kept_input", name: "AttrKeptInput", kind: boolean, event: "KeptInput", on: "moved_to_dlq, task_cancelled, dlq_retry_requested", doc: "what is stored of the input was redacted or cut, and the original is with the task's runner"},
		{key: "dead_letter.not_replayable", name: "AttrNotReplayable", kind: text, event: "NotReplayable", cut: "timeline.MaxMessageBytes", on: "moved_to_dlq, task_cancelled", doc: "why the original input is not to be had"},
		{key: "dead_letter.sealed", name: "AttrSealed", kind: blob, event: "Sealed", on: "moved_to_dlq, task_cancelled, dlq_retry_requested", doc: "the original input, encrypted for agents"},
		{key: "dead_letter.source_id", name: "AttrDeadLetterSource", kind: text, event: "SourceID", on: "dlq_retry_requested, cancel_requested", doc: "the source that holds the task, where only that one can start its next run or stop it; `requeue-url` for the URL of its queue"},
	}},
	{title: "Operator", name: "Operator", fields: []field{
		{key: "operator.actor", name: "AttrOperatorActor", kind: text, event: "Actor", always: true, on: "dlq_retry_requested, dlq_discarded, cancel_requested, cancel_ignored, task_retried, task_cancelled", doc: "who asked for it"},
		{key: "operator.reason", name: "AttrOperatorReason", kind: text, event: "Reason", cut: "timeline.MaxMessageBytes", on: "as operator.actor", doc: "why; cut at 8 KiB"},
		{key: "operator.command_id", name: "AttrOperatorCommandID", kind: id, event: "CommandID", on: "as operator.actor", doc: "the command the action became"},
		{key: "operator.input_sha256_before", name: "AttrInputBefore", kind: text, event: "InputBefore", on: "dlq_retry_requested with an edited input", doc: "SHA-256 of the input before"},
		{key: "operator.input_sha256_after", name: "AttrInputAfter", kind: text, event: "InputAfter", on: "dlq_retry_requested with an edited input", doc: "SHA-256 of the input after"},
		{key: "operator.input_patch", name: "AttrInputPatch", kind: payload, event: "InputPatch", on: "dlq_retry_requested with an edited input", doc: "the edit, an RFC 7386 merge patch; 512 KiB at most"},
		{key: "operator.input_edits", name: "AttrInputEdits", kind: integer, event: "InputEdits", on: "dlq_retry_requested of an edited input", doc: "how often the input was edited, this time included"},
	}},
	{title: "Gap", name: "Gap", fields: []field{
		{key: "gap.from_seq", name: "AttrGapFrom", kind: sequence, event: "From", always: true, on: "tombstone", doc: "first sequence number that will never arrive"},
		{key: "gap.to_seq", name: "AttrGapTo", kind: sequence, event: "To", always: true, on: "tombstone", doc: "last one"},
		{key: "gap.reason", name: "AttrGapReason", kind: enum, event: "Reason", on: "tombstone", doc: "shed, refused, set_aside, corrupt"},
	}},
	{title: "Setting", name: "Setting", fields: []field{
		{key: "setting.kind", name: "AttrSettingKind", kind: text, strict: true, event: "Kind", always: true, on: "setting_changed", doc: "what is set: silence, channel, rule, bulk …; 1 to 255 bytes"},
		{key: "setting.id", name: "AttrSettingID", kind: text, strict: true, event: "ID", on: "setting_changed", doc: "which one, within its kind and namespace; 1 to 255 bytes"},
		{key: "setting.version", name: "AttrSettingVersion", kind: sequence, event: "Version", on: "setting_changed", doc: "the highest version is in force, from 1"},
		{key: "setting.deleted", name: "AttrSettingDeleted", kind: boolean, event: "Deleted", on: "setting_changed", doc: "it is set no more"},
		{key: "setting.body", name: "AttrSettingBody", kind: payload, event: "Body", on: "setting_changed", doc: "JSON of the kind's own form; 256 KiB at most"},
	}},
	{title: "Progress (live, never stored)", name: "Progress", fields: []field{
		{key: "task.progress", name: "AttrProgress", kind: number, event: "Fraction", always: true, on: "task_progress", doc: "share that is done, 0 to 1"},
		{key: "task.progress.done", name: "AttrProgressDone", kind: number, event: "Done", on: "task_progress", doc: "units done"},
		{key: "task.progress.total", name: "AttrProgressTotal", kind: number, event: "Total", on: "task_progress", doc: "units in all"},
		{key: "task.progress.message", name: "AttrProgressMessage", kind: text, event: "Message", cut: "timeline.MaxMessageBytes", on: "task_progress", doc: "what is going on; cut at 8 KiB"},
		{key: "task.progress.at", name: "AttrProgressAt", kind: instant, event: "At", on: "task_progress", doc: "when that was"},
	}},
}

// bound is the constant that bounds a text, empty where it is not cut.
func (f *field) bound() string {
	switch {
	case f.strict, f.kind == decimal:
		return ""
	case f.cut != "":
		return f.cut
	default:
		return "timeline.MaxNameBytes"
	}
}

// recordPath is where the field lives in a Record.
func (f *field) recordPath(g *group) string {
	path := f.record
	if path == "" {
		path = f.event
	}
	if g.name != "" {
		path = g.name + "." + path
	}
	return path
}

// shared says that the group of a Record is the event's own struct, because it
// holds numbers alone.
func (g *group) shared() bool { return g.name == "Policy" }
