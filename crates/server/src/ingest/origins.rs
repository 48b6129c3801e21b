//! From whom the series of a request come, and which of them are elected.
//!
//! A request of Prometheus has one origin, because its external labels are on all of its series; one of a proxy may
//! have many, and series without any. The keys of a request are changed by the salt of its first origin. A key that
//! is known so is of that origin, since only [`Resolving`](super::resolve::Resolving) puts it there, after it has
//! read the labels; a key that is not known is of a new series or of another origin. Then labels are read, and the
//! keys that are left are looked up with the salt of the origin that was met.

use catalog::{Resolver, SeriesKey};
use model::{LaneIdx, SeriesRef, StreamId};

use crate::ha::{Origin, Tracker, Verdict};

/// Stands where a sample has no series; under the key of a series that is known only from replicas that are not
/// elected.
pub(super) const NO_SERIES: SeriesRef = SeriesRef {
    stream: StreamId(u32::MAX),
    lane: LaneIdx(u16::MAX),
};

/// Stands for the series of a replica that is not elected.
pub(super) const DROPPED: SeriesRef = SeriesRef {
    stream: StreamId(u32::MAX),
    lane: LaneIdx(u16::MAX - 1),
};

/// Origins of one request whose keys are looked up all at once; of others one by one.
const LOOKED_UP_MAX: usize = 16;

/// Origins that one request may have. A proxy that collects for many pairs stays far below; each further one would
/// have to be told from all others, elected and written down.
pub(super) const ORIGINS_MAX: usize = 256;

/// The origins of one request.
#[derive(Debug)]
pub(super) struct Origins<'a> {
    tracker: Option<&'a Tracker>,
    resolver: &'a Resolver,
    /// The first one is that of the first series; there always is one.
    met: Vec<Met>,
}

/// An origin that was met.
#[derive(Debug, Clone)]
pub(super) struct Met {
    /// None for series of no pair.
    origin: Option<Origin>,
    pub(super) verdict: Verdict,
    salt: u128,
}

impl Met {
    /// Series of no pair, whose keys are what they are.
    const NO_PAIR: Self = Self {
        origin: None,
        verdict: Verdict::Elected,
        salt: 0,
    };

    /// The label that does not belong to the series.
    pub(super) fn replica_label(&self) -> Option<&str> {
        self.origin.as_ref().map(|origin| &*origin.pair.replica_label)
    }

    /// Makes of what was found under the keys of this origin what it means for the request. Returns how many turned
    /// out to be unknown.
    pub(super) fn settle(&self, found: &mut [Option<SeriesRef>]) -> usize {
        let mut n_unknown = 0;
        match (&self.origin, self.verdict) {
            (None, _) => {}
            (Some(_), Verdict::Lost) => {
                for series in found.iter_mut().flatten() {
                    *series = DROPPED;
                }
            }
            (Some(_), Verdict::Elected) => {
                for series in found.iter_mut().filter(|series| **series == Some(NO_SERIES)) {
                    *series = None;
                    n_unknown += 1;
                }
            }
        }
        n_unknown
    }
}

impl<'a> Origins<'a> {
    /// For requests in which nobody looks for pairs.
    pub(super) fn none(resolver: &'a Resolver) -> Self {
        Self {
            tracker: None,
            resolver,
            met: vec![Met::NO_PAIR],
        }
    }

    /// For a request whose first series has these labels, if they can be read.
    pub(super) fn new(tracker: &'a Tracker, resolver: &'a Resolver, first: Option<&[(&str, &str)]>) -> Self {
        let mut origins = Self {
            tracker: Some(tracker),
            resolver,
            met: Vec::new(),
        };
        let first = first.and_then(|labels| tracker.origin(labels));
        let first = origins.hear(tracker, first);
        origins.met.push(first);
        origins
    }

    /// The origin of the first series.
    pub(super) fn first(&self) -> &Met {
        self.met.first().unwrap_or(&Met::NO_PAIR)
    }

    /// True when something of the request is to be left out.
    pub(super) fn has_lost(&self) -> bool {
        self.met.iter().any(|met| met.verdict == Verdict::Lost)
    }

    /// Changes keys by the salt of the first origin.
    pub(super) fn salt(&self, keys: &mut [SeriesKey]) {
        let salt = self.first().salt;
        if salt != 0 {
            keys.iter_mut().for_each(|key| key.0 ^= salt);
        }
    }

    /// The origin of a series with these labels, and whether the keys of the request are to be looked up for it. `None`
    /// when the request has too many.
    pub(super) fn meet(&mut self, labels: &[(&str, &str)]) -> Option<(Met, bool)> {
        let Some(tracker) = self.tracker else {
            return Some((Met::NO_PAIR, false));
        };
        let origin = tracker.origin(labels);
        if let Some(met) = self.met.iter().find(|met| met.origin == origin) {
            return Some((met.clone(), false));
        }
        if self.met.len() >= ORIGINS_MAX {
            return None;
        }
        let met = self.hear(tracker, origin);
        self.met.push(met.clone());
        Some((met, self.met.len() <= LOOKED_UP_MAX))
    }

    /// The key under `met` of what has `key` under the first origin.
    pub(super) fn key_of(&self, met: &Met, key: SeriesKey) -> SeriesKey {
        SeriesKey(key.0 ^ self.first().salt ^ met.salt)
    }

    fn hear(&self, tracker: &Tracker, origin: Option<Origin>) -> Met {
        let Some(origin) = origin else {
            return Met::NO_PAIR;
        };
        let SeriesKey(salt) = self.resolver.key(&origin.key_bytes());
        Met {
            verdict: tracker.hear(&origin),
            salt,
            origin: Some(origin),
        }
    }
}
