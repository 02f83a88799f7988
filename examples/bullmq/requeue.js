// The way back: Tasktrail posts retries and cancels here. A retry goes into the queue
// again as the task's next run; a cancel takes the job out of the queue, or stops it at
// the worker that has it. The posts are signed after Standard Webhooks.
import { createHmac, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'

export function serveRequeue({ queue, connection, secret, port, removed }) {
  return createServer(async (req, res) => {
    const body = await text(req)
    if (!authentic(secret, req.headers, body)) return res.writeHead(401).end()
    const { type, data } = JSON.parse(body)
    if (type === 'task.retry') return res.writeHead(await retry(queue, data)).end()
    if (type === 'task.cancel') return res.writeHead(await cancel(queue, connection, data, removed)).end()
    res.writeHead(422).end(`nothing is known of ${type}`)
  }).listen(port, '127.0.0.1')
}

// The first run's job has the task's id; BullMQ forbids colons in those of the others.
const jobID = ({ task_id: id, run }) => (run > 1 ? `${id}-r${run}` : id)

async function retry(queue, data) {
  // Without an input in the post (keeps_input): BullMQ still has the first run's job.
  const input = data.input ?? (await queue.getJob(data.task_id))?.data.input
  const task = {
    id: data.task_id, run: data.run, idempotencyKey: data.idempotency_key, userID: data.user_id, amount: data.amount, currency: data.currency,
  }
  // A post may come twice: under one job id BullMQ keeps it once.
  await queue.add(data.type, { input, task },
    { jobId: jobID(data), attempts: data.max_attempts ?? 2, backoff: { type: 'exponential', delay: 50 } })
  return 202
}

async function cancel(queue, connection, data, removed) {
  const job = await queue.getJob(jobID(data))
  if (!job || await job.isCompleted() || await job.isFailed()) return 409 // it has ended
  const by = { actor: data.actor, reason: data.comment }
  try {
    await job.remove()
  } catch { // a worker has it: this one or another
    await connection.publish(channel(queue), JSON.stringify({ job: job.id, by }))
    return 202
  }
  removed(job, by)
  return 202
}

const channel = (queue) => `cancel:${queue.name}`

// onCancel tells every worker of the jobs that are to stop.
export async function onCancel(queue, connection, stop) {
  const subscriber = connection.duplicate()
  subscriber.on('message', (_, message) => {
    const { job, by } = JSON.parse(message)
    stop(job, by)
  })
  await subscriber.subscribe(channel(queue))
  return subscriber
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
