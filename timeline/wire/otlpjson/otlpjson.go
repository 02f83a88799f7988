// Package otlpjson turns OTLP export requests for logs from their JSON form into
// protobuf and back. It does not check what the records say; that is the
// business of timeline/wire. Agents do not import it.
package otlpjson

import (
	"fmt"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
)

// ToProtobuf reads the JSON form of an ExportLogsServiceRequest and gives the
// protobuf form.
func ToProtobuf(json []byte) ([]byte, error) {
	req := plogotlp.NewExportRequest()
	if err := req.UnmarshalJSON(json); err != nil {
		return nil, fmt.Errorf("read OTLP JSON: %w", err)
	}
	pb, err := req.MarshalProto()
	if err != nil {
		return nil, fmt.Errorf("write OTLP protobuf: %w", err)
	}
	return pb, nil
}

// FromProtobuf reads the protobuf form of an ExportLogsServiceRequest and gives
// the JSON form.
func FromProtobuf(pb []byte) ([]byte, error) {
	req := plogotlp.NewExportRequest()
	if err := req.UnmarshalProto(pb); err != nil {
		return nil, fmt.Errorf("read OTLP protobuf: %w", err)
	}
	json, err := req.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("write OTLP JSON: %w", err)
	}
	return json, nil
}
