// A BullMQ worker whose tasks have a timeline, without a library of Tasktrail:
//
//   node worker.js            a full timeline
//   node worker.js --coarse   the four telemetry events alone
//
// REDIS_URL is BullMQ's Redis, QUEUE the queue. With REQUEUE_PORT and REQUEUE_SECRET it
// takes retries and cancels at http://127.0.0.1:REQUEUE_PORT/requeue (see requeue.js).
import { Queue, UnrecoverableError, Worker } from 'bullmq'
import { Redis } from 'ioredis'
import { coarse } from './coarse.js'
import { onCancel, serveRequeue } from './requeue.js'
import { startTelemetry } from './telemetry.js'
import { timeline } from './timeline.js'

const { work } = await import(process.env.WORK ?? './work.js')
const queueName = process.env.QUEUE ?? 'orders'
const connection = new Redis(process.env.REDIS_URL ?? 'redis://127.0.0.1:6379', { maxRetriesPerRequest: null })
const telemetry = startTelemetry(`${queueName}-worker`)
const record = process.argv.includes('--coarse') ? coarse(telemetry.logger) : timeline(telemetry.logger)

// What the timeline calls a task is one or more BullMQ jobs: one a run.
const taskOf = (job) => ({
  id: job.id, run: 1, type: job.name, queue: job.queueName, maxAttempts: job.opts.attempts ?? 1, ...job.data.task,
})

// The number of the attempt that goes on, while it does: what stands there when the next
// one begins is an attempt whose worker died.
const open = (job) => `attempt:${queueName}:${job.id}`

const cancels = new Map() // by job: who wants it to stop
const worker = new Worker(queueName, async (job, token, signal) => {
  const task = taskOf(job)
  const attempt = job.attemptsStarted // rises after a worker's death, too; attemptsMade does not
  const made = job.attemptsMade + 1
  const backoff = job.opts.backoff?.delay ?? 0
  const died = await connection.getset(open(job), attempt)
  if (died) record.lost(task, Number(died))
  if (attempt === 1) record.started(task, backoff)
  record.attemptStarted(task, attempt)
  const began = performance.now()
  try {
    const output = await work({ redis: connection, input: job.data.input, task, attempt, signal })
    const ms = performance.now() - began
    record.attemptSucceeded(task, attempt, ms)
    record.completed(task, attempt, Date.now() - job.timestamp, output)
    return output
  } catch (err) {
    const ms = performance.now() - began
    const total = Date.now() - job.timestamp
    const by = signal.aborted && cancels.get(job.id)
    if (by) {
      record.attemptAborted(task, attempt, ms, 'cancelled')
      record.cancelled(task, attempt, 'stopped', by)
      throw new UnrecoverableError('cancelled')
    }
    record.attemptFailed(task, attempt, ms, err)
    if (err.name === 'UnrecoverableError' || made >= task.maxAttempts) {
      record.failed(task, attempt, total, err)
    } else {
      record.retried(task, attempt, backoff * 2 ** (made - 1)) // as BullMQ's exponential backoff waits
    }
    throw err
  } finally {
    cancels.delete(job.id)
    await connection.del(open(job))
  }
}, { connection, concurrency: 10, ...(process.env.LOCK_MS && { lockDuration: Number(process.env.LOCK_MS), stalledInterval: Number(process.env.LOCK_MS) }) })
worker.on('error', (err) => console.error('worker:', err.message))
worker.on('failed', async (job, err) => { // by BullMQ: its workers died more often than maxStalledCount
  const died = job && await connection.getdel(open(job))
  if (!died) return
  record.lost(taskOf(job), Number(died))
  record.failed(taskOf(job), Number(died), Date.now() - job.timestamp, err, 'lost')
})

const queue = new Queue(queueName, { connection })
const subscriber = await onCancel(queue, connection, (jobID, by) => {
  cancels.set(jobID, by)
  if (!worker.cancelJob(jobID, 'cancelled')) cancels.delete(jobID) // another worker has it
})
const server = process.env.REQUEUE_SECRET && serveRequeue({
  queue, connection, secret: process.env.REQUEUE_SECRET, port: Number(process.env.REQUEUE_PORT),
  removed: (job, by) => record.cancelled(taskOf(job), 0, 'not_running', by),
})

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, async () => {
    server?.close()
    await worker.close()
    await queue.close()
    await telemetry.stop() // what is still in the exporter's queue is sent
    subscriber.disconnect()
    connection.disconnect()
  })
}
await worker.waitUntilReady()
console.log('ready')
