package wire

import "fmt"

// Field numbers of the messages around a log record
// (opentelemetry/proto/collector/logs/v1, logs/v1, resource/v1, common/v1).
const (
	fieldResourceLogs = 1 // ExportLogsServiceRequest.resource_logs
	fieldResource     = 1 // ResourceLogs.resource
	fieldScopeLogs    = 2 // ResourceLogs.scope_logs
	fieldScope        = 1 // ScopeLogs.scope
	fieldLogRecords   = 2 // ScopeLogs.log_records
	fieldAttributes   = 1 // Resource.attributes
	fieldScopeName    = 1 // InstrumentationScope.name

	tagLogRecords = fieldLogRecords<<3 | wireBytes
)

// walker goes through the log records of an export request.
type walker struct {
	request, resource, scope []byte // what is left of each level
	around                   []byte // the ResourceLogs message it stands in
	service                  []byte // its service.name, once it was looked for
	looked                   bool
	own                      bool // the scope is that of Tasktrail's own agent
	malformed                bool
}

// next gives the next LogRecord message; false at the end, or where the request
// is malformed.
func (w *walker) next() ([]byte, bool) {
	for {
		for len(w.scope) > 0 {
			if w.scope[0] == tagLogRecords {
				record, rest, ok := delimited(w.scope[1:])
				if !ok {
					return w.fail()
				}
				w.scope = rest
				return record, true
			}
			f, rest, ok := nextField(w.scope)
			if !ok || f.num <= fieldLogRecords && f.wire != wireBytes {
				return w.fail()
			}
			w.scope = rest
			if f.num == fieldLogRecords { // its tag as a longer varint than it needs
				return f.b, true
			}
		}
		switch {
		case len(w.resource) > 0:
			f, rest, ok := nextField(w.resource)
			if !ok || f.num <= fieldScopeLogs && f.wire != wireBytes {
				return w.fail()
			}
			w.resource = rest
			if f.num == fieldScopeLogs {
				w.scope = f.b
				w.own = string(scopeName(f.b)) == AgentScope
			}
		case len(w.request) > 0:
			f, rest, ok := nextField(w.request)
			if !ok || f.num == fieldResourceLogs && f.wire != wireBytes {
				return w.fail()
			}
			w.request = rest
			if f.num == fieldResourceLogs {
				w.resource, w.around = f.b, f.b
				w.service, w.looked = nil, false
			}
		default:
			return nil, false
		}
	}
}

func (w *walker) fail() ([]byte, bool) {
	w.malformed = true
	return nil, false
}

// err is that of the frame that the request stands in, after next gave false.
func (w *walker) err() error {
	if w.malformed {
		return fmt.Errorf("%w: request: %w", ErrCorruptFrame, ErrMalformed)
	}
	return nil
}

// sub gives the first field of that number, which must be length-delimited.
func sub(b []byte, num uint32) []byte {
	for len(b) > 0 {
		f, rest, ok := nextField(b)
		if !ok {
			return nil
		}
		if f.num == num && f.wire == wireBytes {
			return f.b
		}
		b = rest
	}
	return nil
}

func scopeName(scopeLogs []byte) []byte {
	return sub(sub(scopeLogs, fieldScope), fieldScopeName)
}

// serviceName gives the service.name of the resource around the record. It is
// looked for once a resource: a request may hold many records under one whose
// attributes are long.
func (w *walker) serviceName() []byte {
	if !w.looked {
		w.service, w.looked = serviceName(w.around), true
	}
	return w.service
}

// serviceName gives the service.name of a ResourceLogs message.
func serviceName(resourceLogs []byte) []byte {
	for b := sub(resourceLogs, fieldResource); len(b) > 0; {
		f, rest, ok := nextField(b)
		if !ok {
			return nil
		}
		b = rest
		if f.num != fieldAttributes || f.wire != wireBytes {
			continue
		}
		if key, v, ok := keyValue(f.b); ok && string(key) == "service.name" {
			s, _ := v.text()
			return s
		}
	}
	return nil
}

// CountRecords returns how many log records the request in a frame has, without
// reading one; 0 for what is no frame.
func CountRecords(frame []byte) (n int) {
	env, err := openFrame(frame)
	if err != nil {
		return 0
	}
	for w := (walker{request: env.request}); ; n++ {
		if _, ok := w.next(); !ok {
			return n
		}
	}
}
