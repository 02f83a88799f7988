package query

import (
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

const providerPart = "what knows the providers' breakers"

func (s *Server) providers() (ProviderReader, error) {
	if s.deps.Providers == nil {
		return nil, unavailable(providerPart, nil)
	}
	return s.deps.Providers, nil
}

func (s *Server) getProviders(r *request) error {
	window := r.params.duration("window", time.Minute, maxWindow, 24*time.Hour)
	if err := r.params.err(); err != nil {
		return err
	}
	providers, err := s.providers()
	if err != nil {
		return err
	}
	rows, err := providers.Providers(r.ctx, r.scope, window)
	if err != nil {
		return partFailure(providerPart, "list providers", err)
	}
	out := listBody[readmodel.Provider]{Data: make([]readmodel.Provider, 0, len(rows))}
	for _, p := range rows {
		if p.Breakers == nil {
			p.Breakers = []readmodel.ProviderBreaker{}
		}
		out.Data = append(out.Data, p)
	}
	return r.answer(fiber.StatusOK, out)
}

func (s *Server) getProviderHistory(r *request) error {
	name, err := r.pathName()
	if err != nil {
		return err
	}
	page, hash, err := s.page(r, name)
	if err != nil {
		return err
	}
	providers, err := s.providers()
	if err != nil {
		return err
	}
	rows, err := providers.ProviderHistory(r.ctx, r.scope, name, page)
	if err != nil {
		return partFailure(providerPart, "read the history of a provider", err)
	}
	return r.answer(fiber.StatusOK, listOf(s, hash, rows, func(c readmodel.BreakerChange) readmodel.BreakerChange { return c }))
}
