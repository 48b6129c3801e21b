//! The knobs of a synthetic mesh.

/// What a mesh looks like. Shares and rates are those of real meshes unless a field says otherwise.
#[derive(Debug, Clone)]
pub struct MeshConfig {
    /// Everything random follows from it.
    pub seed: u64,
    /// Which services there are.
    pub shape: MeshShape,
    /// Distance of two scrapes of one target, milliseconds.
    pub scrape_interval_ms: i64,
    /// Share of calls that never carry a request: their counters stand still.
    pub idle_share: f64,
    /// Share of scrapes that fail; the target's series then end with a staleness marker and come back.
    pub failed_scrapes: f64,
    /// Restarts of a proxy per hour: all counters of the target fall to 0.
    pub restarts_per_hour: f64,
    /// Roll-outs of a workload per hour: its pods are replaced, their series end, new ones begin.
    pub rollouts_per_hour: f64,
    /// The some 400 series that every sidecar has without traffic.
    pub sidecar_baseline: bool,
    /// One istiod.
    pub control_plane: bool,
    /// TCP and gRPC calls beside HTTP.
    pub other_protocols: bool,
    /// At most this many HTTP label combinations of 67 series each in the whole mesh.
    pub combinations_max: Option<usize>,
}

/// Which services a mesh has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeshShape {
    /// Istio's sample application: productpage, details, reviews v1 to v3, ratings, behind a gateway.
    Bookinfo,
    /// So many services, of one to three versions, calling each other.
    Services(usize),
}

impl MeshConfig {
    /// Istio's bookinfo sample, about 3,500 series.
    #[must_use]
    pub fn bookinfo(seed: u64) -> Self {
        Self {
            shape: MeshShape::Bookinfo,
            idle_share: 0.0,
            ..Self::services(0, seed)
        }
    }

    /// A mesh of `n_services` with everything a real one has: some 10,000 series per service.
    #[must_use]
    pub fn services(n_services: usize, seed: u64) -> Self {
        Self {
            seed,
            shape: MeshShape::Services(n_services),
            scrape_interval_ms: 15_000,
            idle_share: 0.1,
            failed_scrapes: 0.001,
            restarts_per_hour: 0.01,
            rollouts_per_hour: 0.02,
            sidecar_baseline: true,
            control_plane: true,
            other_protocols: true,
            combinations_max: None,
        }
    }

    /// Exactly `n_combinations` × 67 series of HTTP traffic that neither end nor restart: what the benches use,
    /// so that figures of different days compare.
    #[must_use]
    pub fn steady_http(n_combinations: usize, seed: u64) -> Self {
        Self {
            shape: MeshShape::Services(n_combinations / 40 + 4),
            failed_scrapes: 0.0,
            restarts_per_hour: 0.0,
            rollouts_per_hour: 0.0,
            sidecar_baseline: false,
            control_plane: false,
            other_protocols: false,
            combinations_max: Some(n_combinations),
            ..Self::services(0, seed)
        }
    }
}
