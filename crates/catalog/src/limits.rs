//! How much the catalog takes in.

use model::Labels;

use crate::CatalogError;

/// Limits on what is registered. Stored definitions are applied whatever the limits say, so that data written
/// under higher ones stays readable.
#[derive(Debug, Clone)]
pub struct CatalogLimits {
    /// Label sets without `__name__` (and `le` of buckets). About 67 series share one in a mesh.
    pub entities_max: u32,
    /// Label sets times base metric names.
    pub streams_max: u32,
    /// Series of one histogram of one label set: its buckets, sum and count.
    pub lanes_per_stream_max: u16,
    /// Labels of a series, `__name__` included.
    pub labels_per_series_max: usize,
    /// Bytes of a label name.
    pub label_name_bytes_max: usize,
    /// Bytes of a label value; of the metric name too.
    pub label_value_bytes_max: usize,
}

/// Room for the largest meshes with an order of magnitude to spare; 128 labels are twice what an Istio series with
/// many pod labels has.
impl Default for CatalogLimits {
    fn default() -> Self {
        Self {
            entities_max: 10_000_000,
            streams_max: 50_000_000,
            lanes_per_stream_max: 4_096,
            labels_per_series_max: 128,
            label_name_bytes_max: 1_024,
            label_value_bytes_max: 8_192,
        }
    }
}

/// How much of a name that is too long is told.
const NAME_START_CHARS: usize = 32;

impl CatalogLimits {
    /// Checks what one series brings along.
    pub(crate) fn check_labels(&self, labels: &Labels) -> Result<(), CatalogError> {
        if labels.len() > self.labels_per_series_max {
            return Err(CatalogError::TooManyLabels {
                actual: labels.len(),
                limit: self.labels_per_series_max,
            });
        }
        for (name, value) in labels.iter() {
            if name.len() > self.label_name_bytes_max {
                return Err(CatalogError::LabelNameTooLong {
                    start: name.chars().take(NAME_START_CHARS).collect(),
                    actual: name.len(),
                    limit: self.label_name_bytes_max,
                });
            }
            if value.len() > self.label_value_bytes_max {
                return Err(CatalogError::LabelValueTooLong {
                    name: name.to_owned(),
                    actual: value.len(),
                    limit: self.label_value_bytes_max,
                });
            }
        }
        Ok(())
    }
}
