// Package web holds the built live UI, so that it ships inside the binary.
//
// It serves nothing itself and builds nothing: `npm run build` writes the bundle
// into dist, and package query serves what FS returns.
package web

import (
	"embed"
	"io/fs"
)

// The directory always holds .gitkeep, so that the package compiles where nothing
// was built.
//
//go:embed all:dist
var dist embed.FS

// FS is the built UI, index.html at its root, or nil where this binary was
// compiled without one.
func FS() fs.FS {
	return bundle(dist)
}

func bundle(files fs.FS) fs.FS {
	root, err := fs.Sub(files, "dist")
	if err != nil {
		return nil
	}
	if _, err := fs.Stat(root, "index.html"); err != nil {
		return nil
	}
	return root
}
