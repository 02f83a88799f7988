// Stands in for what a service really does. The input says how many of its calls fail;
// they are counted where a restarted worker finds them again. Work that takes long
// looks at signal, by which a cancel stops it.
export async function work({ redis, input, task }) {
  const key = task.idempotencyKey ?? `default/${task.id}`
  const n = await redis.incr(`bank:${key}`)
  if (n <= (input?.fails ?? 0)) {
    throw Object.assign(new Error(`the bank answered 503 to order ${input.order}`), { code: 'http_503' })
  }
  return { order: input?.order, charged: key }
}
