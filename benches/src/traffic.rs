//! The counters of a mesh's edges, made quickly: for benches that need hundreds of millions of samples.
//!
//! A third of all edges is idle, the others have one to forty requests from scrape to scrape. `meshtide simulate` has
//! more of what a real mesh does; it takes ten times as long.

use model::{LabelError, Labels, LaneKind};

/// Upper bounds of the buckets.
pub const BOUNDS: [&str; 20] = [
    "0.5", "1", "5", "10", "25", "50", "100", "250", "500", "1000", "2500", "5000", "10000", "30000",
    "60000", "300000", "600000", "1.8e+06", "3.6e+06", "+Inf",
];

/// Requests per scrape.
const BUSY: [u64; 6] = [0, 1, 3, 10, 40, 0];

/// Latencies of one scrape that are drawn; more requests count several times each.
const DRAWN_MAX: u64 = 8;

/// Numbers that look random and are the same every time; faster than what tests use.
#[derive(Debug, Clone)]
pub struct Chance(pub u64);

impl Chance {
    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// What one edge has counted.
#[derive(Debug, Clone)]
pub struct Edge {
    requests_per_scrape: u64,
    /// Requests.
    pub count: f64,
    /// Milliseconds of all of them.
    pub sum: f64,
    /// Requests by latency, cumulative.
    pub buckets: [f64; BOUNDS.len()],
}

impl Edge {
    /// One that has counted nothing, as busy as its number says.
    #[must_use]
    pub fn new(number: u64) -> Self {
        let kind = number % BUSY.len() as u64;
        Self {
            requests_per_scrape: BUSY[kind as usize],
            count: 0.0,
            sum: 0.0,
            buckets: [0.0; BOUNDS.len()],
        }
    }

    /// Counts the requests until the next scrape, and nothing else; gives how many they are.
    pub fn advance_count(&mut self, chance: &mut Chance) -> u64 {
        let n_requests = match self.requests_per_scrape {
            0 => 0,
            n => chance.below(2 * n + 1),
        };
        self.count += n_requests as f64;
        n_requests
    }

    /// Counts everything until the next scrape.
    pub fn advance(&mut self, chance: &mut Chance) {
        let n_requests = self.advance_count(chance);
        let n_drawn = n_requests.min(DRAWN_MAX);
        for _ in 0..n_drawn {
            let weight = (n_requests / n_drawn) as f64;
            let bucket = (2 + chance.below(7) + chance.below(5)) as usize;
            self.buckets[bucket..]
                .iter_mut()
                .for_each(|count| *count += weight);
            self.sum = ((self.sum + weight * (1 << bucket) as f64 * 0.73) * 100.0).round() / 100.0;
        }
    }
}

/// The lanes of a histogram in their order: sum, count, buckets.
#[must_use]
pub fn histogram_lanes() -> Vec<LaneKind<'static>> {
    let parts = [LaneKind::Sum, LaneKind::Count];
    parts.into_iter().chain(BOUNDS.map(LaneKind::Bucket)).collect()
}

/// The labels of edges: `n_labels` of few values, a pod, and one of a hundred services. Sorted by labels, each with its
/// number; those of a service do not lie together.
///
/// # Errors
/// Labels that are too long.
pub fn entities(n_edges: usize, n_labels: usize) -> Result<Vec<(u64, Labels)>, LabelError> {
    let entity = |number: usize| {
        let fixed = (0..n_labels).map(|label| {
            let value = number % (3 * label + 1);
            (format!("label_{label:02}"), format!("value-{value}"))
        });
        let own = [
            ("pod".to_owned(), format!("pod-{number}")),
            ("service".to_owned(), format!("service-{}", number % 100)),
        ];
        Ok((number as u64, Labels::from_pairs(fixed.chain(own))?))
    };
    let mut entities: Vec<(u64, Labels)> = (0..n_edges).map(entity).collect::<Result<_, LabelError>>()?;
    entities.sort_by(|a, b| a.1.cmp(&b.1));
    Ok(entities)
}
