// node enqueue.js ID '{"order":4711,"fails":1}'   puts one task into the queue
import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import { startTelemetry } from './telemetry.js'
import { timeline } from './timeline.js'

const [id, input = '{}'] = process.argv.slice(2)
const queueName = process.env.QUEUE ?? 'orders'
const connection = new Redis(process.env.REDIS_URL ?? 'redis://127.0.0.1:6379')
const queue = new Queue(queueName, { connection })
const attempts = 2
const data = JSON.parse(input)
if (!process.argv.includes('--coarse')) {
  // Before the queue has it, so that the task is pending on record before a worker starts it.
  const telemetry = startTelemetry('shop')
  timeline(telemetry.logger).created({ id, run: 1, type: 'charge_order', queue: queueName, maxAttempts: attempts }, data)
  await telemetry.stop()
}
await queue.add('charge_order', { input: data }, { jobId: id, attempts, backoff: { type: 'exponential', delay: 50 } })
await queue.close()
connection.disconnect()
