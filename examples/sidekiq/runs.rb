# What Sidekiq does not count, kept in its Redis: attempts whose process died, and who
# cancels.
require "json"
require "securerandom"
require "sidekiq"
require "socket"

module Timeline
  # One run of a task, which is one Sidekiq job.
  class Run
    KEPT = 30 * 24 * 3600 # seconds; longer than any job waits
    LEASE = Integer(ENV.fetch("LEASE_SECONDS", "60")) # a process that is silent for so long has died
    PROCESS = "#{Socket.gethostname}:#{Process.pid}:#{SecureRandom.hex(6)}"
    RUNNING = "timeline:running" # job by jid: what runs, and in which process
    # In one step, so that two who find a dead process's job do not both put it back.
    PUT_BACK = 'if redis.call("hdel", KEYS[1], ARGV[1]) == 1 then redis.call("lpush", KEYS[2], ARGV[2]) end'

    attr_reader :task_id, :number, :idempotency_key

    def initialize(jid, about)
      @jid, @key = jid, "timeline:#{jid}"
      @task_id, @number = about["task_id"] || jid, about["run"] || 1
      @idempotency_key = about["idempotency_key"] || "default/#{@task_id}"
    end

    # The number of the attempt that begins, how many processes died on the run, whether
    # one just did, and who cancels. That an attempt runs stands in Redis while it does:
    # what stands there when the next one begins has died.
    def begin(job)
      entry = JSON.generate("process" => PROCESS, "job" => job)
      attempt, died, _, _, _, @began, deaths, cancel = at_once do |t|
        t.hincrby(@key, "attempts", 1)
        t.hget(@key, "running")
        t.hset(@key, "running", 1)
        t.hset(RUNNING, @jid, entry)
        t.hsetnx(@key, "began", Time.now.to_f)
        t.hget(@key, "began")
        t.hget(@key, "deaths")
        t.hget(@key, "cancel")
      end
      deaths = at_once { |t| t.hincrby(@key, "deaths", 1) }.first if died
      [attempt, deaths.to_i, !died.nil?, cancel && JSON.parse(cancel)]
    end

    # How long the run has taken so far, in milliseconds, from the beginning of its first attempt.
    def took = [Time.now.to_f - @began.to_f, 0].max * 1000.0

    # The attempt has ended, and with over the run.
    def end(over:)
      at_once do |t|
        t.hdel(@key, "running")
        t.hdel(RUNNING, @jid)
        t.hset(@key, "over", over ? 1 : 0)
      end
    end

    # Says who cancels; returns the attempts so far, whether one runs, and whether the run is over.
    def cancel(by)
      _, attempts, running, over = at_once do |t|
        t.hset(@key, "cancel", JSON.generate(by))
        t.hget(@key, "attempts")
        t.hget(@key, "running")
        t.hget(@key, "over")
      end
      [attempts.to_i, !running.nil?, over == "1"]
    end

    def cancelled
      cancel = Sidekiq.redis { |r| r.hget(@key, "cancel") }
      cancel && JSON.parse(cancel)
    end

    # Says that this process lives, and puts back what those that died had begun.
    def self.keep
      Sidekiq.redis do |r|
        r.set("timeline:process:#{PROCESS}", 1, ex: LEASE)
        r.hgetall(RUNNING).each do |jid, entry|
          entry = JSON.parse(entry)
          next if r.exists?("timeline:process:#{entry["process"]}")
          r.eval(PUT_BACK, keys: [RUNNING, "queue:#{entry["job"]["queue"]}"], argv: [jid, JSON.generate(entry["job"])])
        end
      end
    end

    private

    # In one transaction, so that a cancel and what it is to stop see each other.
    def at_once
      Sidekiq.redis do |r|
        r.multi do |t|
          yield t
          t.expire(@key, KEPT)
        end[0..-2]
      end
    end
  end
end
