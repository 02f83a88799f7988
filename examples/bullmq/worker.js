// A BullMQ worker whose tasks have a timeline, without a library of Tasktrail:
//
//   node worker.js            a full timeline
//   node worker.js --coarse   the four telemetry events alone
//
// REDIS_URL is BullMQ's Redis, QUEUE the queue. With REQUEUE_PORT and REQUEUE_SECRET it
// takes retries at http://127.0.0.1:REQUEUE_PORT/requeue (see requeue.js).
import { Queue, Worker } from 'bullmq'
import { Redis } from 'ioredis'
import { coarse } from './coarse.js'
import { serveRequeue } from './requeue.js'
import { startTelemetry } from './telemetry.js'
import { timeline } from './timeline.js'
import { work } from './work.js'

const queueName = process.env.QUEUE ?? 'orders'
const connection = new Redis(process.env.REDIS_URL ?? 'redis://127.0.0.1:6379', { maxRetriesPerRequest: null })
const telemetry = startTelemetry(`${queueName}-worker`)
const record = process.argv.includes('--coarse') ? coarse(telemetry.logger) : timeline(telemetry.logger)

// What the timeline calls a task is one or more BullMQ jobs: one a run.
const taskOf = (job) => ({
  id: job.data.task?.id ?? job.id, run: job.data.task?.run ?? 1, type: job.name, queue: job.queueName, maxAttempts: job.opts.attempts ?? 1,
})

const worker = new Worker(queueName, async (job) => {
  const task = taskOf(job)
  const attempt = job.attemptsMade + 1
  const backoff = job.opts.backoff?.delay ?? 0
  if (attempt === 1) record.started(task, backoff)
  record.attemptStarted(task, attempt)
  const began = performance.now()
  try {
    const output = await work(connection, job.data.input, job.data.task?.idempotencyKey ?? `default/${task.id}`)
    const ms = performance.now() - began
    record.attemptSucceeded(task, attempt, ms)
    record.completed(task, attempt, Date.now() - job.timestamp, output)
    return output
  } catch (err) {
    record.attemptFailed(task, attempt, performance.now() - began, err)
    if (err.name === 'UnrecoverableError' || attempt >= task.maxAttempts) {
      record.failed(task, attempt, Date.now() - job.timestamp, err)
    } else {
      record.retried(task, attempt, backoff * 2 ** (attempt - 1)) // as BullMQ's exponential backoff waits
    }
    throw err
  }
}, { connection, concurrency: 10 })
worker.on('error', (err) => console.error('worker:', err.message))

const queue = new Queue(queueName, { connection })
const server = process.env.REQUEUE_SECRET && serveRequeue(queue, process.env.REQUEUE_SECRET, Number(process.env.REQUEUE_PORT))

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, async () => {
    server?.close()
    await worker.close()
    await queue.close()
    await telemetry.stop() // what is still in the exporter's queue is sent
    connection.disconnect()
  })
}
await worker.waitUntilReady()
console.log('ready')
