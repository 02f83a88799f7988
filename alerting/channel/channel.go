package channel

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"text/template"

	"github.com/tasktrail/tasktrail/alerting/render"
	"github.com/tasktrail/tasktrail/timeline"
)

// Links lead into the UI; without a base there are none.
type Links struct{ Base string }

// Alert leads to an alert's task, or to the alerts.
func (l Links) Alert(a *timeline.Alert) string {
	if l.Base == "" {
		return ""
	}
	path := "/alerts"
	if a.TaskID != "" {
		path = "/tasks/" + url.PathEscape(a.TaskID)
	}
	link := strings.TrimRight(l.Base, "/") + path
	if a.Namespace != "" && a.Namespace != timeline.DefaultNamespace {
		link += "?namespace=" + url.QueryEscape(a.Namespace)
	}
	return link
}

// Channel is a notifier with its templates. It is safe for concurrent use.
type Channel struct {
	Config
	notifier    Notifier
	links       Links
	title, text *template.Template
	close       func()
}

// New makes a channel; c is completed and checked.
func New(c Config, links Links) (*Channel, error) {
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	ch := &Channel{Config: c, links: links}
	for _, part := range []struct {
		source string
		into   **template.Template
	}{{c.Title, &ch.title}, {c.Text, &ch.text}} {
		if part.source == "" {
			continue
		}
		t, err := render.Parse(part.source)
		if err != nil {
			return nil, err
		}
		*part.into = t
	}
	switch c.Type {
	case Webhook:
		w, err := newWebhook(c, links)
		if err != nil {
			return nil, err
		}
		ch.notifier, ch.close = w, w.caller.close
	case Alertmanager:
		m := &alertmanager{caller: newCaller(c), links: links, repeat: c.Repeat.D()}
		ch.notifier, ch.close = m, m.caller.close
	case Slack:
		s := &slack{caller: newCaller(c), links: links}
		ch.notifier, ch.close = s, s.caller.close
	case PagerDuty:
		p := &pagerDuty{caller: newCaller(c), key: c.RoutingKey, links: links}
		ch.notifier, ch.close = p, p.caller.close
	default:
		return nil, fmt.Errorf("type: %.32q is not known", c.Type)
	}
	return ch, nil
}

// Notify makes the call, in the words of the templates. One that fails gives way
// to the alert's own words, and the text says so: a call in plain words is worth
// more than none.
func (c *Channel) Notify(ctx context.Context, n Notification) error {
	if c.title == nil && c.text == nil {
		return c.notifier.Notify(ctx, n)
	}
	all := n.Alerts()
	n.More = nil
	for i := range all {
		a := c.reworded(all[i], all)
		if i == 0 {
			n.Alert = a
		} else {
			n.More = append(n.More, a)
		}
	}
	return c.notifier.Notify(ctx, n)
}

func (c *Channel) reworded(a timeline.Alert, all []timeline.Alert) timeline.Alert {
	data := &render.Data{Alert: a, Alerts: all, Link: c.links.Alert(&a)}
	for _, part := range []struct {
		t    *template.Template
		into *string
	}{{c.title, &a.Title}, {c.text, &a.Text}} {
		if part.t == nil {
			continue
		}
		got, err := render.Execute(part.t, data)
		if err != nil {
			a.Text = strings.TrimSpace(a.Text + "\n(the channel's template failed: " + err.Error() + ")")
			continue
		}
		*part.into = got
	}
	return a
}

// Close gives idle connections up.
func (c *Channel) Close() { c.close() }
