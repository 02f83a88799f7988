package collector

import (
	"encoding/binary"
	"encoding/json"
	"strconv"

	"github.com/tasktrail/tasktrail/timeline/wire"
)

// appendExportResponse encodes an ExportLogsServiceResponse: empty where every
// record was taken, else with partial_success.
func appendExportResponse(dst []byte, report *wire.Report) []byte {
	if report.Rejected == 0 {
		return dst
	}
	message := report.Message()
	partial := binary.AppendUvarint([]byte{0x08}, uint64(report.Rejected)) // rejected_log_records
	partial = append(partial, 0x12)                                        // error_message
	partial = binary.AppendUvarint(partial, uint64(len(message)))
	partial = append(partial, message...)
	dst = append(dst, 0x0a) // partial_success
	dst = binary.AppendUvarint(dst, uint64(len(partial)))
	return append(dst, partial...)
}

// exportResponseJSON is the JSON form; 64-bit numbers are strings there.
func exportResponseJSON(report *wire.Report) []byte {
	if report.Rejected == 0 {
		return []byte("{}")
	}
	type partial struct {
		Rejected string `json:"rejectedLogRecords"`
		Message  string `json:"errorMessage"`
	}
	b, err := json.Marshal(struct {
		PartialSuccess partial `json:"partialSuccess"`
	}{partial{strconv.Itoa(report.Rejected), report.Message()}})
	if err != nil {
		return []byte("{}")
	}
	return b
}
