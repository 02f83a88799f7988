package live

import "github.com/tasktrail/tasktrail/timeline"

// TaskTopic is the topic of every event of one task.
func TaskTopic(namespace, taskID string) string {
	return timeline.InNamespace(namespace, timeline.TopicTask+taskID)
}

// UserTopic is the topic of what happens to one user's tasks.
func UserTopic(namespace, userID string) string {
	return timeline.InNamespace(namespace, timeline.TopicUser+userID)
}

// TasksTopic is the topic of the lifecycle of every task of a namespace.
func TasksTopic(namespace string) string {
	return timeline.InNamespace(namespace, timeline.TopicTasks)
}

// AlertsTopic is the topic of the alerts of one severity.
func AlertsTopic(namespace string, severity timeline.AlertSeverity) string {
	return timeline.InNamespace(namespace, timeline.AlertTopic(severity))
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
	name := timeline.KeyPart(orDefault(namespace)) + ":" + timeline.KeyPart(queue)
	stream := "tasktrail:commands:" + name
	return queueKeys{
		stream: stream, ids: "{" + stream + "}:ids",
		cancels: "tasktrail:cancels:" + name, wake: "tasktrail:wake:" + name,
	}
}

// doneKey remembers that a retry was answered, in the slot of its stream.
func (k queueKeys) doneKey(id string) string { return "{" + k.stream + "}:done:" + id }
