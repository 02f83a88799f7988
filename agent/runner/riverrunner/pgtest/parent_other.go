//go:build !linux

package pgtest

import "syscall"

// dieWithParent does nothing: a test binary that is killed leaves its server.
func dieWithParent(*syscall.SysProcAttr) {}
