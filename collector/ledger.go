package collector

// Ledger accounts for every record that came to the door, over restarts too:
// for each sink, Accepted = Written + Queued + SetAside + Skipped.
// Records are OTLP log records.
type Ledger struct {
	// LogID is the id of the log that the counts belong to.
	LogID string `json:"log_id"`
	// Accepted and Frames count what stands in the log, ever.
	Accepted uint64 `json:"accepted_records"`
	Frames   uint64 `json:"accepted_frames"`
	// Refused counts records that were turned away at the door; after a kill the
	// last second of it may be missing.
	Refused uint64       `json:"refused_records"`
	Damaged uint64       `json:"damaged_frames"`
	Sinks   []SinkLedger `json:"sinks"`
}

// SinkLedger is what became of the accepted records at one sink.
type SinkLedger struct {
	Name     string `json:"name"`
	Written  uint64 `json:"written_records"`
	Queued   uint64 `json:"queued_records"`
	SetAside uint64 `json:"set_aside_records"`
	// Skipped is what a lossy sink passed over because it was too old.
	Skipped uint64 `json:"skipped_records"`
}
