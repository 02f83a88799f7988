//go:build !windows

package failure

import "syscall"

var systemErrnoKinds map[syscall.Errno]errnoKind
