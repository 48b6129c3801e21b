//! `meshtide simulate`: a synthetic Istio mesh as load, against any server that takes remote write.
//!
//! Back-fill first, as fast as the server takes it, then live, as real scrapes would come. [`plan`] holds what the
//! user asked for, [`sender`] talks to the server, [`progress`] to the user.

mod plan;
mod progress;
mod sender;

use std::time::Duration;

use anyhow::Result;
use mesh::Mesh;
use mesh::remote_write::RequestEncoder;
use model::Clock;
use model::duration::format_duration_ms;
use tokio::sync::mpsc;

pub(crate) use plan::Plan;
use progress::Progress;
pub(crate) use sender::Summary;
use sender::{Sender, Target};

/// Requests that wait to be sent, per connection. Generating is faster than sending.
const QUEUED_PER_CONNECTION: usize = 2;

/// Sends the mesh of `plan` until it is done or `stop` resolves. Returns what was sent. `caught_up` is called when
/// the past has been sent.
///
/// # Errors
/// If the URL is none that can be spoken to, or the server cannot be reached at all.
pub(crate) async fn run(
    plan: &Plan,
    clock: &dyn Clock,
    stop: impl Future<Output = ()>,
    caught_up: impl FnOnce(),
) -> Result<Summary> {
    let target = Target::parse(&plan.remote_write)?;
    let mut mesh = Mesh::new(plan.mesh_config());
    let progress = Progress::new(plan.quiet);
    progress.say(&format!(
        "{} series on {} pods, to {}",
        mesh.n_series(),
        mesh.n_targets(),
        plan.remote_write
    ));
    let (queue, requests) = mpsc::channel(QUEUED_PER_CONNECTION * plan.connections);
    let sender = Sender::start(&target, plan.connections, requests, &progress);
    let mut encoder = RequestEncoder::new(plan.version(), plan.samples_per_request);
    let work = async {
        let live_from_ms = back_fill(plan, &mut mesh, &mut encoder, &queue, clock, &progress).await?;
        caught_up();
        if plan.live {
            live(&mut mesh, &mut encoder, &queue, clock, live_from_ms, &progress).await?;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        outcome = work => outcome?,
        () = stop => progress.say("stopping"),
    }
    drop(queue);
    let summary = sender.finish().await?;
    progress.finish(&summary);
    Ok(summary)
}

type Queue = mpsc::Sender<mesh::remote_write::EncodedRequest>;

/// Sends the past; returns the start of the first interval that was not sent.
async fn back_fill(
    plan: &Plan,
    mesh: &mut Mesh,
    encoder: &mut RequestEncoder,
    queue: &Queue,
    clock: &dyn Clock,
    progress: &Progress,
) -> Result<i64> {
    let interval_ms = mesh.scrape_interval_ms();
    let now_ms = clock.now_ms();
    let n_intervals = plan.back_fill_ms() / interval_ms;
    let start_ms = now_ms - n_intervals * interval_ms;
    progress.begin_back_fill(n_intervals, &format_duration_ms(n_intervals * interval_ms));
    for interval in 0..n_intervals {
        mesh.scrape_interval(start_ms + interval * interval_ms, encoder);
        enqueue(encoder, queue).await?;
        progress.interval_done();
    }
    Ok(start_ms + n_intervals * interval_ms)
}

/// Scrapes every pod when its time comes, for ever.
async fn live(
    mesh: &mut Mesh,
    encoder: &mut RequestEncoder,
    queue: &Queue,
    clock: &dyn Clock,
    from_ms: i64,
    progress: &Progress,
) -> Result<()> {
    let interval_ms = mesh.scrape_interval_ms();
    progress.begin_live();
    let mut interval_start_ms = from_ms;
    loop {
        let mut order: Vec<(i64, usize)> = (0..mesh.n_targets())
            .map(|target| (mesh.phase_ms(target), target))
            .collect();
        order.sort_unstable();
        for (phase_ms, target) in order {
            let wait_ms = interval_start_ms + phase_ms - clock.now_ms();
            if wait_ms > 0 {
                enqueue(encoder, queue).await?;
                tokio::time::sleep(Duration::from_millis(wait_ms.unsigned_abs())).await;
            }
            mesh.scrape_target(target, interval_start_ms, encoder);
        }
        enqueue(encoder, queue).await?;
        interval_start_ms += interval_ms;
    }
}

async fn enqueue(encoder: &mut RequestEncoder, queue: &Queue) -> Result<()> {
    for request in encoder.finish() {
        if queue.send(request).await.is_err() {
            anyhow::bail!("sending has ended");
        }
    }
    Ok(())
}
