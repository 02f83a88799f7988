package query

import (
	"github.com/gofiber/fiber/v2"

	"github.com/tasktrail/tasktrail/timeline"
)

// getUsual tells how long the attempts of a type usually take, to hold one of them
// against. A type nobody knows is no error: nothing is known of it.
func (s *Server) getUsual(r *request) error {
	name, err := pathText("name", r.c.Params("name"), timeline.MaxNameBytes)
	if err != nil {
		return err
	}
	usual, err := s.deps.Reader.Usual(r.ctx, r.scope, name)
	if err != nil {
		return readFailure("read the usual durations", err)
	}
	return r.answer(fiber.StatusOK, usual)
}

// getVersion says what is running.
func (s *Server) getVersion(r *request) error {
	return r.answer(fiber.StatusOK, struct {
		Version string `json:"version"`
		Commit  string `json:"commit,omitempty"`
	}{s.cfg.Version, s.cfg.Commit})
}
