//! What every sidecar exposes without any traffic: Envoy's and the agent's own metrics.
//!
//! Names and magnitudes were measured on a bookinfo sidecar: 118 cluster series, 70 of the other Envoy parts, 48 of
//! the agent and five histograms.

use rand::{Rng, RngExt};

use crate::histogram::Histogram;
use crate::scrape::Emit;
use crate::traffic::{HistogramNames, emit_histogram, histogram_names, poisson};

/// One metric and how it moves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Metric {
    name: &'static str,
    motion: Motion,
}

#[derive(Debug, Clone, Copy)]
enum Motion {
    Constant(f64),
    Counter { per_second: f64 },
    Wanders { around: f64 },
    Uptime,
}

/// The current values of a table of metrics.
#[derive(Debug, Clone)]
pub(crate) struct MetricTable {
    metrics: &'static [Metric],
    values: Vec<f64>,
}

/// A few histograms that hardly move.
#[derive(Debug, Clone)]
pub(crate) struct QuietHistograms {
    histograms: Vec<(HistogramNames, Histogram)>,
}

/// The histograms of Envoy's cluster and of its other parts.
pub(crate) const CLUSTER_HISTOGRAMS: [HistogramNames; 2] = [
    histogram_names!("envoy_cluster_upstream_cx_connect_ms"),
    histogram_names!("envoy_cluster_upstream_cx_length_ms"),
];
pub(crate) const SERVER_HISTOGRAMS: [HistogramNames; 3] = [
    histogram_names!("envoy_cluster_manager_cds_update_duration"),
    histogram_names!("envoy_listener_manager_lds_update_duration"),
    histogram_names!("envoy_server_initialization_time_ms"),
];

/// Present in every component.
pub(crate) const BUILD: &[Metric] = &[constant("istio_build", 1.0)];

pub(crate) const fn constant(name: &'static str, value: f64) -> Metric {
    Metric {
        name,
        motion: Motion::Constant(value),
    }
}

pub(crate) const fn counter(name: &'static str, per_second: f64) -> Metric {
    Metric {
        name,
        motion: Motion::Counter { per_second },
    }
}

pub(crate) const fn wanders(name: &'static str, around: f64) -> Metric {
    Metric {
        name,
        motion: Motion::Wanders { around },
    }
}

const fn uptime(name: &'static str) -> Metric {
    Metric {
        name,
        motion: Motion::Uptime,
    }
}

impl MetricTable {
    pub(crate) fn new(metrics: &'static [Metric]) -> Self {
        let mut table = Self {
            metrics,
            values: vec![0.0; metrics.len()],
        };
        table.reset();
        table
    }

    pub(crate) fn advance(&mut self, seconds: f64, rng: &mut impl Rng) {
        for (metric, value) in self.metrics.iter().zip(&mut self.values) {
            match metric.motion {
                Motion::Constant(_) => {}
                Motion::Counter { per_second } => *value += poisson(per_second * seconds, rng) as f64,
                Motion::Wanders { around } => {
                    let step = around * 0.02 * (rng.random::<f64>() - 0.5);
                    *value = (*value + step + (around - *value) * 0.05).round().max(0.0);
                }
                Motion::Uptime => *value += seconds,
            }
        }
    }

    pub(crate) fn reset(&mut self) {
        for (metric, value) in self.metrics.iter().zip(&mut self.values) {
            *value = match metric.motion {
                Motion::Constant(fixed) => fixed,
                Motion::Wanders { around } => around,
                Motion::Counter { .. } | Motion::Uptime => 0.0,
            };
        }
    }

    pub(crate) fn emit(&self, emit: &mut Emit<'_>) {
        for (metric, value) in self.metrics.iter().zip(&self.values) {
            emit.sample(metric.name, *value);
        }
    }
}

impl QuietHistograms {
    pub(crate) fn new(names: &[HistogramNames]) -> Self {
        Self {
            histograms: names
                .iter()
                .map(|names| (*names, Histogram::new(20.0, 0.8)))
                .collect(),
        }
    }

    pub(crate) fn advance(&mut self, seconds: f64, rng: &mut impl Rng) {
        for (_, histogram) in &mut self.histograms {
            let n = poisson(seconds / 1_800.0, rng);
            histogram.observe(n, rng);
        }
    }

    pub(crate) fn reset(&mut self) {
        for (_, histogram) in &mut self.histograms {
            histogram.reset();
        }
    }

    pub(crate) fn emit(&self, emit: &mut Emit<'_>) {
        for (names, histogram) in &self.histograms {
            emit_histogram(emit, *names, histogram);
        }
    }
}

