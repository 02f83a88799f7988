# ruby enqueue.rb ID '{"order":4711,"fails":1}'   puts one job into the queue
#
# TYPE, ATTEMPTS, DELAY_MS, AMOUNT, CURRENCY and USER_ID say more about it.
require_relative ENV.fetch("JOBS", "jobs")

id, input = ARGV
job = {
  "class" => Object.const_get(ENV.fetch("TYPE", "ChargeOrder")), "args" => [JSON.parse(input || "{}")], "jid" => id,
  "timeline" => {"user_id" => ENV["USER_ID"], "amount" => ENV["AMOUNT"], "currency" => ENV["CURRENCY"]}.compact
}
job["retry"] = ENV["ATTEMPTS"].to_i - 1 if ENV["ATTEMPTS"]
job["at"] = Time.now.to_f + ENV["DELAY_MS"].to_f / 1000 if ENV["DELAY_MS"].to_i > 0
Sidekiq::Client.push(job)
abort "the collector is away: the job is in the queue, and not on record yet" unless Telemetry.flush
