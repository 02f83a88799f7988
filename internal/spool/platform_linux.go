package spool

import (
	"errors"
	"os"
	"strings"
	"syscall"
)

// adviseWrite is MADV_POPULATE_WRITE (Linux 5.14, include/uapi/asm-generic/mman-common.h).
const adviseWrite = 23

// allocate gives the file size bytes of real blocks.
func allocate(f *os.File, size int64) error {
	for {
		err := onDescriptor(f, func(fd int) error { return syscall.Fallocate(fd, 0, 0, size) })
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, syscall.ENOSYS):
			return fillZero(f, size)
		default:
			return err
		}
	}
}

// syncData has the data of the file on the disk, stores into a mapping of it
// included: a mapped page is write-protected while clean, so that the first
// store marks it dirty in the page cache, which is what fdatasync writes out.
// msync(MS_SYNC) is the same call, vfs_fsync_range with datasync set (Linux,
// mm/msync.c). A file's size is part of what fdatasync keeps (fdatasync(2)).
func syncData(f *os.File, _ []byte) error {
	for {
		err := onDescriptor(f, syscall.Fdatasync)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// populate is a hint: kernels that don't know it fault page by page.
func populate(b []byte) { _ = syscall.Madvise(b, adviseWrite) }

// bootID names the time since the kernel started: the page cache, and with it
// what was appended and not synced, is the same as long as it is the same.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
