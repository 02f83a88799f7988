// What the tasks of the runners' common shapes do: for each run what each of its
// attempts comes to, the last of each for all that follow.
import { UnrecoverableError } from 'bullmq'

export async function work({ input, task, attempt, signal }) {
  const plan = input.plans[Math.min(task.run, input.plans.length) - 1]
  switch (plan[Math.min(attempt, plan.length) - 1]) {
    case 'ok': return {}
    case 'permanent': throw new UnrecoverableError('the service is not well')
    case 'hang': return await new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('stopped'))))
    default: throw new Error('the service is not well')
  }
}
