// A worker that knows nothing of Tasktrail but two URLs: it hands tasks to the
// sidecar beside it, and the sidecar calls it back, with retries, a circuit
// breaker and a timeline.
import { createServer } from "node:http";

const agent = process.env.AGENT_URL ?? "http://127.0.0.1:7070";
const token = process.env.AGENT_TOKEN ?? "";
const port = Number(process.env.PORT ?? 9000);
const every = Number(process.env.EVERY_MS ?? 5000);

// The work: called once for each attempt.
const server = createServer(async (req, res) => {
  let body = "";
  for await (const chunk of req) body += chunk;
  const { task_id, attempt, input } = JSON.parse(body);
  if (input.number % 3 === 0 && attempt === 1) {
    res.writeHead(503).end("the mail server is busy");
    return;
  }
  console.log(`${task_id} sent at attempt ${attempt}`);
  res.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify({ sent: true }));
});

// The tasks: one every few seconds, on the sidecar's disk before it answers.
let number = 0;
async function submit() {
  number++;
  const answer = await fetch(`${agent}/v1/tasks`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
    body: JSON.stringify({
      task_id: `mail-${Date.now()}`, type: "send_email", queue: "mail", provider: "mail-server", user_id: "user-1",
      callback_url: `http://127.0.0.1:${port}/tasks`, input: { number }, mode: "async",
    }),
  });
  console.log(`handed over: ${answer.status}`);
}

server.listen(port, "127.0.0.1", () => setInterval(() => submit().catch((e) => console.error(`the sidecar does not answer: ${e.message}`)), every));
process.on("SIGTERM", () => process.exit(0));
