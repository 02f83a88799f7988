package query

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

const maxTopics = 50

// topic is one thing a stream follows.
type topic struct {
	// name is what the reader called it.
	name string
	// task or user is whose topic it is; both are empty for tasks and alerts.
	task, user string
	// channels are where it is published.
	channels []string
	// own: the reader was shown to own the task, so that its messages need not name
	// the user.
	own bool
}

// splitTopics takes a value apart at commas. Ids may hold commas too: one counts
// only where a topic follows it.
func splitTopics(values []string) []string {
	var names []string
	for _, v := range values {
		start := 0
		for i := range len(v) {
			if v[i] != ',' {
				continue
			}
			if rest := v[i+1:]; beginsTopic(rest) {
				names = append(names, v[start:i])
				start = i + 1
			}
		}
		names = append(names, v[start:])
	}
	return names
}

func beginsTopic(s string) bool {
	if strings.HasPrefix(s, timeline.TopicTask) || strings.HasPrefix(s, timeline.TopicUser) {
		return true
	}
	for _, word := range [...]string{timeline.TopicTasks, timeline.TopicAlerts} {
		if s == word || strings.HasPrefix(s, word+",") {
			return true
		}
	}
	return false
}

// topics reads and authorises what a stream shall follow. What a token does not
// see is not found, as everywhere.
func (s *Server) topics(r *request) ([]topic, error) {
	names := splitTopics(r.params.values["topics"])
	if len(names) == 0 {
		return nil, invalid("topics", "want at least one of task:{id}, user_dashboard:{user}, tasks, alerts")
	}
	if len(names) > maxTopics {
		return nil, invalid("topics", "%d topics, the limit is %d", len(names), maxTopics)
	}
	user := r.scope.UserID
	channel := func(topic string) string { return timeline.InNamespace(r.scope.Namespace, topic) }
	seen := map[string]bool{}
	var topics []topic
	for _, name := range names {
		if seen[name] {
			continue
		}
		seen[name] = true
		t := topic{name: name}
		switch {
		case strings.HasPrefix(name, timeline.TopicTask):
			t.task = name[len(timeline.TopicTask):]
			if err := topicID(t.task); err != nil {
				return nil, err
			}
			t.channels = []string{channel(name)}
			if user != "" {
				if _, err := s.task(r.ctx, r.scope, t.task); err != nil {
					return nil, fmt.Errorf("topic: %w", err)
				}
				t.own = true
			}
		case strings.HasPrefix(name, timeline.TopicUser):
			t.user = name[len(timeline.TopicUser):]
			if err := topicID(t.user); err != nil {
				return nil, err
			}
			if user != "" && t.user != user {
				return nil, readmodel.ErrNotFound
			}
			t.channels = []string{channel(name)}
		case name == timeline.TopicTasks && user != "":
			// Everybody's lifecycle is not for one user: theirs comes on their own channel.
			t.user, t.channels = user, []string{channel(timeline.TopicUser + user)}
		case name == timeline.TopicTasks:
			t.channels = []string{channel(name)}
		case name == timeline.TopicAlerts:
			for _, sev := range [...]timeline.AlertSeverity{timeline.AlertMedium, timeline.AlertHigh, timeline.AlertCritical} {
				t.channels = append(t.channels, channel(timeline.AlertTopic(sev)))
			}
		default:
			return nil, invalid("topics", "%q is not one of task:{id}, user_dashboard:{user}, tasks, alerts", printable(name))
		}
		topics = append(topics, t)
	}
	return topics, nil
}

func topicID(id string) error {
	if id == "" || len(id) > timeline.MaxTaskIDBytes || !utf8.ValidString(id) {
		return invalid("topics", "an id has 1 to %d bytes of UTF-8", timeline.MaxTaskIDBytes)
	}
	return nil
}

// shows reports whether the reader may see a message of the topic about a task or
// alert of that namespace and user. It is asked for every message, whatever
// channel it came on: a channel's name is no proof.
func (t *topic) shows(scope readmodel.Scope, namespace, user string) bool {
	if namespace == "" {
		namespace = timeline.DefaultNamespace
	}
	if namespace != scope.Namespace {
		return false
	}
	return scope.UserID == "" || user == scope.UserID || (t.own && user == "")
}

var errUnreadable = errors.New("not a live message")
