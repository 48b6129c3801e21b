"""Records known values with the OpenTelemetry SDK and exports them once.

Usage: sdk.py grpc|http ENDPOINT none|gzip cumulative|delta INSTANCE

Ends with 1 when the SDK logs an error or a warning, which is how it tells of failed and partial exports.
"""

import logging
import sys

from opentelemetry import trace
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider, ObservableCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

protocol, endpoint, compression, temporality, instance = sys.argv[1:]
failures = []


class Keeper(logging.Handler):
    def emit(self, record):
        failures.append(record.getMessage())


logging.getLogger().addHandler(Keeper(logging.WARNING))

if protocol == "grpc":
    from grpc import Compression
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter

    options = {"insecure": True}
else:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    options = {}
none = getattr(Compression, "NoCompression")
options["compression"] = getattr(Compression, "Gzip") if compression == "gzip" else none
if temporality == "delta":
    delta = AggregationTemporality.DELTA
    options["preferred_temporality"] = {Counter: delta, Histogram: delta, ObservableCounter: delta}

reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=endpoint, timeout=10, **options), 3_600_000)
resource = Resource.create(
    {
        "service.namespace": "shop",
        "service.name": "checkout",
        "service.instance.id": instance,
        "k8s.pod.name": "checkout-1",
        "team": "payments",
    }
)
view = View(instrument_name="size", aggregation=ExponentialBucketHistogramAggregation())
provider = MeterProvider(metric_readers=[reader], resource=resource, views=[view])
meter = provider.get_meter("shop.checkout", "1.2.3")

# A sampled span around the measurements makes the SDK keep exemplars.
span = trace.NonRecordingSpan(
    trace.SpanContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, False, trace.TraceFlags(1))
)
steps = int(sys.stdin.readline())
requests = meter.create_counter("requests.count", unit="1")
in_flight = meter.create_up_down_counter("in.flight")
temperature = meter.create_gauge("temperature", unit="Cel")
latency = meter.create_histogram("latency", unit="ms")
size = meter.create_histogram("size", unit="By")
meter.create_observable_counter("cpu.time", [lambda _: [__import__("opentelemetry.metrics").metrics.Observation(12.5)]], "s")
for step in range(steps):
    with trace.use_span(span):
        requests.add(3, {"http.route": "/pay"})
        requests.add(4, {"http.route": "/pay"})
        in_flight.add(5)
        in_flight.add(-2)
        temperature.set(21.5)
        for value in (1, 12, 600, 20_000):
            latency.record(value)
        for value in (1, 2, 4, 8, 0):
            size.record(value)
    if not provider.force_flush(10_000):
        failures.append("the export failed")
    print("exported", flush=True)
    sys.stdin.readline()
print("\n".join(failures), file=sys.stderr)
sys.exit(1 if failures else 0)
