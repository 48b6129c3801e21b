//! Writes `io.prometheus.write.v2.Request`.

use hashbrown::HashMap;
use model::{MetricType, TimestampMs};

use super::Sample;
use crate::protobuf::writer::{push_bytes, push_integer, push_varint, varint_len};
use crate::remote_write::Histogram;
use crate::remote_write::sample_slot::SampleSlot;
use crate::remote_write::v1::type_number;

/// A request under construction: `io.prometheus.write.v2.Request`, not compressed yet.
///
/// Strings are handed in once, by [`Self::symbol`], and referred to by the number it gives.
#[derive(Debug, Clone)]
pub struct Encoder {
    symbols: HashMap<String, u32>,
    /// The symbols as they stand at the front of the request.
    symbol_bytes: Vec<u8>,
    series_bytes: Vec<u8>,
    slots: Vec<SampleSlot>,
    n_series: usize,
    n_histograms: usize,
}

/// Type and texts of a series' metric, the texts as symbols.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MetadataRefs {
    /// Its type.
    pub metric_type: MetricType,
    /// Its help text; symbol 0 is empty.
    pub help_ref: u32,
    /// Its unit; symbol 0 is empty.
    pub unit_ref: u32,
}

impl Default for Encoder {
    fn default() -> Self {
        let mut encoder = Self {
            symbols: HashMap::new(),
            symbol_bytes: Vec::new(),
            series_bytes: Vec::new(),
            slots: Vec::new(),
            n_series: 0,
            n_histograms: 0,
        };
        encoder.symbol("");
        encoder
    }
}

impl Encoder {
    /// The number of a string in this request's symbol table. Number 0 is the empty string, as the protocol wants.
    ///
    /// # Panics
    /// When there are 2³² symbols already.
    pub fn symbol(&mut self, text: &str) -> u32 {
        if let Some(&reference) = self.symbols.get(text) {
            return reference;
        }
        let reference = u32::try_from(self.symbols.len());
        #[expect(
            clippy::expect_used,
            reason = "would need more memory than the request may have"
        )]
        let reference = reference.expect("fewer than 2^32 symbols");
        self.symbols.insert(text.to_owned(), reference);
        push_bytes(&mut self.symbol_bytes, 0x22, text.as_bytes());
        reference
    }

    /// Appends a series. `label_refs` are symbols: name, value, name, value. The samples get the next sample
    /// numbers.
    pub fn push_series(&mut self, label_refs: &[u32], samples: &[Sample], metadata: Option<MetadataRefs>) {
        let refs_len = label_refs
            .iter()
            .map(|&reference| varint_len(u64::from(reference)))
            .sum::<usize>();
        let samples_len = samples.iter().map(|sample| 2 + sample_len(sample)).sum::<usize>();
        let metadata = metadata.map(encode_metadata);
        let metadata_len = metadata.as_ref().map_or(0, |message| 2 + message.len());
        let length = 1 + varint_len(refs_len as u64) + refs_len + samples_len + metadata_len;

        let out = &mut self.series_bytes;
        out.push(0x2a);
        push_varint(out, length as u64);
        out.push(0x0a);
        push_varint(out, refs_len as u64);
        for &reference in label_refs {
            push_varint(out, u64::from(reference));
        }
        for sample in samples {
            out.push(0x12);
            push_varint(out, sample_len(sample) as u64);
            self.slots
                .push(SampleSlot::push(out, sample.timestamp_ms, sample.value));
            push_integer(out, 0x18, sample.start_timestamp_ms.cast_unsigned());
        }
        if let Some(message) = metadata {
            push_bytes(out, 0x2a, &message);
        }
        self.n_series += 1;
    }

    /// Appends a series of one native histogram. `label_refs` are as in [`Self::push_series`].
    pub fn push_histogram(&mut self, label_refs: &[u32], histogram: &Histogram) {
        let (mut refs, mut series, mut message) = (Vec::new(), Vec::new(), Vec::new());
        for &reference in label_refs {
            push_varint(&mut refs, u64::from(reference));
        }
        push_bytes(&mut series, 0x0a, &refs);
        histogram.push_to(&mut message);
        push_bytes(&mut series, 0x1a, &message);
        push_bytes(&mut self.series_bytes, 0x2a, &series);
        self.n_series += 1;
        self.n_histograms += 1;
    }

    /// Changes the `sample_idx`-th sample pushed. False, and nothing done, when there is no such sample or its
    /// timestamp needs another number of bytes than before; between 1971 and 2109 they all need the same.
    #[must_use]
    pub fn rewrite_sample(&mut self, sample_idx: usize, timestamp_ms: TimestampMs, value: f64) -> bool {
        let slot = self.slots.get(sample_idx);
        slot.is_some_and(|slot| slot.rewrite(&mut self.series_bytes, timestamp_ms, value))
    }

    /// Writes the request into `body`, whatever that held before; to be compressed by
    /// [`Compressor`](crate::snappy::Compressor).
    pub fn write_body(&self, body: &mut Vec<u8>) {
        body.clear();
        body.extend_from_slice(&self.symbol_bytes);
        body.extend_from_slice(&self.series_bytes);
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

    /// Empties the request, its symbols too, keeping some of its memory.
    pub fn clear(&mut self) {
        self.symbols.clear();
        self.symbol_bytes.clear();
        self.series_bytes.clear();
        self.slots.clear();
        (self.n_series, self.n_histograms) = (0, 0);
        self.symbol("");
    }
}

/// The bytes of a sample's message; below 128 always.
fn sample_len(sample: &Sample) -> usize {
    SampleSlot::encoded_len(sample.timestamp_ms) + start_timestamp_len(sample.start_timestamp_ms)
}

fn start_timestamp_len(start_timestamp_ms: TimestampMs) -> usize {
    match start_timestamp_ms {
        0 => 0,
        set => 1 + varint_len(set.cast_unsigned()),
    }
}

/// The message; below 128 bytes always.
fn encode_metadata(metadata: MetadataRefs) -> Vec<u8> {
    let mut message = Vec::new();
    push_integer(&mut message, 0x08, type_number(metadata.metric_type));
    push_integer(&mut message, 0x18, u64::from(metadata.help_ref));
    push_integer(&mut message, 0x20, u64::from(metadata.unit_ref));
    message
}
