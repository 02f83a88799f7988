package wire

// AgentScope is the instrumentation scope of what Tasktrail's own agent sends.
const AgentScope = "github.com/tasktrail/tasktrail/agent"

// Resource is who sends: the resource attributes of an export request. Empty
// fields are left out.
type Resource struct {
	ServiceName       string // service.name
	ServiceVersion    string // service.version
	ServiceInstanceID string // service.instance.id
	HostName          string // host.name
}

// AppendExportRequest appends an OTLP ExportLogsServiceRequest that carries the
// records, each a LogRecord message as [AppendLogRecord] writes it, under one
// resource and the scope [AgentScope].
func AppendExportRequest(dst []byte, res Resource, records [][]byte) []byte {
	attributes := [...]struct{ key, value string }{
		{"service.name", res.ServiceName},
		{"service.version", res.ServiceVersion},
		{"service.instance.id", res.ServiceInstanceID},
		{"host.name", res.HostName},
	}
	resource := 0
	for _, a := range attributes {
		if a.value != "" {
			resource += delimitedLen(attributeLen(a.key, a.value))
		}
	}
	const scope = 2 + len(AgentScope)
	scopeLogs := delimitedLen(scope)
	for _, r := range records {
		scopeLogs += delimitedLen(len(r))
	}
	resourceLogs := delimitedLen(resource) + delimitedLen(scopeLogs)

	dst = appendHead(dst, fieldResourceLogs, resourceLogs)
	dst = appendHead(dst, fieldResource, resource)
	for _, a := range attributes {
		if a.value == "" {
			continue
		}
		dst = appendHead(dst, fieldAttributes, attributeLen(a.key, a.value))
		dst = append(dst, tagKey, byte(len(a.key)))
		dst = append(dst, a.key...)
		dst = appendHead(dst, tagValue>>3, delimitedLen(len(a.value)))
		dst = appendHead(dst, tagString>>3, len(a.value))
		dst = append(dst, a.value...)
	}
	dst = appendHead(dst, fieldScopeLogs, scopeLogs)
	dst = appendHead(dst, fieldScope, scope)
	dst = appendHead(dst, fieldScopeName, len(AgentScope))
	dst = append(dst, AgentScope...)
	for _, r := range records {
		dst = appendHead(dst, fieldLogRecords, len(r))
		dst = append(dst, r...)
	}
	return dst
}

// ExportRequestOverhead bounds how many bytes a record adds to an export request
// beyond its own.
const ExportRequestOverhead = 6

// attributeLen is the size of a KeyValue message with a string; keys are shorter
// than 128 bytes.
func attributeLen(key, value string) int {
	return 2 + len(key) + delimitedLen(delimitedLen(len(value)))
}

// delimitedLen is the size of a length-delimited field of n bytes whose number is
// below 16.
func delimitedLen(n int) int { return 1 + varintLen(uint64(n)) + n }

// appendHead appends the tag and the length of a length-delimited field.
func appendHead(dst []byte, num byte, n int) []byte {
	return appendVarint(append(dst, num<<3|wireBytes), uint64(n))
}