pub(crate) const ENVOY_CLUSTER: &[Metric] = &[
    constant("envoy_cluster_assignment_stale", 0.0),
    constant("envoy_cluster_assignment_timeout_received", 0.0),
    constant("envoy_cluster_bind_errors", 0.0),
    counter("envoy_cluster_default_total_match_count", 0.000012),
    constant("envoy_cluster_http2_dropped_headers_with_underscores", 0.0),
    constant("envoy_cluster_http2_header_overflow", 0.0),
    constant("envoy_cluster_http2_headers_cb_no_stream", 0.0),
    constant("envoy_cluster_http2_inbound_empty_frames_flood", 0.0),
    constant("envoy_cluster_http2_inbound_priority_frames_flood", 0.0),
    constant("envoy_cluster_http2_inbound_window_update_frames_flood", 0.0),
    constant("envoy_cluster_http2_keepalive_timeout", 0.0),
    constant("envoy_cluster_http2_metadata_empty_frames", 0.0),
    constant("envoy_cluster_http2_outbound_control_flood", 0.0),
    constant("envoy_cluster_http2_outbound_flood", 0.0),
    constant(
        "envoy_cluster_http2_requests_rejected_with_underscores_in_headers",
        0.0,
    ),
    constant("envoy_cluster_http2_rx_messaging_error", 0.0),
    constant("envoy_cluster_http2_rx_reset", 0.0),
    constant("envoy_cluster_http2_stream_refused_errors", 0.0),
    constant("envoy_cluster_http2_trailers", 0.0),
    constant("envoy_cluster_http2_tx_flush_timeout", 0.0),
    constant("envoy_cluster_http2_tx_reset", 0.0),
    counter("envoy_cluster_internal_upstream_rq_200", 0.000549),
    counter("envoy_cluster_internal_upstream_rq_completed", 0.000549),
    constant("envoy_cluster_lb_healthy_panic", 0.0),
    constant("envoy_cluster_lb_local_cluster_not_ok", 0.0),
    constant("envoy_cluster_lb_recalculate_zone_structures", 0.0),
    constant("envoy_cluster_lb_subsets_created", 0.0),
    constant("envoy_cluster_lb_subsets_fallback", 0.0),
    constant("envoy_cluster_lb_subsets_fallback_panic", 0.0),
    constant("envoy_cluster_lb_subsets_removed", 0.0),
    constant("envoy_cluster_lb_subsets_selected", 0.0),
    constant("envoy_cluster_lb_zone_cluster_too_small", 0.0),
    constant("envoy_cluster_lb_zone_no_capacity_left", 0.0),
    constant("envoy_cluster_lb_zone_number_differs", 0.0),
    constant("envoy_cluster_lb_zone_routing_all_directly", 0.0),
    constant("envoy_cluster_lb_zone_routing_cross_zone", 0.0),
    constant("envoy_cluster_lb_zone_routing_sampled", 0.0),
    counter("envoy_cluster_membership_change", 0.000012),
    constant("envoy_cluster_original_dst_host_invalid", 0.0),
    constant("envoy_cluster_retry_or_shadow_abandoned", 0.0),
    constant("envoy_cluster_update_attempt", 0.0),
    constant("envoy_cluster_update_empty", 0.0),
    constant("envoy_cluster_update_failure", 0.0),
    constant("envoy_cluster_update_no_rebuild", 0.0),
    constant("envoy_cluster_update_success", 0.0),
    constant("envoy_cluster_upstream_cx_close_notify", 0.0),
    constant("envoy_cluster_upstream_cx_connect_attempts_exceeded", 0.0),
    constant("envoy_cluster_upstream_cx_connect_fail", 0.0),
    constant("envoy_cluster_upstream_cx_connect_timeout", 0.0),
    counter("envoy_cluster_upstream_cx_destroy", 0.000537),
    counter("envoy_cluster_upstream_cx_destroy_local", 0.000537),
    constant("envoy_cluster_upstream_cx_destroy_local_with_active_rq", 0.0),
    constant("envoy_cluster_upstream_cx_destroy_remote", 0.0),
    constant("envoy_cluster_upstream_cx_destroy_remote_with_active_rq", 0.0),
    constant("envoy_cluster_upstream_cx_destroy_with_active_rq", 0.0),
    constant("envoy_cluster_upstream_cx_http1_total", 0.0),
    counter("envoy_cluster_upstream_cx_http2_total", 0.000549),
    constant("envoy_cluster_upstream_cx_http3_total", 0.0),
    constant("envoy_cluster_upstream_cx_idle_timeout", 0.0),
    constant("envoy_cluster_upstream_cx_max_duration_reached", 0.0),
    counter("envoy_cluster_upstream_cx_max_requests", 0.000549),
    constant("envoy_cluster_upstream_cx_none_healthy", 0.0),
    constant("envoy_cluster_upstream_cx_overflow", 0.0),
    constant("envoy_cluster_upstream_cx_pool_overflow", 0.0),
    counter("envoy_cluster_upstream_cx_protocol_error", 0.000537),
    counter("envoy_cluster_upstream_cx_rx_bytes_total", 212.795866),
    counter("envoy_cluster_upstream_cx_total", 0.000549),
    counter("envoy_cluster_upstream_cx_tx_bytes_total", 14.644161),
    constant("envoy_cluster_upstream_flow_control_backed_up_total", 0.0),
    constant("envoy_cluster_upstream_flow_control_drained_total", 0.0),
    constant("envoy_cluster_upstream_flow_control_paused_reading_total", 0.0),
    constant("envoy_cluster_upstream_flow_control_resumed_reading_total", 0.0),
    constant("envoy_cluster_upstream_internal_redirect_failed_total", 0.0),
    constant("envoy_cluster_upstream_internal_redirect_succeeded_total", 0.0),
    counter("envoy_cluster_upstream_rq_200", 0.000549),
    constant("envoy_cluster_upstream_rq_cancelled", 0.0),
    counter("envoy_cluster_upstream_rq_completed", 0.000549),
    constant("envoy_cluster_upstream_rq_maintenance_mode", 0.0),
    constant("envoy_cluster_upstream_rq_max_duration_reached", 0.0),
    constant("envoy_cluster_upstream_rq_pending_failure_eject", 0.0),
    constant("envoy_cluster_upstream_rq_pending_overflow", 0.0),
    counter("envoy_cluster_upstream_rq_pending_total", 0.000549),
    constant("envoy_cluster_upstream_rq_per_try_idle_timeout", 0.0),
    constant("envoy_cluster_upstream_rq_per_try_timeout", 0.0),
    constant("envoy_cluster_upstream_rq_retry", 0.0),
    constant("envoy_cluster_upstream_rq_retry_backoff_exponential", 0.0),
    constant("envoy_cluster_upstream_rq_retry_backoff_ratelimited", 0.0),
    constant("envoy_cluster_upstream_rq_retry_limit_exceeded", 0.0),
    constant("envoy_cluster_upstream_rq_retry_overflow", 0.0),
    constant("envoy_cluster_upstream_rq_retry_success", 0.0),
    constant("envoy_cluster_upstream_rq_rx_reset", 0.0),
    constant("envoy_cluster_upstream_rq_timeout", 0.0),
    counter("envoy_cluster_upstream_rq_total", 0.000549),
    constant("envoy_cluster_upstream_rq_tx_reset", 0.0),
    constant("envoy_cluster_circuit_breakers_default_cx_open", 0.0),
    constant("envoy_cluster_circuit_breakers_default_cx_pool_open", 0.0),
    constant("envoy_cluster_circuit_breakers_default_rq_open", 0.0),
    constant("envoy_cluster_circuit_breakers_default_rq_pending_open", 0.0),
    constant("envoy_cluster_circuit_breakers_default_rq_retry_open", 0.0),
    constant("envoy_cluster_circuit_breakers_high_cx_open", 0.0),
    constant("envoy_cluster_circuit_breakers_high_cx_pool_open", 0.0),
    constant("envoy_cluster_circuit_breakers_high_rq_open", 0.0),
    constant("envoy_cluster_circuit_breakers_high_rq_pending_open", 0.0),
    constant("envoy_cluster_circuit_breakers_high_rq_retry_open", 0.0),
    constant("envoy_cluster_http2_pending_send_bytes", 0.0),
    wanders("envoy_cluster_http2_streams_active", 1.0),
    wanders("envoy_cluster_lb_subsets_active", 0.0),
    constant("envoy_cluster_max_host_weight", 0.0),
    constant("envoy_cluster_membership_degraded", 0.0),
    constant("envoy_cluster_membership_excluded", 0.0),
    constant("envoy_cluster_membership_healthy", 1.0),
    constant("envoy_cluster_membership_total", 1.0),
    wanders("envoy_cluster_upstream_cx_active", 1.0),
    wanders("envoy_cluster_upstream_cx_rx_bytes_buffered", 17.0),
    constant("envoy_cluster_upstream_cx_tx_bytes_buffered", 0.0),
    wanders("envoy_cluster_upstream_rq_active", 1.0),
    wanders("envoy_cluster_upstream_rq_pending_active", 0.0),
    constant("envoy_cluster_version", 1.0),
];

