// node enqueue.js ID '{"order":4711,"fails":1}'   puts one task into the queue
//
// TYPE, ATTEMPTS, DELAY_MS, AMOUNT, CURRENCY and USER_ID say more about it.
import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import { startTelemetry } from './telemetry.js'
import { timeline } from './timeline.js'

const [id, input = '{}'] = process.argv.slice(2)
const { QUEUE: queueName = 'orders', TYPE: type = 'charge_order', ATTEMPTS = '2', DELAY_MS = '0', AMOUNT: amount, CURRENCY: currency, USER_ID: userID } = process.env
const connection = new Redis(process.env.REDIS_URL ?? 'redis://127.0.0.1:6379')
const queue = new Queue(queueName, { connection })
const attempts = Number(ATTEMPTS)
const data = JSON.parse(input)
const task = { amount, currency, userID }
if (!process.argv.includes('--coarse')) {
  // Before the queue has it, so that the task is pending on record before a worker starts it.
  const telemetry = startTelemetry('shop')
  timeline(telemetry.logger).created({ id, run: 1, type, queue: queueName, maxAttempts: attempts, ...task }, data)
  await telemetry.stop()
}
await queue.add(type, { input: data, task }, { jobId: id, attempts, delay: Number(DELAY_MS), backoff: { type: 'exponential', delay: 50 } })
await queue.close()
connection.disconnect()
