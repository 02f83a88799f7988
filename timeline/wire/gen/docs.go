package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/tasktrail/tasktrail/timeline"
)

var onWire = map[kind]string{
	text: "string", enum: "string", decimal: "string, decimal", payload: "string (bytes where it is not UTF-8)", blob: "bytes",
	id: "string, UUID", integer: "int", sequence: "int", number: "double", millis: "double, ms",
	instant: "string, RFC 3339", boolean: "bool", severity: "string",
}

func docs() []byte {
	var b bytes.Buffer
	b.WriteString(`# Events and attributes

<!-- Generated from timeline/wire/gen/table.go by: go run ./timeline/wire/gen -->

A timeline event is an OpenTelemetry (OTLP) log record. Its **event name** is one of the types below (where an SDK
can't set it, the attribute ` + "`event.name`" + ` serves), its **timestamp** is when it happened, its trace and span ids
are the attempt's. Everything else stands in attributes. Any OpenTelemetry SDK in any language can write one; only
` + "`task.id`" + ` is required.

## Types

| event name | severity | severity number | state it leads to | stored |
|---|---|---|---|---|
`)
	all := append(timeline.Types(), timeline.TaskProgress, timeline.TaskHeartbeat)
	for _, t := range all {
		state := string(t.StateAfter())
		if state == "" {
			state = "–"
		}
		stored := "yes"
		if t.Live() {
			stored = "no: live data"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %d | %s | %s |\n", t, t.Severity(), severityNumbers[t.Severity()], state, stored)
	}
	b.WriteString("\nThe severity follows from the type; what a record says of it is not read.\n\n## Attributes\n")
	for _, g := range table {
		fmt.Fprintf(&b, "\n### %s\n\n| attribute | value | on | meaning |\n|---|---|---|---|\n", g.title)
		for _, f := range g.fields {
			doc := f.doc
			if len(f.aliases) > 0 {
				doc += "; `" + strings.Join(f.aliases, "`, `") + "` is read where it is missing"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.key, onWire[f.kind], f.on, doc)
		}
		if g.title == "Task" {
			b.WriteString("| `task.metadata.<key>` | string | all | one pair of the task's metadata, 64 pairs and 4 KiB a value at most; `task.metadata` as a map is read too |\n")
		}
	}
	b.WriteString(limits)
	return b.Bytes()
}

var severityNumbers = map[timeline.Severity]int{
	timeline.SeverityInfo: 9, timeline.SeverityWarning: 13, timeline.SeverityError: 17, timeline.SeverityCritical: 21,
}

const limits = `
## Reading

- Values of another type are read where that is sensible: a number given as text, an id given as a number, an amount
  given as a number (read as its shortest exact decimal, never through a float of ours). Lists and maps as input or
  output are read as JSON.
- Attributes beyond these are kept, as text, the first 128 of a record.
- A record without an ` + "`event.id`" + ` gets one derived from its content, so that sending it twice stores it once.
- A record without a timestamp takes its observed time, and without that the collector's clock.
- A foreign ` + "`moved_to_dlq`" + ` gets its dead letter's id, its reason and its alert severity where it does not say them.
- The namespace is the token's; ` + "`task.namespace`" + ` counts where the token allows several.

## Limits

A record that breaks one is refused with the name of the attribute and the limit; the others of its request are kept.

| what | limit |
|---|---|
| event name | one of the types above, or a telemetry event below |
| ` + "`task.id`" + ` | 1 to 255 bytes of UTF-8, no NUL |
| ` + "`source.id`" + ` and the other texts that describe the task | 255 bytes of UTF-8, no NUL |
| every other text | UTF-8; cut at 255 bytes where nothing else is said |
| ` + "`task.amount`" + ` | a decimal number without exponent, 40 bytes |
| ` + "`task.input`, `task.output`" + ` | 512 KiB (agents cut at 256 KiB) |
| ` + "`task.run`" + ` | 1 to 1 000 000 |
| ` + "`task.attempt`" + ` | 0 to 1 000 000 |
| timestamp | from the year 2000 to a day ahead of the collector's clock |
| whole record | 1 MiB |

## The four telemetry events

Sent by a foreign SDK under any namespace, such as ` + "`agent_marketplace.task.failed`" + `, they are read as timeline events.
Beside the attributes above they may use short names: ` + "`task_id`, `task_type`, `type`, `queue`, `agent`, `provider`, `user_id`, `amount`, `currency`, `run`, `attempt`, `attempts`, `max_attempts`, `duration_ms`, `reason`, `retry_count`, `error`, `delay_ms`" + `.

| event name | becomes | reads |
|---|---|---|
| ` + "`<namespace>.task.started`" + ` | ` + "`task_started`" + ` | |
| ` + "`<namespace>.task.completed`" + ` | ` + "`task_completed`" + ` | ` + "`duration_ms`, `attempts`" + ` |
| ` + "`<namespace>.task.failed`" + ` | ` + "`task_failed`, `moved_to_dlq`" + ` | ` + "`reason`" + ` (` + "`exhausted`" + ` where it is none of the reasons), ` + "`retry_count`" + ` |
| ` + "`<namespace>.task.retry`" + ` | ` + "`task_retried`" + ` | ` + "`attempt`" + ` (the one that failed), ` + "`error`" + ` |
`
