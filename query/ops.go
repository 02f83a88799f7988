package query

import (
	"context"
	_ "embed"
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
