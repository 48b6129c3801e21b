//! How long acknowledgements take while heavy queries run.
//!
//! Requests are sent at a steady pace, as scrapes come in, first to an idle server and then to one that is kept busy
//! by clients that ask one range query after the other.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mesh::remote_write::EncodedRequest;
use meshtide_tests::process::Server;

use crate::ingest::{Load, Requests, share_of};
use crate::queries::{self, QUERIES};

/// Time between two requests: 80,000 samples per second, four times what 333,392 series at 15 s give.
const PACE: Duration = Duration::from_millis(25);

/// Clients that ask all the time.
const N_ASKING: usize = 4;

/// Latencies with and without queries, each sorted.
#[derive(Debug, Clone, Default)]
pub struct Interference {
    /// To an idle server.
    pub idle: Vec<Duration>,
    /// To a server that is busy with queries.
    pub busy: Vec<Duration>,
    /// Queries answered meanwhile.
    pub n_queries: usize,
}

impl Interference {
    /// The latency below which this share of requests stayed, idle and busy.
    #[must_use]
    pub fn latency(&self, share: f64) -> [Duration; 2] {
        [share_of(&self.idle, share), share_of(&self.busy, share)]
    }
}

/// Sends the later scrapes of `requests`, half of them to an idle server.
///
/// # Errors
/// If a request is not acknowledged or a query fails.
pub fn run(server: &Server, requests: &Requests, load: &Load) -> Result<Interference> {
    let later: Vec<&EncodedRequest> = requests.later().iter().flatten().collect();
    let (to_idle, to_busy) = later.split_at(later.len() / 2);
    let idle = paced(server, to_idle)?;
    let end_s = load.end_ms as f64 / 1e3;
    let (is_over, n_queries) = (AtomicBool::new(false), AtomicUsize::new(0));
    let busy = std::thread::scope(|scope| -> Result<_> {
        let asking: Vec<_> = (0..N_ASKING)
            .map(|asking_idx| {
                let (is_over, n_queries) = (&is_over, &n_queries);
                scope.spawn(move || ask_until(server, end_s, asking_idx, is_over, n_queries))
            })
            .collect();
        let busy = paced(server, to_busy);
        is_over.store(true, Ordering::Relaxed);
        for thread in asking {
            thread.join().ok().context("a client panicked")??;
        }
        busy
    })?;
    Ok(Interference {
        idle,
        busy,
        n_queries: n_queries.into_inner(),
    })
}

fn ask_until(
    server: &Server,
    end_s: f64,
    asking_idx: usize,
    is_over: &AtomicBool,
    n_queries: &AtomicUsize,
) -> Result<()> {
    let client = server.client();
    let heavy = QUERIES.iter().filter(|query| query.n_steps > 1);
    let heavy: Vec<_> = heavy.cycle().skip(asking_idx).take(100_000).collect();
    for query in heavy {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        queries::ask(&client, query, end_s).with_context(|| query.name.to_owned())?;
        n_queries.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Sends one request after the other at their times, or at once when it is late; gives the latencies, sorted.
fn paced(server: &Server, requests: &[&EncodedRequest]) -> Result<Vec<Duration>> {
    let client = server.client();
    let mut latencies = Vec::with_capacity(requests.len());
    let mut due = Instant::now();
    for request in requests {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let begin = Instant::now();
        let answer = client.post("/api/v1/write", request.headers(), &request.body)?;
        latencies.push(begin.elapsed());
        ensure!(answer.status / 100 == 2, "{} {}", answer.status, answer.text());
        due += PACE;
    }
    latencies.sort_unstable();
    Ok(latencies)
}
