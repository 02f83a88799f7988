//go:build !unix

package filelock

import "os"

func lock(*os.File, bool) (bool, error) { return true, nil }
