package failure

import "syscall"

// errnoKinds names the error numbers that have a row of their own.
var errnoKinds = func() map[syscall.Errno]errnoKind {
	kinds := map[syscall.Errno]errnoKind{
		syscall.ECONNREFUSED:  {kind: KindConnectionRefused, code: "ECONNREFUSED"},
		syscall.EHOSTUNREACH:  {kind: KindHostUnreachable, code: "EHOSTUNREACH"},
		syscall.EHOSTDOWN:     {kind: KindHostUnreachable, code: "EHOSTDOWN"},
		syscall.ENETUNREACH:   {kind: KindNetworkUnreachable, code: "ENETUNREACH"},
		syscall.ENETDOWN:      {kind: KindNetworkUnreachable, code: "ENETDOWN"},
		syscall.ECONNRESET:    {kind: KindConnectionReset, code: "ECONNRESET"},
		syscall.ENETRESET:     {kind: KindConnectionReset, code: "ENETRESET"},
		syscall.ECONNABORTED:  {kind: KindConnectionReset, code: "ECONNABORTED"},
		syscall.EPIPE:         {kind: KindBrokenPipe, code: "EPIPE"},
		syscall.ETIMEDOUT:     {kind: KindTimeout, code: "ETIMEDOUT"},
		syscall.EMFILE:        {kind: KindTooManyOpenFiles, code: "EMFILE", local: true},
		syscall.ENFILE:        {kind: KindTooManyOpenFiles, code: "ENFILE", local: true},
		syscall.ENOMEM:        {kind: KindNoMemory, code: "ENOMEM", local: true},
		syscall.ENOBUFS:       {kind: KindNoMemory, code: "ENOBUFS", local: true},
		syscall.ENOSPC:        {kind: KindNoSpace, code: "ENOSPC", local: true},
		syscall.EDQUOT:        {kind: KindNoSpace, code: "EDQUOT", local: true},
		syscall.EADDRNOTAVAIL: {kind: KindNoLocalAddress, code: "EADDRNOTAVAIL", local: true},
	}
	for number, kind := range systemErrnoKinds {
		kinds[number] = kind
	}
	return kinds
}()
