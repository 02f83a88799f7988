package query

import (
	"github.com/gofiber/fiber/v2"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

const channelPart = "what notifies channels"

func (s *Server) channels() (ChannelManager, error) {
	if s.deps.Channels == nil {
		return nil, unavailable(channelPart, nil)
	}
	return s.deps.Channels, nil
}

func (s *Server) getChannels(r *request) error {
	channels, err := s.channels()
	if err != nil {
		return err
	}
	rows, err := channels.Channels(r.ctx)
	if err != nil {
		return partFailure(channelPart, "list channels", err)
	}
	set, err := s.settings.all(r.ctx, r.scope.Namespace, timeline.SettingChannel)
	if err != nil {
		return err
	}
	return r.answer(fiber.StatusOK, listBody[readmodel.Channel]{Data: withChannelSettings(rows, set, r.scope.Namespace)})
}

// testChannel sends a notification that says it is a test, and answers with how
// that went: a receiver that refused it is no error of ours.
func (s *Server) testChannel(r *request, body []byte) (reply, error) {
	if err := decodeBody(r, body, &struct{}{}); err != nil {
		return reply{}, err
	}
	name, err := r.pathName()
	if err != nil {
		return reply{}, err
	}
	channels, err := s.channels()
	if err != nil {
		return reply{}, err
	}
	d, err := channels.TestChannel(r.ctx, r.scope.Namespace, name)
	if err != nil {
		return reply{}, partFailure(channelPart, "test channel", err)
	}
	return reply{status: fiber.StatusOK, body: d}, nil
}

func (s *Server) getDeliveries(r *request) error {
	name, err := r.pathName()
	if err != nil {
		return err
	}
	statuses, parse := words(readmodel.DeliveryStatuses())
	filter := readmodel.DeliveryFilter{Channel: name, Statuses: enumList(r.params, "status", statuses, parse)}
	if v, ok := r.params.raw("alert_id"); ok {
		if filter.AlertID, err = timeline.ParseID(v); err != nil {
			r.params.note("alert_id", "want the 36 characters of an alert's id")
		}
	}
	page, hash, err := s.page(r, name)
	if err != nil {
		return err
	}
	channels, err := s.channels()
	if err != nil {
		return err
	}
	rows, err := channels.Deliveries(r.ctx, r.scope, filter, page)
	if err != nil {
		return partFailure(channelPart, "list deliveries", err)
	}
	return r.answer(fiber.StatusOK, listOf(s, hash, rows, func(d readmodel.Delivery) readmodel.Delivery { return d }))
}

func (s *Server) resendDelivery(r *request, body []byte) (reply, error) {
	if err := decodeBody(r, body, &struct{}{}); err != nil {
		return reply{}, err
	}
	name, err := r.pathName()
	if err != nil {
		return reply{}, err
	}
	id, err := pathText("id", r.c.Params("id"), timeline.MaxNameBytes)
	if err != nil {
		return reply{}, err
	}
	channels, err := s.channels()
	if err != nil {
		return reply{}, err
	}
	r.audit = append(r.audit, "delivery_id", printable(id))
	d, err := channels.Resend(r.ctx, r.scope, name, id)
	if err != nil {
		return reply{}, partFailure(channelPart, "resend", err)
	}
	return reply{status: fiber.StatusAccepted, body: d}, nil
}
