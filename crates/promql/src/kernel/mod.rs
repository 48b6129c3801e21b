//! The numeric kernels of PromQL: samples in, samples out.
//!
//! Nothing in here knows labels of whole series, plans or storage: an operator brings slices of timestamps and values
//! and gets numbers back. Semantics are those of Prometheus 3.14, bit for bit where the order of operations decides.
//! All functions are pure; those that need room for intermediate values take it from the caller or allocate per call,
//! as their docs say.
//!
//! All but [`native`] are about floats; windows and groups that may hold native histograms go through that one.
//!
//! - [`window`]: which rows of a stream each step sees.
//! - [`rate`]: rate, increase, delta, irate, idelta, with the work shared by the lanes of a stream done once.
//! - [`range`]: every function of a window behind one entry, [`range::RangeFunction`].
//! - [`over_time`], [`regression`]: the functions of a window one by one.
//! - [`sum`], [`quantile`], [`aggregate`], [`parameter`]: building blocks of aggregations, also used by the above.
//! - [`histogram`]: classic histograms; [`classic`]: they as native ones.
//! - [`instant`], [`math`], [`date`]: functions and operators on single values.
//! - [`labels`]: `label_replace` and `label_join` on strings.
//! - [`start`]: what start timestamps say about counter resets.
//! - [`extended`]: ranges with `anchored` or `smoothed`.
//! - [`native`]: native histograms, alone and mixed with floats.

pub mod window;

pub mod rate;

pub mod extended;

pub mod range;

pub mod over_time;

pub mod parameter;

pub mod regression;

pub mod sum;

pub mod quantile;

pub mod aggregate;

pub mod histogram;

pub mod classic;

pub mod native;

pub mod instant;

pub mod math;

pub mod date;

pub mod labels;

pub mod start;
