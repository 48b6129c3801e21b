//! `/metrics`: everything that is counted, on one page.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use storage::{BlockStats, StoreStats};

use super::ha::write_ha;
use super::text::Page;
use crate::app::App;
use crate::process::Usage;
use crate::reply::Reply;

/// The content type of the text format.
pub(crate) const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers with the page. Before the store is open its part is missing.
pub(crate) async fn metrics_page(State(app): State<App>, reply: Reply) -> Response {
    let mut page = Page::default();
    write_build(&mut page, &app);
    write_process(&mut page, &app);
    app.metrics.http.write(&mut page);
    app.metrics.write.write(&mut page);
    page.one_gauge(
        "meshtide_write_requests_active",
        "Remote-write requests under way.",
        app.admission.n_requests() as f64,
    );
    page.one_gauge(
        "meshtide_write_active_body_bytes",
        "Bytes of the bodies of remote-write requests under way.",
        app.admission.n_bytes() as f64,
    );
    let is_ready = app.ready().is_some();
    page.one_gauge(
        "meshtide_ready",
        "1 once the log has been replayed.",
        f64::from(u8::from(is_ready)),
    );
    // Adding up the head takes milliseconds when it is large: not on a thread of the sockets. Neither on one of the
    // queries, so that there are metrics when these are busy.
    if let Some(tracker) = app.ready().and_then(|ready| ready.ingest.ha()) {
        write_ha(&mut page, tracker);
    }
    if let Some(ready) = app.ready() {
        let store = Arc::clone(&ready.opened.store);
        if let Ok(stats) = tokio::task::spawn_blocking(move || store.stats()).await {
            write_store(&mut page, &stats);
        }
    }
    reply.text(TEXT_FORMAT, page.0)
}

fn write_build(page: &mut Page, app: &App) {
    let build = &app.config.build;
    let name = "meshtide_build_info";
    page.gauge(name, "Version and revision of the program; always 1.");
    let labels = [
        ("version", build.version.as_str()),
        ("revision", build.revision.as_str()),
    ];
    page.sample(name, &labels, 1.0);
}

fn write_process(page: &mut Page, app: &App) {
    let usage = Usage::read();
    page.counter("process_cpu_seconds_total", "User and system CPU time.");
    page.sample("process_cpu_seconds_total", &[], usage.cpu_seconds);
    page.one_gauge(
        "process_resident_memory_bytes",
        "Resident memory.",
        usage.resident_bytes as f64,
    );
    page.one_gauge("process_threads", "Threads.", usage.n_threads as f64);
    page.one_gauge(
        "process_start_time_seconds",
        "When the process was started, since the epoch.",
        app.config.process.started_ms as f64 / 1000.0,
    );
}

fn write_store(page: &mut Page, stats: &StoreStats) {
    for (name, help, value) in [
        (
            "meshtide_store_appended_samples_total",
            "Samples stored, exact duplicates included.",
            stats.appended_samples,
        ),
        (
            "meshtide_store_overloaded_requests_total",
            "Requests refused because the write queue was full.",
            stats.overloaded_requests,
        ),
        (
            "meshtide_wal_written_bytes_total",
            "Bytes written to the log.",
            stats.wal.written_bytes,
        ),
        (
            "meshtide_wal_groups_total",
            "Groups of requests written to the log.",
            stats.wal.groups,
        ),
        ("meshtide_wal_syncs_total", "Syncs of the log.", stats.wal.syncs),
        (
            "meshtide_wal_errors_total",
            "Writes and syncs of the log that failed.",
            stats.wal.errors,
        ),
        (
            "meshtide_wal_segments_total",
            "Segments of the log begun.",
            stats.wal.segments,
        ),
    ] {
        page.one_counter(name, help, value);
    }
    page.counter(
        "meshtide_wal_sync_seconds_total",
        "Time spent in syncs of the log.",
    );
    page.sample(
        "meshtide_wal_sync_seconds_total",
        &[],
        stats.wal.sync_ns as f64 / 1e9,
    );
    write_sizes(page, stats);
    write_blocks(page, &stats.blocks);
}

