package spool

import "time"

// Stats is what a log has done and holds. Counters are since Open.
type Stats struct {
	Start, End, Durable Position
	NextSeq             uint64

	Segments    int    // segment files, the preallocated one included
	DiskBytes   int64  // preallocated size of all segment files
	Bytes       int64  // bytes of frames held, headers and padding included
	Frames      uint64 // frames held, as far as their segments' seals tell
	FreeBytes   int64  // what Append may still use before it gets ErrFull
	Appends     uint64 // frames appended
	FullRefused uint64 // appends refused with ErrFull

	Syncs           uint64        // fsyncs done; compare with the number of Sync calls
	LastSyncLatency time.Duration // of the last fsync
	MaxSyncLatency  time.Duration // the longest fsync
	SyncFailed      error         // the fsync error that ended durability, if any

	TornBytes     int64  // bytes of an unfinished append cut off at Open
	DamagedRanges uint64 // ranges found damaged, also those not listed any more
	DamagedBytes  uint64 // bytes of those ranges
	DamagedFrames uint64 // sequence numbers known to be missing in them
	CursorsReset  uint64 // cursors whose file was unreadable and that began anew at Start
	SegmentsFreed uint64 // segments deleted behind the cursors
}
