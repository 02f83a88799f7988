# A service's jobs. All that is said of their timelines is the first line.
require_relative "timeline"

redis = {url: ENV.fetch("REDIS_URL", "redis://127.0.0.1:6379/0")}
Sidekiq.configure_client { |c| c.redis = redis }
Sidekiq.configure_server { |c| c.redis = redis }

class BankError < StandardError; end

# Stands in for what a service really does: the first calls fail, as many as fails says.
class ChargeOrder
  include Sidekiq::Worker
  sidekiq_options queue: ENV.fetch("QUEUE", "orders"), retry: 1
  sidekiq_retry_in { |count| 1 }

  def perform(order)
    key = Timeline.run.idempotency_key
    calls = Sidekiq.redis { |r| r.incr("bank:#{key}") }
    raise BankError, "the bank answered 503 to order #{order["order"]}" if calls <= order["fails"].to_i
    {order: order["order"], charged: key}
  end
end