fn write_blocks(page: &mut Page, stats: &BlockStats) {
    for (name, help, value) in [
        (
            "meshtide_flushes_total",
            "Flushes that made blocks.",
            stats.flushes,
        ),
        (
            "meshtide_flush_errors_total",
            "Flushes that failed.",
            stats.flush_errors,
        ),
        (
            "meshtide_flushed_samples_total",
            "Samples that flushes put into blocks.",
            stats.flushed_samples,
        ),
        (
            "meshtide_compactions_total",
            "Merges of blocks.",
            stats.compactions,
        ),
        (
            "meshtide_compaction_errors_total",
            "Merges of blocks that failed.",
            stats.compaction_errors,
        ),
        (
            "meshtide_compacted_samples_total",
            "Samples that merges wrote.",
            stats.compacted_samples,
        ),
        (
            "meshtide_expired_blocks_total",
            "Blocks dropped by the retention.",
            stats.expired,
        ),
        (
            "meshtide_page_cache_hits_total",
            "Pages of blocks that queries found in memory.",
            stats.page_hits,
        ),
        (
            "meshtide_page_cache_misses_total",
            "Pages of blocks that queries had to read.",
            stats.page_misses,
        ),
    ] {
        page.one_counter(name, help, value);
    }
    write_block_sizes(page, stats);
}

fn write_block_sizes(page: &mut Page, stats: &BlockStats) {
    for (name, help, nanoseconds) in [
        ("meshtide_flush_seconds_total", "Time of flushes.", stats.flush_ns),
        (
            "meshtide_compaction_seconds_total",
            "Time of merges.",
            stats.compaction_ns,
        ),
    ] {
        page.counter(name, help);
        page.sample(name, &[], nanoseconds as f64 / 1e9);
    }
    for (name, help, value) in [
        ("meshtide_blocks", "Blocks.", stats.blocks as f64),
        ("meshtide_block_bytes", "Bytes of blocks.", stats.bytes as f64),
        (
            "meshtide_block_samples",
            "Samples in blocks.",
            stats.samples as f64,
        ),
        (
            "meshtide_quarantined_blocks",
            "Blocks that are damaged and left out of queries.",
            stats.quarantined as f64,
        ),
        (
            "meshtide_pending_deletions",
            "Deletions whose bytes are not gone yet.",
            stats.deletions as f64,
        ),
        (
            "meshtide_page_cache_bytes",
            "Memory of decoded pages of blocks.",
            stats.page_bytes as f64,
        ),
    ] {
        page.one_gauge(name, help, value);
    }
}

fn write_sizes(page: &mut Page, stats: &StoreStats) {
    let times = [
        ("meshtide_head_oldest_timestamp_seconds", stats.head.oldest_ms),
        ("meshtide_head_newest_timestamp_seconds", stats.head.newest_ms),
    ];
    for (name, time_ms) in times {
        if let Some(time_ms) = time_ms {
            page.one_gauge(name, "Time of a sample in the head.", time_ms as f64 / 1000.0);
        }
    }
    for (name, help, value) in [
        (
            "meshtide_store_queued_samples",
            "Samples that wait to be written.",
            stats.queued_samples as f64,
        ),
        (
            "meshtide_wal_failing",
            "1 while the log cannot be written.",
            f64::from(u8::from(stats.wal.is_failing)),
        ),
        (
            "meshtide_head_series",
            "Series with a sample in the head.",
            stats.head.n_series as f64,
        ),
        (
            "meshtide_head_streams",
            "Streams with a sample in the head.",
            stats.head.n_streams as f64,
        ),
        (
            "meshtide_head_samples",
            "Samples in the head.",
            stats.head.n_samples as f64,
        ),
        (
            "meshtide_head_bytes",
            "Heap memory of the head.",
            stats.head.bytes.total() as f64,
        ),
        (
            "meshtide_exemplars",
            "Exemplars that are kept.",
            stats.exemplars.0 as f64,
        ),
        (
            "meshtide_exemplar_bytes",
            "Memory of the exemplars that are kept.",
            stats.exemplars.1 as f64,
        ),
        (
            "meshtide_resolver_bytes",
            "Heap memory of the map from label bytes to series.",
            stats.resolver_bytes as f64,
        ),
    ] {
        page.one_gauge(name, help, value);
    }
}
