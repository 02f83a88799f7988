// Package wire is the mapping between timeline events and OpenTelemetry (OTLP)
// log records: the names of the attributes, the encoder an agent uses, the
// decoder everything behind a collector uses, the check at a collector's door,
// and the frames of a collector's log.
//
// It works on protobuf bytes directly, so that it allocates nothing where
// nothing is refused and imports the standard library alone. It does no input
// or output, and it knows nothing of gRPC, HTTP or OTLP's JSON form (see
// timeline/wire/otlpjson for that).
package wire
