package query

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"

	"github.com/gofiber/fiber/v2"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

func (s *Server) getRules(r *request) error {
	if err := r.params.err(); err != nil {
		return err
	}
	channels, err := s.channels()
	if err != nil {
		return err
	}
	book, err := channels.Rules(r.ctx)
	if err != nil {
		return partFailure(channelPart, "list rules", err)
	}
	set, err := s.settings.all(r.ctx, r.scope.Namespace, timeline.SettingRule)
	if err != nil {
		return err
	}
	return r.answer(fiber.StatusOK, ruleList{
		listBody: listBody[readmodel.AlertRule]{Data: withRuleSettings(book.Rules, set, r.scope.Namespace)}, Severity: book.Severity,
	})
}

// ruleList is the list of rules with what decides how loudly a failed task calls,
// which stands in the file beside them.
type ruleList struct {
	listBody[readmodel.AlertRule]
	Severity readmodel.Severities `json:"severity"`
}

// withRuleSettings lays what is set over what the processes that evaluate rules
// tell.
func withRuleSettings(rows []readmodel.AlertRule, set []timeline.StoredSetting, namespace string) []readmodel.AlertRule {
	out := []readmodel.AlertRule{}
	disabled := map[string]string{}
	for _, rule := range rows {
		switch {
		case rule.Source != readmodel.FromAPI:
			out = append(out, rule)
		case rule.Namespace == namespace:
			disabled[rule.Name] = rule.Disabled
		}
	}
	for _, v := range set {
		var words struct {
			Kind     string                 `json:"kind"`
			Severity timeline.AlertSeverity `json:"severity"`
		}
		_ = json.Unmarshal(v.Body, &words)
		out = append(out, readmodel.AlertRule{
			Name: v.ID, Kind: words.Kind, Severity: cmp.Or(words.Severity, timeline.AlertHigh), Namespace: namespace, Source: readmodel.FromAPI,
			Rule: v.Body, Disabled: disabled[v.ID], ChangedAt: v.ChangedAt, ChangedBy: v.Operator.Actor,
		})
	}
	slices.SortStableFunc(out, func(a, b readmodel.AlertRule) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func (s *Server) putRule(r *request, body []byte) (reply, error) {
	in, err := s.readAlertBody(r, body, false)
	if err != nil {
		return reply{}, err
	}
	settings, err := s.alertSettings()
	if err != nil {
		return reply{}, err
	}
	if err := settings.Rule(r.scope.Namespace, in.body); err != nil {
		return reply{}, asFieldFailure(err)
	}
	if err := s.notInFile(r, timeline.SettingRule, in.name); err != nil {
		return reply{}, err
	}
	stored, err := s.settings.latest(r.ctx, r.scope.Namespace, timeline.SettingRule, in.name)
	if err != nil {
		return reply{}, err
	}
	made := stored.Version == 0 || stored.Deleted
	if made {
		if err := s.roomFor(r, timeline.SettingRule, maxRules); err != nil {
			return reply{}, err
		}
	}
	r.audit = append(r.audit, "reason", in.reason, "rule", printable(in.name))
	v, err := s.setAfter(r.ctx, r.scope.Namespace, timeline.SettingRule, in.name, stored.Version, in.body, timeline.Operator{Actor: r.principal.ID, Reason: in.reason})
	if err != nil {
		return reply{}, err
	}
	return reply{
		status: createdWhere(made), location: s.withNamespace(r.scope, base+"/rules"),
		body: withRuleSettings(nil, []timeline.StoredSetting{v}, r.scope.Namespace)[0],
	}, nil
}

func (s *Server) deleteRule(r *request, _ []byte) (reply, error) {
	return s.deleteAlertSetting(r, timeline.SettingRule)
}

// tryRule says when a rule would have fired, over what is stored.
func (s *Server) tryRule(r *request, body []byte) (reply, error) {
	var in struct {
		Rule  json.RawMessage `json:"rule"`
		Since string          `json:"since"`
	}
	if err := decodeBody(r, body, &in); err != nil {
		return reply{}, err
	}
	if len(in.Rule) == 0 {
		return reply{}, wrongBody("rule", "want a rule: an object with name, kind, …")
	}
	if in.Since == "" {
		in.Since = "7d"
	}
	back, err := parseDuration(in.Since)
	if err != nil || back <= 0 || back > maxTried {
		return reply{}, wrongBody("since", "want a duration up to 366d, such as 90m, 24h or 7d")
	}
	settings, err := s.alertSettings()
	if err != nil {
		return reply{}, err
	}
	if err := settings.Rule(r.scope.Namespace, in.Rule); err != nil {
		return reply{}, asFieldFailure(err)
	}
	to := s.now().UTC()
	trial, err := settings.TryRule(r.ctx, r.scope.Namespace, in.Rule, to.Add(-back), to)
	if err != nil {
		var field *timeline.FieldError
		if errors.As(err, &field) {
			return reply{}, asFieldFailure(err)
		}
		return reply{}, readFailure("try rule", err)
	}
	return reply{status: fiber.StatusOK, body: trial}, nil
}
