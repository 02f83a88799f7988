// A full timeline: one log record an event, by the names and attributes of
// docs/events.md. Only task.id is required; everything else makes it richer.
import { now } from './telemetry.js'

export function timeline(logger) {
  const emit = (eventName, task, attributes = {}) => logger.emit({
    eventName,
    timestamp: now(),
    attributes: {
      'task.id': task.id, 'task.type': task.type, 'task.queue': task.queue, 'task.runner': 'bullmq', 'task.run': task.run,
      'task.max_attempts': task.maxAttempts, 'task.user_id': task.userID, 'task.amount': task.amount, 'task.currency': task.currency,
      ...attributes,
    },
  })
  const failure = (err) => ({
    'error.type': err.code ?? err.name, 'error.message': err.message, 'error.stack': err.stack,
    'error.class': err.name === 'UnrecoverableError' ? 'permanent' : 'retryable',
  })
  return {
    created: (task, input) => emit('task_created', task, { 'task.input': JSON.stringify(input) }),
    started: (task, backoffMs) => emit('task_started', task, {
      'policy.max_attempts': task.maxAttempts, 'policy.base_ms': backoffMs, 'policy.factor': 2,
    }),
    attemptStarted: (task, attempt) => emit('attempt_started', task, { 'task.attempt': attempt }),
    attemptSucceeded: (task, attempt, ms) => emit('attempt_success', task, { 'task.attempt': attempt, 'task.duration_ms': ms }),
    attemptFailed: (task, attempt, ms, err) =>
      emit('attempt_failed', task, { 'task.attempt': attempt, 'task.duration_ms': ms, ...failure(err) }),
    retried: (task, attempt, delayMs) => emit('task_retried', task, {
      'task.attempt': attempt, 'retry.next_attempt': attempt + 1, 'retry.delay_ms': delayMs, 'retry.reason': 'backoff',
    }),
    completed: (task, attempts, ms, output) =>
      emit('task_completed', task, { 'task.attempts': attempts, 'task.duration_ms': ms, 'task.output': JSON.stringify(output) }),
    // A worker died under it; the next attempt follows.
    lost: (task, attempt) => emit('task_lost', task, { 'task.attempts': attempt }),
    attemptAborted: (task, attempt, ms, why) =>
      emit('attempt_aborted', task, { 'task.attempt': attempt, 'task.duration_ms': ms, 'task.stop_proof': why }),
    // How it stopped: it ran and has ended, or it had not begun.
    cancelled: (task, attempts, proof, by) => emit('task_cancelled', task, {
      'task.attempts': attempts, 'task.stop_proof': proof, 'operator.actor': by.actor, 'operator.reason': by.reason,
    }),
    failed: (task, attempts, ms, err, reason = err.name === 'UnrecoverableError' ? 'permanent' : 'exhausted') => {
      const why = { 'task.failure.reason': reason, 'task.attempts': attempts, ...failure(err) }
      emit('task_failed', task, { 'task.duration_ms': ms, ...why })
      emit('moved_to_dlq', task, why)
    },
  }
}
