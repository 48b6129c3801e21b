//! Writes `prometheus.WriteRequest`.

use model::{MetricMetadata, MetricType, Sample, TimestampMs};

use crate::protobuf::writer::{push_bytes, push_integer, push_varint, varint_len};
use crate::remote_write::Histogram;
use crate::remote_write::sample_slot::SampleSlot;

/// A request under construction: `prometheus.WriteRequest`, not compressed yet.
///
/// Labels are handed in encoded (see [`push_label`]), so that whoever sends a series often encodes them once.
#[derive(Debug, Clone, Default)]
pub struct Encoder {
    body: Vec<u8>,
    slots: Vec<SampleSlot>,
    n_series: usize,
    n_histograms: usize,
}

/// Appends one label to the encoded labels of a series.
pub fn push_label(label_bytes: &mut Vec<u8>, name: &str, value: &str) {
    let length =
        2 + varint_len(name.len() as u64) + name.len() + varint_len(value.len() as u64) + value.len();
    label_bytes.push(0x0a);
    push_varint(label_bytes, length as u64);
    push_bytes(label_bytes, 0x0a, name.as_bytes());
    push_bytes(label_bytes, 0x12, value.as_bytes());
}

impl Encoder {
    /// Appends a series. `label_bytes` is what [`push_label`] made. The samples get the next sample numbers.
    pub fn push_series(&mut self, label_bytes: &[u8], samples: &[Sample]) {
        let sample_lens = samples
            .iter()
            .map(|sample| SampleSlot::encoded_len(sample.timestamp_ms));
        // A sample's own length is below 128 always: one byte of tag, one of length.
        let length = label_bytes.len() + sample_lens.map(|bytes| 2 + bytes).sum::<usize>();
        self.body.push(0x0a);
        push_varint(&mut self.body, length as u64);
        self.body.extend_from_slice(label_bytes);
        for sample in samples {
            self.body.push(0x12);
            push_varint(
                &mut self.body,
                SampleSlot::encoded_len(sample.timestamp_ms) as u64,
            );
            let slot = SampleSlot::push(&mut self.body, sample.timestamp_ms, sample.value);
            self.slots.push(slot);
        }
        self.n_series += 1;
    }

    /// Appends a series of one native histogram. `label_bytes` is what [`push_label`] made.
    pub fn push_histogram(&mut self, label_bytes: &[u8], histogram: &Histogram) {
        let (mut series, mut message) = (label_bytes.to_vec(), Vec::new());
        histogram.push_to(&mut message);
        push_bytes(&mut series, 0x22, &message);
        push_bytes(&mut self.body, 0x0a, &series);
        self.n_series += 1;
        self.n_histograms += 1;
    }

    /// Appends what a metric says about itself.
    pub fn push_metadata(&mut self, metadata: &MetricMetadata) {
        let mut message = Vec::new();
        push_integer(&mut message, 0x08, type_number(metadata.metric_type));
        push_bytes(&mut message, 0x12, metadata.metric_name.as_bytes());
        push_bytes(&mut message, 0x22, metadata.help.as_bytes());
        push_bytes(&mut message, 0x2a, metadata.unit.as_bytes());
        push_bytes(&mut self.body, 0x1a, &message);
    }

    /// Changes the `sample_idx`-th sample pushed. False, and nothing done, when there is no such sample or its
    /// timestamp needs another number of bytes than before; between 1971 and 2109 they all need the same.
    #[must_use]
    pub fn rewrite_sample(&mut self, sample_idx: usize, timestamp_ms: TimestampMs, value: f64) -> bool {
        let slot = self.slots.get(sample_idx);
        slot.is_some_and(|slot| slot.rewrite(&mut self.body, timestamp_ms, value))
    }

    /// The request, to be compressed by [`Compressor`](crate::snappy::Compressor).
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Number of series pushed.
    #[must_use]
    pub fn n_series(&self) -> usize {
        self.n_series
    }

    /// Number of samples pushed, native histograms among them.
    #[must_use]
    pub fn n_samples(&self) -> usize {
        self.slots.len() + self.n_histograms
    }

    /// Empties the request, keeping its memory.
    pub fn clear(&mut self) {
        self.body.clear();
        self.slots.clear();
        (self.n_series, self.n_histograms) = (0, 0);
    }
}

/// Both protocols number the types alike.
pub(in crate::remote_write) fn type_number(metric_type: MetricType) -> u64 {
    match metric_type {
        MetricType::Unknown => 0,
        MetricType::Counter => 1,
        MetricType::Gauge => 2,
        MetricType::Histogram => 3,
        MetricType::GaugeHistogram => 4,
        MetricType::Summary => 5,
        MetricType::Info => 6,
        MetricType::StateSet => 7,
    }
}