pub(crate) const ENVOY_SERVER: &[Metric] = &[
    constant("envoy_cluster_manager_cds_init_fetch_timeout", 0.0),
    counter("envoy_cluster_manager_cds_update_attempt", 0.001169),
    counter("envoy_cluster_manager_cds_update_failure", 0.000537),
    constant("envoy_cluster_manager_cds_update_rejected", 0.0),
    counter("envoy_cluster_manager_cds_update_success", 0.000620),
    counter("envoy_cluster_manager_cluster_added", 0.000775),
    counter("envoy_cluster_manager_cluster_modified", 0.000048),
    counter("envoy_cluster_manager_cluster_removed", 0.000024),
    counter("envoy_cluster_manager_cluster_updated", 0.000179),
    constant("envoy_cluster_manager_cluster_updated_via_merge", 0.0),
    constant("envoy_cluster_manager_update_merge_cancelled", 0.0),
    constant("envoy_cluster_manager_update_out_of_merge_window", 0.0),
    constant("envoy_listener_manager_lds_init_fetch_timeout", 0.0),
    counter("envoy_listener_manager_lds_update_attempt", 0.001157),
    counter("envoy_listener_manager_lds_update_failure", 0.000537),
    constant("envoy_listener_manager_lds_update_rejected", 0.0),
    counter("envoy_listener_manager_lds_update_success", 0.000608),
    counter("envoy_listener_manager_listener_added", 0.000751),
    constant("envoy_listener_manager_listener_create_failure", 0.0),
    counter("envoy_listener_manager_listener_create_success", 0.001503),
    constant("envoy_listener_manager_listener_in_place_updated", 0.0),
    constant("envoy_listener_manager_listener_modified", 0.0),
    constant("envoy_listener_manager_listener_removed", 0.0),
    constant("envoy_listener_manager_listener_stopped", 0.0),
    constant("envoy_server_debug_assertion_failures", 0.0),
    constant("envoy_server_dropped_stat_flushes", 0.0),
    constant("envoy_server_dynamic_unknown_fields", 0.0),
    constant("envoy_server_envoy_bug_failures", 0.0),
    constant("envoy_server_main_thread_watchdog_mega_miss", 0.0),
    constant("envoy_server_main_thread_watchdog_miss", 0.0),
    constant("envoy_server_static_unknown_fields", 0.0),
    constant("envoy_server_wip_protos", 0.0),
    constant("envoy_server_worker_0_watchdog_mega_miss", 0.0),
    constant("envoy_server_worker_0_watchdog_miss", 0.0),
    constant("envoy_server_worker_1_watchdog_mega_miss", 0.0),
    constant("envoy_server_worker_1_watchdog_miss", 0.0),
    counter("envoy_wasm_envoy_wasm_runtime_null_created", 0.000298),
    constant("envoy_wasm_remote_load_cache_hits", 0.0),
    constant("envoy_wasm_remote_load_cache_misses", 0.0),
    constant("envoy_wasm_remote_load_cache_negative_hits", 0.0),
    constant("envoy_wasm_remote_load_fetch_failures", 0.0),
    constant("envoy_wasm_remote_load_fetch_successes", 0.0),
    wanders("envoy_cluster_manager_active_clusters", 63.0),
    constant("envoy_cluster_manager_cds_update_time", 1.0),
    constant("envoy_cluster_manager_cds_version", 1.0),
    constant("envoy_cluster_manager_warming_clusters", 0.0),
    constant("envoy_listener_manager_lds_update_time", 1.0),
    constant("envoy_listener_manager_lds_version", 1.0),
    constant("envoy_listener_manager_total_filter_chains_draining", 0.0),
    wanders("envoy_listener_manager_total_listeners_active", 63.0),
    constant("envoy_listener_manager_total_listeners_draining", 0.0),
    constant("envoy_listener_manager_total_listeners_warming", 0.0),
    constant("envoy_listener_manager_workers_started", 1.0),
    constant("envoy_server_compilation_settings_fips_mode", 0.0),
    constant("envoy_server_concurrency", 2.0),
    constant("envoy_server_days_until_first_cert_expiring", 0.0),
    constant("envoy_server_hot_restart_epoch", 0.0),
    constant("envoy_server_live", 1.0),
    wanders("envoy_server_memory_allocated", 15683072.0),
    constant("envoy_server_memory_heap_size", 20971520.0),
    constant("envoy_server_memory_physical_size", 23592960.0),
    constant("envoy_server_parent_connections", 0.0),
    constant("envoy_server_seconds_until_first_ocsp_response_expiring", 0.0),
    constant("envoy_server_state", 0.0),
    constant("envoy_server_stats_recent_lookups", 17931.0),
    constant("envoy_server_total_connections", 5.0),
    uptime("envoy_server_uptime"),
    constant("envoy_server_version", 1.0),
    wanders("envoy_wasm_envoy_wasm_runtime_null_active", 20.0),
    constant("envoy_wasm_remote_load_cache_entries", 0.0),
];

