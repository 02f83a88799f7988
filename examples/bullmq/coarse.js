// The four telemetry events alone, under a namespace of one's own: what a service may
// send already. Attempts can't be told from them, but state, retries, failures and
// dead letters are true.
import { now } from './telemetry.js'

export function coarse(logger, namespace = 'shop') {
  const emit = (name, task, attributes = {}) => logger.emit({
    eventName: `${namespace}.task.${name}`,
    timestamp: now(),
    attributes: { task_id: task.id, task_type: task.type, queue: task.queue, run: task.run, ...attributes },
  })
  const nothing = () => {}
  return {
    created: nothing, attemptStarted: nothing, attemptSucceeded: nothing, attemptAborted: nothing, lost: nothing,
    started: (task) => emit('started', task),
    attemptFailed: (task, attempt, ms, err) => { task.error = err.message },
    retried: (task, attempt, delayMs) => emit('retry', task, { attempt, error: task.error, delay_ms: delayMs }),
    completed: (task, attempts, ms) => emit('completed', task, { attempts, duration_ms: ms }),
    cancelled: (task, attempts) => emit('failed', task, { reason: 'cancelled', retry_count: Math.max(attempts - 1, 0) }),
    failed: (task, attempts, ms, err) => emit('failed', task, { reason: err.message, retry_count: attempts - 1 }),
  }
}
