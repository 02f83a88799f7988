//go:build !linux

package livetest

import "syscall"

func dieWithParent() *syscall.SysProcAttr { return nil }
