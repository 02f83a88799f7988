# What the tasks of the runners' common shapes do: for each run what each of its attempts
# comes to, the last of each for all that follow.
require_relative "../jobs"

Sidekiq.configure_server { |c| c.options[:poll_interval_average] = 0.2 }

class Payment
  include Sidekiq::Worker
  sidekiq_options queue: ENV.fetch("QUEUE", "orders")
  sidekiq_retry_in { |count| 1 }

  def perform(input)
    plan = input["plans"][[Timeline.run.number, input["plans"].size].min - 1]
    case plan[[Timeline.attempt, plan.size].min - 1]
    when "hang"
      loop do
        Timeline.check!
        sleep 0.1
      end
    when "fail" then raise "the service is not well"
    when "permanent" then raise Timeline::Permanent, "the service is not well"
    else {}
    end
  end
end

# Sidekiq adds up to ten seconds to each delay.
class Sidekiq::JobRetry
  private def rand(_) = 0
end
