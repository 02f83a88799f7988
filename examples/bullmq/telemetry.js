// The stock OpenTelemetry logs SDK. Where it sends to is the standard environment's:
// OTEL_EXPORTER_OTLP_ENDPOINT (the collector's, such as http://127.0.0.1:4318) and
// OTEL_EXPORTER_OTLP_HEADERS (Authorization=Bearer ...).
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-proto'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs'

export function startTelemetry(serviceName) {
  const provider = new LoggerProvider({
    resource: resourceFromAttributes({ 'service.name': serviceName }),
    processors: [new BatchLogRecordProcessor({ exporter: new OTLPLogExporter(), scheduledDelayMillis: 200 })],
  })
  return { logger: provider.getLogger('timeline'), stop: () => provider.shutdown() }
}

// Strictly rising, so that the events of one process keep their order however coarse
// the clock is.
let last = 0n
export function now() {
  const at = BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000))
  last = at > last ? at : last + 1n
  return [Number(last / 1_000_000n), Number(last % 1_000_000n) * 1000]
}
