package agent

// The names of what is told to OpenTelemetry, all in one place. Those of the four
// telemetry events stand behind Config.TelemetryNamespace.
const (
	scopeName = "github.com/tasktrail/tasktrail/agent" // the collector knows our own telemetry by it

	eventStarted   = ".task.started"
	eventCompleted = ".task.completed"
	eventFailed    = ".task.failed"
	eventRetry     = ".task.retry"

	metricDuration = ".task.duration"
	metricActive   = ".task.active"
	metricBreaker  = ".circuit_breaker.state"

	spanAttempt = "attempt"

	attrTaskID      = "task.id"
	attrTaskType    = "task.type"
	attrTaskQueue   = "task.queue"
	attrTaskAgent   = "task.agent"
	attrProvider    = "task.provider"
	attrTaskRun     = "task.run"
	attrTaskAttempt = "task.attempt"
	attrTaskUser    = "task.user_id"
	attrOutcome     = "task.outcome"
	attrErrorType   = "error.type"

	outcomeCompleted = "completed"
	outcomeFailed    = "failed"
	outcomeCancelled = "cancelled"
	outcomeAborted   = "aborted"

	attrDurationMS = "duration_ms"
	attrAttempts   = "attempts"
	attrReason     = "reason"
	attrRetryCount = "retry_count"
	attrAttempt    = "attempt"
	attrError      = "error"

	attrMessagingSystem      = "messaging.system"
	attrMessagingOperation   = "messaging.operation.type"
	attrMessagingDestination = "messaging.destination.name"
	attrMessagingMessageID   = "messaging.message.id"
	operationProcess         = "process"
)
