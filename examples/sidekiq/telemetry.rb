# OTLP log records by the standard library alone, as JSON over HTTP.
#
# Where they go is the standard environment's: OTEL_EXPORTER_OTLP_ENDPOINT (such as
# http://127.0.0.1:4318), OTEL_EXPORTER_OTLP_HEADERS (Authorization=Bearer%20...) and
# OTEL_SERVICE_NAME. A record is sent at once, with whatever else waits; while the
# collector is away they wait here, MOST at most, and what does not fit is counted and said.
require "json"
require "monitor"
require "net/http"
require "uri"

module Telemetry
  MOST = 10_000

  class << self
    # Puts one record on its way.
    def emit(name, attributes)
      @lock.synchronize do
        start unless @pid == Process.pid # in each process anew: a fork takes no threads along
        next @dropped += 1 if @waiting.size >= MOST
        @waiting << {
          eventName: name, timeUnixNano: now.to_s,
          attributes: attributes.compact.map { |k, v| {key: k, value: value(v)} }
        }
        @changed.broadcast
      end
    end

    # Waits until everything is sent; false where timeout (seconds) was not enough.
    def flush(timeout = 10)
      deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + timeout
      @lock.synchronize do
        until @waiting.empty?
          left = deadline - Process.clock_gettime(Process::CLOCK_MONOTONIC)
          return false if left <= 0
          @changed.wait(left)
        end
      end
      true
    end

    private

    # Nanoseconds since 1970, strictly rising within a process, so that its events keep their order.
    def now
      @last = [Process.clock_gettime(Process::CLOCK_REALTIME, :nanosecond), @last + 1].max
    end

    def reset
      @lock = Monitor.new
      @changed = @lock.new_cond
      @waiting, @dropped, @last, @pid = [], 0, 0, nil
    end

    def start
      @waiting, @dropped, @pid = [], 0, Process.pid
      Thread.new { deliver }
    end

    def value(v)
      case v
      when true, false then {boolValue: v}
      when Integer then {intValue: v.to_s}
      when Float then {doubleValue: v}
      else {stringValue: v.to_s}
      end
    end

    def deliver
      wait = 0.1
      loop do
        batch, dropped = @lock.synchronize do
          @changed.wait_while { @waiting.empty? }
          lost, @dropped = @dropped, 0
          [@waiting.first(500), lost]
        end
        warn "telemetry: #{dropped} records were dropped, the collector is away" if dropped > 0
        unless post(batch) # no answer, or not now: the same batch again
          sleep(wait = [wait * 2, 5].min)
          next
        end
        wait = 0.1
        @lock.synchronize do
          @waiting.shift(batch.size)
          @changed.broadcast
        end
      end
    end

    def post(batch)
      uri = URI(ENV.fetch("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318").chomp("/") + "/v1/logs")
      headers = {"Content-Type" => "application/json"}
      ENV.fetch("OTEL_EXPORTER_OTLP_HEADERS", "").split(",").each do |pair|
        name, v = pair.split("=", 2)
        headers[name.strip] = URI.decode_www_form_component(v.to_s.strip.gsub("+", "%2B"))
      end
      service = {key: "service.name", value: {stringValue: ENV.fetch("OTEL_SERVICE_NAME", "sidekiq")}}
      body = JSON.generate(resourceLogs: [{resource: {attributes: [service]}, scopeLogs: [{logRecords: batch}]}])
      answer = Net::HTTP.post(uri, body, headers)
      return false if answer.code == "429" || answer.code >= "500"
      warn "telemetry: #{batch.size} records were refused: #{answer.code} #{answer.body}" if answer.code >= "400"
      true
    rescue SystemCallError, IOError, SocketError, Timeout::Error, OpenSSL::SSL::SSLError => e
      warn "telemetry waits: #{e.message}"
      false
    end
  end

  reset
  at_exit { flush }
end
