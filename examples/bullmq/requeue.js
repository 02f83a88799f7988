// The way back: Tasktrail posts a retry here, and the task goes into the queue again
// as its next run. The post is signed after Standard Webhooks.
import { createHmac, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'

export function serveRequeue(queue, secret, port) {
  return createServer(async (req, res) => {
    const body = await text(req)
    if (!authentic(secret, req.headers, body)) return res.writeHead(401).end()
    const { data } = JSON.parse(body)
    // Without an input in the post (keeps_input): BullMQ still has the first run's job.
    const input = data.input ?? (await queue.getJob(data.task_id))?.data.input
    // A post may come twice: under one job id BullMQ keeps it once.
    await queue.add(data.type, { input, task: { id: data.task_id, run: data.run, idempotencyKey: data.idempotency_key } },
      { jobId: `${data.task_id}-r${data.run}`, attempts: data.max_attempts ?? 2, backoff: { type: 'exponential', delay: 50 } })
    res.writeHead(202).end()
  }).listen(port, '127.0.0.1')
}

function authentic(secret, headers, body) {
  const { 'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': signatures = '' } = headers
  if (!(Math.abs(Date.now() / 1000 - Number(at)) < 300)) return false
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64')
  const want = createHmac('sha256', key).update(`${id}.${at}.${body}`).digest()
  return signatures.split(' ').some((s) => {
    const got = Buffer.from(s.replace(/^v1,/, ''), 'base64')
    return got.length === want.length && timingSafeEqual(got, want)
  })
}
