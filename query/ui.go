package query

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"path"
	"strings"
	"sync"

	"github.com/gofiber/fiber/v2"
)

const (
	// packFrom is the size from which a file of the UI is sent compressed: below it
	// the answer's head weighs more.
	packFrom = 1 << 10
	// packedFiles bounds how many compressed files are kept; a build has about thirty.
	packedFiles = 256
)

// packer compresses the UI's files, each when it is first asked for, and keeps what
// came of it: a build never changes while it is served.
type packer struct {
	mu    sync.Mutex
	files map[string][]byte
}

func newPacker() *packer { return &packer{files: map[string][]byte{}} }

// gzip returns the file compressed, or nil where that is of no use.
func (p *packer) gzip(name string, b []byte) ([]byte, error) {
	if len(b) < packFrom {
		return nil, nil
	}
	switch path.Ext(name) {
	case ".js", ".css", ".html", ".svg", ".json":
	default:
		return nil, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if packed, ok := p.files[name]; ok {
		return packed, nil
	}
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, fmt.Errorf("compress %s: %w", name, err)
	}
	if _, err := w.Write(b); err != nil {
		return nil, fmt.Errorf("compress %s: %w", name, err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compress %s: %w", name, err)
	}
	if len(p.files) < packedFiles {
		// The request's memory, which the name may lie in, is used again.
		p.files[strings.Clone(name)] = out.Bytes()
	}
	return out.Bytes(), nil
}

// handleUI serves the web UI's files, and its page for every path that is none:
// the UI reads the path itself.
func (s *Server) handleUI(c *fiber.Ctx) error {
	if s.cfg.UI == nil {
		return &failure{code: codeNoRoute, detail: "the web UI is not part of this build"}
	}
	name := strings.TrimPrefix(path.Clean("/"+c.Params("*")), "/")
	if name == "" {
		name = "index.html"
	}
	if !fs.ValidPath(name) {
		return &failure{code: codeNoRoute}
	}
	b, err := fs.ReadFile(s.cfg.UI, name)
	// What a browser goes to is the page's business, a task id with a dot too; a
	// script or an image that is not there is not.
	page := path.Ext(name) == "" || strings.Contains(c.Get(fiber.HeaderAccept), fiber.MIMETextHTML)
	if err != nil && page && !strings.HasPrefix(name, "assets/") {
		name = "index.html"
		b, err = fs.ReadFile(s.cfg.UI, name)
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return &failure{code: codeNoRoute}
	}
	if err != nil {
		return &failure{code: codeNoRoute, cause: err}
	}
	kind := mime.TypeByExtension(path.Ext(name))
	if kind == "" {
		kind = "application/octet-stream"
	}
	c.Set(fiber.HeaderContentType, kind)
	// Vite puts a hash into the names below assets: they never change.
	c.Set(fiber.HeaderCacheControl, "no-cache")
	if strings.HasPrefix(name, "assets/") {
		c.Set(fiber.HeaderCacheControl, "public, max-age=31536000, immutable")
	}
	c.Set(fiber.HeaderVary, fiber.HeaderAcceptEncoding)
	if c.Get(fiber.HeaderAcceptEncoding) != "" && c.AcceptsEncodings("gzip") == "gzip" {
		packed, err := s.packer.gzip(name, b)
		if err != nil {
			return err
		}
		if packed != nil {
			c.Set(fiber.HeaderContentEncoding, "gzip")
			return c.Send(packed)
		}
	}
	return c.Send(b)
}
