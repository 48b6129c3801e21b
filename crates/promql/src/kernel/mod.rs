//! The numeric kernels of PromQL: floats in, floats out.
//!
//! Nothing in here knows labels of whole series, plans or storage: an operator brings slices of timestamps and values
//! and gets numbers back. Semantics are those of Prometheus 3.14, bit for bit where the order of operations decides.
//! All functions are pure; those that need room for intermediate values take it from the caller or allocate per call,
//! as their docs say.
//!
//! Limits: float samples only. Native histograms will get kernels of their own beside these; a window that mixes both
//! is the operator's business, because the answer is an annotation and not a number.
//!
//! - [`window`]: which rows of a stream each step sees.
//! - [`rate`]: rate, increase, delta, irate, idelta, with the work shared by the lanes of a stream done once.
//! - [`range`]: every function of a window behind one entry, [`range::RangeFunction`].
//! - [`over_time`], [`regression`]: the functions of a window one by one.
//! - [`sum`], [`quantile`], [`aggregate`]: building blocks of aggregations, also used by the above.
//! - [`histogram`]: classic histograms.
//! - [`instant`], [`math`], [`date`]: functions and operators on single values.
//! - [`labels`]: `label_replace` and `label_join` on strings.

pub mod window;

pub mod rate;

pub mod range;

pub mod over_time;

pub mod regression;

pub mod sum;

pub mod quantile;

pub mod aggregate;

pub mod histogram;

pub mod instant;

pub mod math;

pub mod date;

pub mod labels;