pub(crate) const AGENT: &[Metric] = &[
    constant("istio_agent_endpoint_no_pod", 0.0),
    wanders("istio_agent_go_goroutines", 58.0),
    wanders("istio_agent_go_memstats_alloc_bytes", 14817928.0),
    counter("istio_agent_go_memstats_alloc_bytes_total", 495130.504276),
    constant("istio_agent_go_memstats_buck_hash_sys_bytes", 1578273.0),
    counter("istio_agent_go_memstats_frees_total", 401.024533),
    constant("istio_agent_go_memstats_gc_cpu_fraction", 0.00010542622713071023),
    constant("istio_agent_go_memstats_gc_sys_bytes", 5934944.0),
    wanders("istio_agent_go_memstats_heap_alloc_bytes", 14817928.0),
    wanders("istio_agent_go_memstats_heap_idle_bytes", 6578176.0),
    wanders("istio_agent_go_memstats_heap_inuse_bytes", 17375232.0),
    wanders("istio_agent_go_memstats_heap_objects", 35976.0),
    wanders("istio_agent_go_memstats_heap_released_bytes", 2662400.0),
    wanders("istio_agent_go_memstats_heap_sys_bytes", 23953408.0),
    constant("istio_agent_go_memstats_last_gc_time_seconds", 1.0),
    constant("istio_agent_go_memstats_lookups_total", 0.0),
    counter("istio_agent_go_memstats_mallocs_total", 401.453600),
    constant("istio_agent_go_memstats_mcache_inuse_bytes", 4800.0),
    constant("istio_agent_go_memstats_mcache_sys_bytes", 16384.0),
    constant("istio_agent_go_memstats_mspan_inuse_bytes", 170952.0),
    constant("istio_agent_go_memstats_mspan_sys_bytes", 196608.0),
    constant("istio_agent_go_memstats_next_gc_bytes", 18186096.0),
    constant("istio_agent_go_memstats_other_sys_bytes", 1007495.0),
    constant("istio_agent_go_memstats_stack_inuse_bytes", 1212416.0),
    constant("istio_agent_go_memstats_stack_sys_bytes", 1212416.0),
    constant("istio_agent_go_memstats_sys_bytes", 33899528.0),
    constant("istio_agent_go_threads", 13.0),
    constant("istio_agent_pilot_conflict_inbound_listener", 0.0),
    constant(
        "istio_agent_pilot_conflict_outbound_listener_http_over_current_tcp",
        0.0,
    ),
    constant(
        "istio_agent_pilot_conflict_outbound_listener_tcp_over_current_http",
        0.0,
    ),
    constant(
        "istio_agent_pilot_conflict_outbound_listener_tcp_over_current_tcp",
        0.0,
    ),
    constant("istio_agent_pilot_destrule_subsets", 0.0),
    constant("istio_agent_pilot_duplicate_envoy_clusters", 0.0),
    constant("istio_agent_pilot_eds_no_instances", 0.0),
    constant("istio_agent_pilot_endpoint_not_ready", 0.0),
    constant("istio_agent_pilot_no_ip", 0.0),
    constant("istio_agent_pilot_virt_services", 0.0),
    constant("istio_agent_pilot_vservice_dup_domain", 0.0),
    counter("istio_agent_process_cpu_seconds_total", 0.001142),
    constant("istio_agent_process_max_fds", 1048576.0),
    constant("istio_agent_process_open_fds", 24.0),
    wanders("istio_agent_process_resident_memory_bytes", 49033216.0),
    constant("istio_agent_process_start_time_seconds", 1.0),
    constant("istio_agent_process_virtual_memory_bytes", 768643072.0),
    constant("istio_agent_process_virtual_memory_max_bytes", 1.0),
    counter("istio_agent_scrapes_total", 0.166506),
    constant("istio_agent_startup_duration_seconds", 7.541594581),
    constant("istio_agent_wasm_cache_entries", 0.0),
];
