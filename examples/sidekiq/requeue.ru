# The way back: Tasktrail posts retries and cancels here, signed after Standard Webhooks.
#
#   REQUEUE_SECRET=whsec_... rackup --server webrick --port 8090 requeue.ru
#
# A retry is pushed as the task's next run; a cancel keeps a job that waits from its
# start, or is seen by one that runs and looks (Timeline.check!).
require_relative ENV.fetch("JOBS", "jobs")
require "base64"
require "openssl"
require "rack"

class Requeue
  def initialize(secret)
    @secret = Base64.decode64(secret.delete_prefix("whsec_"))
  end

  def call(env)
    body = env["rack.input"].read
    return answer(401) unless authentic(env, body)
    post = JSON.parse(body)
    case post["type"]
    when "task.retry" then answer(retry_task(post["data"]))
    when "task.cancel" then answer(cancel(post["data"]))
    else answer(422)
    end
  end

  private

  def answer(status) = [status, {"Content-Type" => "text/plain"}, []]

  def authentic(env, body)
    id, at, signatures = %w[ID TIMESTAMP SIGNATURE].map { |n| env.fetch("HTTP_WEBHOOK_#{n}", "") }
    return false unless (Time.now.to_i - at.to_i).abs < 300
    want = "v1," + Base64.strict_encode64(OpenSSL::HMAC.digest("SHA256", @secret, "#{id}.#{at}.#{body}"))
    signatures.split.any? { |s| Rack::Utils.secure_compare(want, s) }
  end

  def jid(data) = data["run"] == 1 ? data["task_id"] : "#{data["task_id"]}:r#{data["run"]}"

  def retry_task(data)
    type = Object.const_defined?(data["type"]) && Object.const_get(data["type"])
    return 422 unless type.respond_to?(:sidekiq_options) && data["input"] # unknown; cut, or never sent
    # A post may come twice, and Sidekiq would take the job twice: the first one has it.
    taken = "timeline:#{jid(data)}:pushed"
    return 409 unless Sidekiq.redis { |r| r.set(taken, 1, nx: true, ex: 24 * 3600) }
    about = data.slice("task_id", "run", "idempotency_key", "user_id", "amount", "currency").compact
    job = {"class" => type, "args" => data["input"]["args"], "jid" => jid(data), "queue" => data["queue"], "timeline" => about}
    job["retry"] = data["max_attempts"] - 1 if data["max_attempts"]
    begin
      Sidekiq::Client.push(job)
    rescue
      Sidekiq.redis { |r| r.del(taken) }
      raise # 500: Tasktrail posts it again
    end
    202
  end

  def cancel(data)
    job = {"jid" => jid(data), "class" => data["type"], "queue" => data["queue"], "timeline" => data.slice("task_id", "run")}
    record = Timeline::Record.new(job)
    by = {"actor" => data["actor"], "reason" => data["comment"]}
    attempts, running, over = record.run.cancel(by)
    return 409 if over
    record.cancelled(attempts, "not_running", by) unless running
    202
  end
end

run Requeue.new(ENV.fetch("REQUEUE_SECRET"))
