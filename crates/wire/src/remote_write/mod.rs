//! Prometheus remote write, both protocols, both directions.

mod exemplar;
mod histogram;
mod labels;
mod negotiate;
mod plain_histogram;
pub mod v1;
pub mod v2;

mod sample_slot;
mod schemas;

pub use exemplar::{Exemplar, Exemplars};
pub use histogram::{Count, Histogram, HistogramMessage, Histograms, Side};
pub use labels::SeriesLabels;
pub use negotiate::{Protocol, Unsupported, negotiate};
pub use plain_histogram::{PlainHistogram, PlainLayout};
