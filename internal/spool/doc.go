// Package spool is an append-only log of opaque frames in segment files: what
// was appended survives the death of the process, what was synced survives the
// death of the machine, and both are read in order by any number of persisted
// cursors. It does not know what a frame holds, and it sends nothing anywhere.
//
// # Promises
//
//   - A frame is in the kernel's page cache when Append returns: a SIGKILL in the
//     next instruction does not lose it. That takes no system call but for large
//     frames of logs that are synced all the time (Options.DurableOnly), where
//     one costs less than the faults on the mapped pages.
//   - A frame before a position that Sync has accepted is on the disk. Callers
//     that sync at the same time share one fsync.
//   - Frames are numbered without gaps, over restarts too.
//   - Damage is found by checksum and reported with its range, positions and
//     sequence numbers alike; its intact neighbours are still read. A wrong
//     payload is never handed out.
//   - The file of a segment that all cursors have passed becomes the next segment
//     where that is missing just then: its pages and blocks are there already.
//   - Disk and memory are bounded. A full log refuses and counts; a reserve of
//     real, preallocated blocks stays for the frames that matter most.
//
// Preallocated blocks are what keeps a store into the mapping from faulting on a
// full disk. File systems that copy on write (btrfs, ZFS) don't keep that
// promise; there such a store, like one into a file that somebody truncated, is
// caught and becomes ErrFault.
//
// # Use
//
//	l, err := spool.Open(spool.Options{Dir: dir})
//	to, err := l.Append(frame)        // survives SIGKILL
//	err = l.Sync(ctx, to)             // survives a power cut
//
//	c, err := l.Cursor("sink")
//	var b spool.Batch
//	for {
//		from, to, frozen := c.Frozen() // a batch begun before a restart is the same batch after it
//		if frozen {
//			err = l.ReadRange(from, to, &b)
//		} else {
//			err = l.ReadBatch(c.Position(), 4<<20, 10_000, &b)
//		}
//		if b.Empty() {
//			err = l.Wait(ctx, c.Position())
//			continue
//		}
//		err = c.Freeze(b.To)           // before the first try
//		err = deliver(b.Token(), b.Frames)
//		err = c.Advance(b.To)
//	}
package spool
