package query

import (
	"context"
	_ "embed"
	"errors"
	"io/fs"
	"mime"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
)

// OpenAPI is the document that describes the API, as /openapi.yaml serves it.
//
//go:embed openapi.yaml
var OpenAPI []byte

const readyTimeout = 2 * time.Second

// handleHealthz says that the process answers.
func (s *Server) handleHealthz(c *fiber.Ctx) error {
	return c.JSON(fiber.Map{"status": "ok"})
}

// handleReadyz says whether the parts the service needs are there. What is wrong
// with one goes to the log: the route is open to all.
func (s *Server) handleReadyz(c *fiber.Ctx) error {
	ctx, cancel := context.WithTimeout(s.base, readyTimeout)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	checks, ready := map[string]string{}, !s.stopping.Load()
	for name, check := range s.deps.Ready {
		wg.Go(func() {
			err := check(ctx)
			mu.Lock()
			defer mu.Unlock()
			checks[name] = "ready"
			if err != nil {
				checks[name], ready = "not ready", false
				s.log.Warn("not ready", "part", name, "error", err)
			}
		})
	}
	wg.Wait()
	status, word := fiber.StatusOK, "ready"
	if !ready {
		status, word = fiber.StatusServiceUnavailable, "not ready"
	}
	return c.Status(status).JSON(fiber.Map{"status": word, "checks": checks})
}

func (s *Server) handleOpenAPI(c *fiber.Ctx) error {
	c.Set(fiber.HeaderContentType, "application/yaml; charset=utf-8")
	return c.Send(OpenAPI)
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
	return c.Send(b)
}
