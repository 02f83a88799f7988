package spool

import (
	"os"
	"syscall"
	"unsafe"
)

// allocate writes zeros: fcntl(F_PREALLOCATE) is out of the standard library's
// reach, and blocks it gives are not those a later store is sure to find.
func allocate(f *os.File, size int64) error { return fillZero(f, size) }

// syncData writes the mapping's dirty pages out and has the drive flush its
// cache: File.Sync is F_FULLFSYNC here.
func syncData(f *os.File, data []byte) error {
	if len(data) > 0 {
		_, _, errno := syscall.Syscall(syscall.SYS_MSYNC, uintptr(unsafe.Pointer(&data[0])), uintptr(len(data)), syscall.MS_SYNC)
		if errno != 0 {
			return errno
		}
	}
	return f.Sync()
}

// populate does nothing: pages are faulted in one by one.
func populate([]byte) {}

// bootID names the time since the kernel started.
func bootID() string {
	id, err := syscall.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return ""
	}
	return id
}
