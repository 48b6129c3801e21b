//! What istiod exposes, in part: what dashboards and federation ask for.

use crate::baseline::{Metric, constant, counter, wanders};
use crate::traffic::{HistogramNames, histogram_names};

/// Histograms without labels of their own.
pub(crate) const HISTOGRAMS: [HistogramNames; 2] = [
    histogram_names!("pilot_proxy_convergence_time"),
    histogram_names!("pilot_proxy_queue_time"),
];

/// Metrics that have one series per kind of push.
pub(crate) const BY_TYPE: &[Metric] = &[
    counter("pilot_xds_pushes", 0.2),
    counter("pilot_total_xds_rejects", 0.0),
    constant("pilot_xds_expired_nonce", 0.0),
];

/// The kinds of push.
pub(crate) const PUSH_TYPES: [&str; 4] = ["cds", "eds", "lds", "rds"];

/// Metrics without labels of their own.
pub(crate) const METRICS: &[Metric] = &[
    wanders("pilot_services", 120.0),
    wanders("pilot_xds", 300.0),
    constant("pilot_virt_services", 14.0),
    counter("pilot_k8s_cfg_events", 0.05),
    counter("pilot_total_xds_internal_errors", 0.0),
    constant("pilot_no_ip", 0.0),
    constant("pilot_endpoint_not_ready", 0.0),
    constant("pilot_conflict_inbound_listener", 0.0),
    constant("pilot_vservice_dup_domain", 0.0),
    constant("pilot_duplicate_envoy_clusters", 0.0),
    counter("galley_validation_passed", 0.02),
    counter("galley_validation_failed", 0.0005),
    counter("sidecar_injection_requests_total", 0.02),
    counter("sidecar_injection_success_total", 0.02),
    counter("sidecar_injection_failure_total", 0.0),
    counter("citadel_server_csr_count", 0.03),
    counter("citadel_server_success_cert_issuance_count", 0.03),
    wanders("go_goroutines", 900.0),
    wanders("go_memstats_alloc_bytes", 90_000_000.0),
    wanders("go_memstats_heap_inuse_bytes", 100_000_000.0),
    wanders("go_memstats_heap_alloc_bytes", 90_000_000.0),
    wanders("go_memstats_stack_inuse_bytes", 6_000_000.0),
    wanders("process_resident_memory_bytes", 180_000_000.0),
    wanders("process_virtual_memory_bytes", 900_000_000.0),
    counter("process_cpu_seconds_total", 0.15),
    wanders("process_open_fds", 300.0),
];
