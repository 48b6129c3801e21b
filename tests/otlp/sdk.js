// Records known values with the OpenTelemetry SDK for JavaScript and exports them once, as OTLP in JSON.
//
// Usage: node sdk.js URL, with the packages of package.json in NODE_PATH.

const { MeterProvider, PeriodicExportingMetricReader } = require("@opentelemetry/sdk-metrics");
const { OTLPMetricExporter } = require("@opentelemetry/exporter-metrics-otlp-http");
const { resourceFromAttributes } = require("@opentelemetry/resources");
const { diag, DiagConsoleLogger, DiagLogLevel } = require("@opentelemetry/api");

diag.setLogger(new DiagConsoleLogger(), DiagLogLevel.WARN);
const exporter = new OTLPMetricExporter({ url: process.argv[2] });
const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
const provider = new MeterProvider({
  readers: [reader],
  resource: resourceFromAttributes({ "service.name": "js", "service.instance.id": "js-1" }),
  views: [{ instrumentName: "size", aggregation: { type: 5, options: { maxSize: 160 } } }],
});
const meter = provider.getMeter("shop", "1");
const requests = meter.createCounter("requests", { unit: "1" });
requests.add(3, { a: 1, b: true, c: "s", d: 1.5 });
meter.createUpDownCounter("in.flight").add(-2);
meter.createGauge("nothing").record(NaN);
const latency = meter.createHistogram("latency", { unit: "ms" });
[1, 12, 600].forEach((value) => latency.record(value));
const size = meter.createHistogram("size", { unit: "By" });
[1, 2, 4, 8].forEach((value) => size.record(value));
provider
  .forceFlush()
  .then(() => provider.shutdown())
  .catch((error) => {
    console.error(error);
    process.exitCode = 1;
  });
