package pgtest

import "syscall"

// dieWithParent shuts the server down when the test binary ends before it could.
func dieWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGINT }
