//! The kernels of native histograms: what `kernel` does for floats, for [`model::FloatHistogram`].
//!
//! Pure functions on values that were read and checked elsewhere; nothing here knows labels, plans or storage. What a
//! query has to be told beside its result goes into [`Notes`], a set that costs nothing while it is empty and is
//! collected per series or group; only an operator that has the metric's name makes [`crate::annotation::Annotation`]s
//! of it. Operations follow Prometheus 3.14 in the order of its steps, so that results have its bits but for the last
//! one of logarithms.
//!
//! Entries for operators:
//!
//! - [`NativeRangeFunction`]: every function of a window that may hold histograms.
//! - [`binary`]: operators between two elements, floats or histograms; [`arithmetic::negate`] for the unary minus.
//! - [`MixedGroup`]: `sum` and `avg` of a group.
//! - [`quantile()`], [`fraction()`], [`statistics`]: functions of one histogram.
//! - [`smoothed`]: instant selectors with that word.
//!
//! Limits: any histogram whose [`model::histogram::Buckets`] exist can be handed in, even one that would not pass
//! validation, as results of arithmetic do not; nothing panics on it.

pub mod arithmetic;
mod bounds;
mod compensated;
mod layout;
mod zero;

pub mod reset;

pub mod trim;

pub mod binary;

pub mod statistics;

mod fraction;
mod quantile;

mod group;
mod mean;

mod extended;
mod notes;
mod over_time;
mod range;
mod rate;
mod value;
mod window;

pub use compensated::Compensated;
pub use extended::smoothed;
pub use fraction::fraction;
pub use group::{MixedGroup, Totaling};
pub use mean::HistogramMean;
pub use notes::{About, Note, Notes};
pub use quantile::quantile;
pub use range::{Extension, NativeRangeFunction};
pub use value::{FloatOrHistogram, sample_weight};
pub use window::{MixedWindow, Samples};

#[cfg(test)]
pub(crate) mod tests;
