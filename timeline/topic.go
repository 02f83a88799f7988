package timeline

import "strings"

// The names of the live topics, which are the channels of Redis pub/sub. Those of
// the default namespace stand as they are; before others stands the namespace.
const (
	TopicTask   = "task:"           // and the task's id: every event of it
	TopicUser   = "user_dashboard:" // and the user's id: the lives of that user's tasks
	TopicTasks  = "tasks"           // the lifecycle of every task
	TopicAlerts = "alerts"          // with : and a severity behind it
)

// AlertTopic is the topic of the alerts of one severity, without a namespace.
func AlertTopic(s AlertSeverity) string { return TopicAlerts + ":" + s.String() }

// InNamespace returns the full name of a topic. A namespace called like the first
// word of a topic is encoded, or its topics could be those of a task of the
// default one.
func InNamespace(namespace, topic string) string {
	switch namespace {
	case "", DefaultNamespace:
		return topic
	case "task":
		namespace = "%74ask"
	case "user_dashboard":
		namespace = "%75ser_dashboard"
	case "tasks":
		namespace = "%74asks"
	case "alerts":
		namespace = "%61lerts"
	default:
		namespace = KeyPart(namespace)
	}
	return namespace + ":" + topic
}

var keyEncoder = strings.NewReplacer("%", "%25", ":", "%3A", "{", "%7B", "}", "%7D")

// KeyPart encodes the characters that separate the parts of a topic or a key, and
// those that choose the slot of a Redis cluster.
func KeyPart(s string) string {
	if !strings.ContainsAny(s, "%:{}") {
		return s
	}
	return keyEncoder.Replace(s)
}
