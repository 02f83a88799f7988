package failure

import "syscall"

// systemErrnoKinds are the numbers Winsock and Windows use; Go's E constants
// stand beside them there.
var systemErrnoKinds = map[syscall.Errno]errnoKind{
	10061: {kind: KindConnectionRefused, code: "WSAECONNREFUSED"},
	10065: {kind: KindHostUnreachable, code: "WSAEHOSTUNREACH"},
	10064: {kind: KindHostUnreachable, code: "WSAEHOSTDOWN"},
	10051: {kind: KindNetworkUnreachable, code: "WSAENETUNREACH"},
	10050: {kind: KindNetworkUnreachable, code: "WSAENETDOWN"},
	10054: {kind: KindConnectionReset, code: "WSAECONNRESET"},
	10053: {kind: KindConnectionReset, code: "WSAECONNABORTED"},
	109:   {kind: KindBrokenPipe, code: "ERROR_BROKEN_PIPE"},
	10060: {kind: KindTimeout, code: "WSAETIMEDOUT"},
	10024: {kind: KindTooManyOpenFiles, code: "WSAEMFILE", local: true},
	4:     {kind: KindTooManyOpenFiles, code: "ERROR_TOO_MANY_OPEN_FILES", local: true},
	8:     {kind: KindNoMemory, code: "ERROR_NOT_ENOUGH_MEMORY", local: true},
	10055: {kind: KindNoMemory, code: "WSAENOBUFS", local: true},
	112:   {kind: KindNoSpace, code: "ERROR_DISK_FULL", local: true},
	10049: {kind: KindNoLocalAddress, code: "WSAEADDRNOTAVAIL", local: true},
}
