//! How the rows of a block are sorted, and with them the series of a query over blocks.

use model::Labels;

/// What names a stream, whatever it is stored in: order is base metric name, then entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey<'a> {
    /// The base metric name.
    pub base: &'a str,
    /// All labels but `__name__`, and but the `le` of its buckets.
    pub entity: &'a Labels,
}
