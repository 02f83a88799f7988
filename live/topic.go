package live

import (
	"strings"

	"github.com/tasktrail/tasktrail/timeline"
)

// TaskTopic is the topic of every event of one task.
func TaskTopic(namespace, taskID string) string { return prefix(namespace) + "task:" + taskID }

// UserTopic is the topic of what happens to one user's tasks.
func UserTopic(namespace, userID string) string {
	return prefix(namespace) + "user_dashboard:" + userID
}

// TasksTopic is the topic of the lifecycle of every task of a namespace.
func TasksTopic(namespace string) string { return prefix(namespace) + "tasks" }

// AlertsTopic is the topic of the alerts of one severity.
func AlertsTopic(namespace string, severity timeline.AlertSeverity) string {
	return prefix(namespace) + "alerts:" + severity.String()
}

// prefix is what stands before the topics of a namespace. A namespace that is
// called like the first word of a topic is encoded, or its topics could be
// those of a task of the default namespace.
func prefix(namespace string) string {
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
	default:
		return keyPart(namespace) + ":"
	}
}

var keyEncoder = strings.NewReplacer("%", "%25", ":", "%3A", "{", "%7B", "}", "%7D")

// keyPart encodes the characters that mean something in our keys or in those of
// a cluster.
func keyPart(s string) string {
	if !strings.ContainsAny(s, "%:{}") {
		return s
	}
	return keyEncoder.Replace(s)
}

func orDefault(namespace string) string {
	if namespace == "" {
		return timeline.DefaultNamespace
	}
	return namespace
}

// queueKeys are the keys of one queue of a namespace.
type queueKeys struct {
	// stream holds retries, ids maps their command to their entry. Their names
	// share a slot of a cluster, so that one script may touch both.
	stream, ids string
	// cancels holds cancels by command.
	cancels string
	// wake is the channel on which new commands are announced.
	wake string
}

func keysOf(namespace, queue string) queueKeys {
	name := keyPart(orDefault(namespace)) + ":" + keyPart(queue)
	stream := "tasktrail:commands:" + name
	return queueKeys{
		stream: stream, ids: "{" + stream + "}:ids",
		cancels: "tasktrail:cancels:" + name, wake: "tasktrail:wake:" + name,
	}
}

// doneKey remembers that a retry was answered, in the slot of its stream.
func (k queueKeys) doneKey(id string) string { return "{" + k.stream + "}:done:" + id }
