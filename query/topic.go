package query

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

const (
	topicTask   = "task:"
	topicUser   = "user_dashboard:"
	topicTasks  = "tasks"
	topicAlerts = "alerts"
	maxTopics   = 50
)

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

// channelPrefix is what stands before the channels of a namespace: nothing before
// the default one's. A namespace called like the first word of a channel is
// encoded, or its channels could be those of a task in the default namespace; so
// are the characters with a meaning in Redis.
func channelPrefix(namespace string) string {
	switch namespace {
	case "", timeline.DefaultNamespace:
		return ""
	case "task":
		return "%74ask:"
	case "user_dashboard":
		return "%75ser_dashboard:"
	case "tasks":
		return "%74asks:"
	case "alerts":
		return "%61lerts:"
	}
	return strings.NewReplacer("%", "%25", ":", "%3A", "{", "%7B", "}", "%7D").Replace(namespace) + ":"
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
	if strings.HasPrefix(s, topicTask) || strings.HasPrefix(s, topicUser) {
		return true
	}
	for _, word := range [...]string{topicTasks, topicAlerts} {
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
	user, prefix := r.scope.UserID, channelPrefix(r.scope.Namespace)
	seen := map[string]bool{}
	var topics []topic
	for _, name := range names {
		if seen[name] {
			continue
		}
		seen[name] = true
		t := topic{name: name}
		switch {
		case strings.HasPrefix(name, topicTask):
			t.task = name[len(topicTask):]
			if err := topicID(t.task); err != nil {
				return nil, err
			}
			t.channels = []string{prefix + name}
			if user != "" {
				if _, err := s.task(r.ctx, r.scope, t.task); err != nil {
					return nil, fmt.Errorf("topic: %w", err)
				}
				t.own = true
			}
		case strings.HasPrefix(name, topicUser):
			t.user = name[len(topicUser):]
			if err := topicID(t.user); err != nil {
				return nil, err
			}
			if user != "" && t.user != user {
				return nil, readmodel.ErrNotFound
			}
			t.channels = []string{prefix + name}
		case name == topicTasks && user != "":
			// Everybody's lifecycle is not for one user: theirs comes on their own channel.
			t.user, t.channels = user, []string{prefix + topicUser + user}
		case name == topicTasks:
			t.channels = []string{prefix + name}
		case name == topicAlerts:
			for _, sev := range [...]timeline.AlertSeverity{timeline.AlertMedium, timeline.AlertHigh, timeline.AlertCritical} {
				t.channels = append(t.channels, prefix+topicAlerts+":"+sev.String())
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
