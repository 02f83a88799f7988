# A timeline of every job: require this where Sidekiq is configured, and no job is
# changed.
#
# One log record an event, by the names and attributes of docs/events.md. What a job does
# not say of itself travels in it as "timeline" => {"user_id", "amount", "currency"}; that
# of a further run has its task_id, run and idempotency_key there too.
require "json"
require "sidekiq"
require "sidekiq/api"
require_relative "runs"
require_relative "telemetry"

module Timeline
  Permanent = Class.new(StandardError) # no further attempt can help
  Cancelled = Class.new(StandardError)
  DEATHS = 3 # so many processes may die on a job

  # The run and the attempt of the job that this thread executes.
  def self.run = Thread.current[:timeline_run]
  def self.attempt = Thread.current[:timeline_attempt]

  # For work that takes long: raises where an operator has cancelled the job.
  def self.check!
    raise Cancelled if run.cancelled
  end

  # Writes the events of one run.
  class Record
    attr_reader :run

    def initialize(job)
      about = job["timeline"] || {}
      @run = Run.new(job["jid"], about)
      @attributes = {
        "task.id" => @run.task_id, "task.run" => @run.number, "task.type" => job["wrapped"] || job["class"].to_s,
        "task.queue" => job["queue"], "task.runner" => "sidekiq", "task.max_attempts" => Record.most(job),
        "task.user_id" => about["user_id"], "task.amount" => about["amount"], "task.currency" => about["currency"]
      }
    end

    # How many attempts a job has: Sidekiq's own default is 25 retries.
    def self.most(job)
      case job["retry"]
      when Integer then job["retry"] + 1
      when nil, false then 1
      else 26
      end
    end

    def emit(name, attributes = {})
      Telemetry.emit(name, @attributes.merge(attributes))
    end

    def failed(reason, attempts, error)
      why = error.merge("task.failure.reason" => reason, "task.attempts" => attempts)
      emit("task_failed", why.merge("task.duration_ms" => @run.took))
      emit("moved_to_dlq", why)
    end

    def cancelled(attempts, proof, by)
      emit("task_cancelled", "task.attempts" => attempts, "task.stop_proof" => proof,
        "operator.actor" => by["actor"], "operator.reason" => by["reason"])
    end
  end

  # On the side that enqueues, before the queue has the job.
  class Client
    def call(_worker, job, _queue, _redis)
      further = job["retry_count"] || (job.dig("timeline", "run") || 1) > 1 # attempt, or run
      due = !job.key?("at") && job["timeline_created"] # a job that waited for its time comes by a second time
      Record.new(job).emit("task_created", "task.input" => JSON.generate("args" => job["args"])) unless further || due
      job["timeline_created"] = true
      yield
    end
  end

  # Around each attempt. Sidekiq keeps the jobs, waits and decides how often.
  class Server
    def call(worker, job, _queue)
      record, began = Record.new(job), Process.clock_gettime(Process::CLOCK_MONOTONIC)
      took = -> { {"task.duration_ms" => (Process.clock_gettime(Process::CLOCK_MONOTONIC) - began) * 1000.0} }
      run = record.run
      attempt, deaths, died, cancel = run.begin(job)
      at = {"task.attempt" => attempt}
      record.emit("task_lost", "task.attempts" => attempt - 1) if died
      if cancel
        run.end(over: true)
        record.cancelled(attempt - 1, "not_running", cancel) if died # else it waited, and the cancel is on record
        return
      end
      if deaths >= DEATHS
        run.end(over: true)
        return record.failed("poison", attempt - 1, "error.message" => "#{deaths} processes died on it", "error.class" => "permanent")
      end
      record.emit("task_started") if attempt == 1
      record.emit("attempt_started", at)
      Thread.current[:timeline_run], Thread.current[:timeline_attempt] = run, attempt
      begin
        output = yield
      rescue Cancelled
        run.end(over: true)
        record.emit("attempt_aborted", at.merge(took.call, "task.stop_proof" => "cancelled"))
        record.cancelled(attempt, "stopped", run.cancelled)
      rescue Sidekiq::Shutdown # Sidekiq puts it back
        run.end(over: false)
        record.emit("attempt_aborted", at.merge(took.call, "task.stop_proof" => "the worker shut down"))
        raise
      rescue => e
        permanent, last = e.is_a?(Permanent), (job["retry_count"] || -1) + 2 >= Record.most(job)
        error = {"error.type" => e.class.name, "error.message" => e.message, "error.stack" => e.full_message(highlight: false),
                 "error.class" => permanent ? "permanent" : "retryable"}
        run.end(over: permanent || last)
        record.emit("attempt_failed", at.merge(took.call, error))
        if permanent || last
          record.failed(permanent ? "permanent" : "exhausted", attempt, error)
        else
          record.emit("task_retried", at.merge("retry.next_attempt" => attempt + 1, "retry.reason" => "backoff",
            "retry.delay_ms" => Server.delay(worker, job, e) * 1000.0))
        end
        raise unless permanent
        Sidekiq::DeadSet.new.kill(JSON.generate(job), notify_failure: false)
      else
        run.end(over: true)
        record.emit("attempt_success", at.merge(took.call))
        record.emit("task_completed", "task.duration_ms" => run.took, "task.attempts" => attempt, "task.output" => JSON.generate(output))
      end
    ensure
      Thread.current[:timeline_run] = Thread.current[:timeline_attempt] = nil
    end

    # The least that Sidekiq will wait; it draws some seconds to it after this.
    def self.delay(worker, job, error)
      count = (job["retry_count"] || -1) + 1
      own = worker.class.sidekiq_retry_in_block&.call(count, error).to_i
      own > 0 ? own : count**4 + 15
    end
  end
end

Sidekiq.configure_client { |c| c.client_middleware { |chain| chain.add Timeline::Client } }
Sidekiq.configure_server do |c|
  c.client_middleware { |chain| chain.add Timeline::Client }
  c.server_middleware { |chain| chain.add Timeline::Server }
  c.on(:startup) do
    Thread.new do
      loop do
        Timeline::Run.keep
      rescue => e
        warn "timeline: #{e.message}"
      ensure
        sleep Timeline::Run::LEASE / 4.0
      end
    end
  end
  c.on(:shutdown) { Telemetry.flush } # what is still on its way
end
