//! Remote write 1.0: a walker over `prometheus.WriteRequest` that copies nothing.
//!
//! A series is handed out as slices of the body: the bytes of its labels, untouched, to be used as a key, and
//! its samples, decoded one by one. Labels are parsed by [`parse_labels`], which the caller needs only for
//! series it has not seen before. In a mesh 98 % of the bytes are labels, so a known series costs one jump per
//! label and no look at its text.
//!
//! A request can turn out to be broken after some of its entries were handed out. A caller who must not act on a
//! part of it gathers first and acts when the iterator has ended without an error.
//!
//! Unknown fields are skipped.

use model::{MetricMetadata, MetricType, Sample};

use super::exemplar::{Exemplars, LabelSource};
use super::histogram::Histograms;
use super::labels::{SeriesLabels, refuse, series_text, text};
use super::sample_slot::{TIMESTAMP_TAG, VALUE_TAG};
use super::schemas::EXEMPLAR_V1;
use crate::error::{DecodeError, LabelsError, RefusedSeries};
use crate::limits::Limits;
use crate::protobuf::{Reader, WireType, validate};

mod encoder;
#[cfg(test)]
mod tests;

pub(super) use encoder::type_number;
pub use encoder::{Encoder, push_label};

/// First byte of a field 1 that holds a length and bytes: labels in a series.
const LABEL_TAG: u8 = 0x0a;

/// The same of a field 2: samples.
const SAMPLE_TAG: u8 = 0x12;

/// The entries of one request, in the order of the body. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    reader: Reader<'a>,
    n_entries_left: usize,
    n_samples_left: usize,
    failed: bool,
    /// Neither series nor metadata have been read yet.
    is_untouched: bool,
}

/// One entry of a request.
#[derive(Debug, Clone)]
pub enum Entry<'a> {
    /// A series with its samples.
    Series(TimeSeries<'a>),
    /// What a metric says about itself. Prometheus sends these in requests of their own.
    Metadata(MetricMetadata),
}

/// One series: slices of the body, not parsed yet.
#[derive(Debug, Clone, Copy)]
pub struct TimeSeries<'a> {
    message: Reader<'a>,
    labels: Region<'a>,
    /// Stands before the first sample, if there is one.
    samples: Reader<'a>,
    /// Samples that [`Self::samples`] will yield.
    pub n_samples: usize,
    /// Exemplars that [`Self::exemplars`] has; their structure is sound.
    pub n_exemplars: usize,
    /// Stands before the first native histogram, if there is one.
    histograms: Reader<'a>,
    /// Native histograms that [`Self::histograms`] has.
    pub n_histograms: usize,
}

/// Where all occurrences of one field lie in their message.
#[derive(Debug, Clone, Copy)]
struct Region<'a> {
    /// From the first byte of the first one to the end of the message; empty when there is none.
    start: &'a [u8],
    /// How many bytes of the message follow the last one.
    n_bytes_after: usize,
    /// Something else lies between them.
    scattered: bool,
}

impl<'a> Region<'a> {
    /// Adds what lies between two cursors over the message.
    #[inline(always)]
    fn add(&mut self, before: &Reader<'a>, after: &Reader<'a>) {
        if self.start.is_empty() {
            self.start = before.rest();
        } else if self.n_bytes_after != before.rest().len() {
            self.scattered = true;
        }
        self.n_bytes_after = after.rest().len();
    }

    #[inline(always)]
    fn bytes(&self) -> &'a [u8] {
        let n_bytes = self.start.len().saturating_sub(self.n_bytes_after);
        self.start.get(..n_bytes).unwrap_or_default()
    }
}

impl<'a> Request<'a> {
    /// Walks the decompressed `body`.
    #[must_use]
    pub fn new(body: &'a [u8], limits: &Limits) -> Self {
        Self {
            reader: Reader::new(body, 0),
            n_entries_left: limits.series_per_request,
            n_samples_left: limits.samples_per_request,
            is_untouched: true,
            failed: false,
        }
    }

    #[inline(always)]
    fn read_entry(&mut self) -> Result<Option<Entry<'a>>, DecodeError> {
        loop {
            let before = self.reader;
            let Some((number, wire_type)) = self.reader.field()? else {
                return Ok(None);
            };
            match number {
                // 1.0 has no such fields. Where nothing was read before them, all of the body would be skipped.
                4 | 5 if wire_type == WireType::Bytes && self.is_untouched => {
                    return Err(before.error(
                        "this is a remote write 2.0 message; Content-Type has to say proto=io.prometheus.write.v2.Request",
                    ));
                }
                1 | 3 if wire_type != WireType::Bytes => {
                    return Err(before.error("field of a WriteRequest with the wrong wire type"));
                }
                1 | 3 => {
                    self.is_untouched = false;
                    let message = self.reader.message()?;
                    self.n_entries_left = self.n_entries_left.checked_sub(1).ok_or(DecodeError {
                        offset: before.offset(),
                        what: "more series or metadata than one request may have",
                    })?;
                    if number == 3 {
                        return read_metadata(message).map(Entry::Metadata).map(Some);
                    }
                    let series = TimeSeries::read(message)?;
                    self.n_samples_left = self
                        .n_samples_left
                        .checked_sub(series.n_samples + series.n_histograms)
                        .ok_or(DecodeError {
                            offset: before.offset(),
                            what: "more samples than one request may have",
                        })?;
                    return Ok(Some(Entry::Series(series)));
                }
                _ => self.reader.skip(wire_type)?,
            }
        }
    }
}

impl<'a> Iterator for Request<'a> {
    type Item = Result<Entry<'a>, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let entry = self.read_entry().transpose();
        self.failed = matches!(entry, Some(Err(_)));
        entry
    }
}

impl<'a> TimeSeries<'a> {
    #[inline(always)]
    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        let mut series = Self {
            message,
            labels: Region {
                start: &[],
                n_bytes_after: 0,
                scattered: false,
            },
            samples: message,
            histograms: message,
            n_samples: 0,
            n_exemplars: 0,
            n_histograms: 0,
        };
        let mut reader = message;
        reader.skip_short(LABEL_TAG);
        if reader.rest().len() < message.rest().len() {
            series.labels.add(&message, &reader);
        }
        loop {
            let before = reader;
            let Some((number, wire_type)) = reader.field()? else {
                return Ok(series);
            };
            match number {
                1..=4 if wire_type != WireType::Bytes => {
                    return Err(before.error("field of a TimeSeries with the wrong wire type"));
                }
                1 => {
                    reader.bytes()?;
                    reader.skip_short(LABEL_TAG);
                    series.labels.add(&before, &reader);
                }
                2 => {
                    reader.bytes()?;
                    if series.n_samples == 0 {
                        series.samples = before;
                    }
                    series.n_samples += 1;
                }
                3 => {
                    validate(reader.message()?, &EXEMPLAR_V1)?;
                    series.n_exemplars += 1;
                }
                4 => {
                    reader.bytes()?;
                    if series.n_histograms == 0 {
                        series.histograms = before;
                    }
                    series.n_histograms += 1;
                }
                _ => reader.skip(wire_type)?,
            }
        }
    }

    /// The bytes of all label fields, tags and lengths included, one after the other as they came: what
    /// [`parse_labels`] takes. Equal bytes are equal labels; equal labels in another order are other bytes.
    ///
    /// A slice of the body when nothing lies between the labels, as every known sender writes it; else they are
    /// gathered in `scratch`.
    #[must_use]
    #[inline]
    pub fn label_bytes<'s>(&self, scratch: &'s mut Vec<u8>) -> &'s [u8]
    where
        'a: 's,
    {
        if self.labels.scattered {
            self.gather_labels(scratch);
            scratch
        } else {
            self.labels.bytes()
        }
    }

    #[cold]
    fn gather_labels(&self, scratch: &mut Vec<u8>) {
        scratch.clear();
        let mut reader = self.message;
        loop {
            let before = reader.rest();
            // The message was walked when this series was made, so it reads without error.
            let Ok(Some((number, wire_type))) = reader.field() else {
                return;
            };
            if reader.skip(wire_type).is_err() {
                return;
            }
            if number == 1 {
                let n_bytes = before.len() - reader.rest().len();
                scratch.extend_from_slice(before.get(..n_bytes).unwrap_or_default());
            }
        }
    }

    /// The samples, in the order of the body.
    #[must_use]
    #[inline]
    pub fn samples(&self) -> Samples<'a> {
        Samples {
            reader: self.samples,
            n_samples_left: self.n_samples,
        }
    }

    /// The native histograms, in the order of the body.
    #[must_use]
    #[inline]
    pub fn histograms(&self) -> Histograms<'a> {
        Histograms::new(self.histograms, 4, self.n_histograms)
    }

    /// The exemplars, in the order of the body.
    #[must_use]
    pub fn exemplars(&self) -> Exemplars<'a, 'a> {
        Exemplars::new(self.message, 3, LabelSource::Messages)
    }
}

/// Samples of one series. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Samples<'a> {
    reader: Reader<'a>,
    n_samples_left: usize,
}

impl Iterator for Samples<'_> {
    type Item = Result<Sample, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.n_samples_left = self.n_samples_left.checked_sub(1)?;
        let sample = next_sample(&mut self.reader);
        if sample.is_err() {
            self.n_samples_left = 0;
        }
        Some(sample)
    }
}

/// The next field 2 of a series' message, which must have one.
#[inline(always)]
fn next_sample(reader: &mut Reader<'_>) -> Result<Sample, DecodeError> {
    if reader.takes(SAMPLE_TAG) {
        return read_sample(reader.message()?);
    }
    while let Some((number, wire_type)) = reader.field()? {
        if number == 2 {
            return read_sample(reader.message()?);
        }
        reader.skip(wire_type)?;
    }
    Err(reader.error("TimeSeries with fewer samples than counted"))
}

#[inline(always)]
fn read_sample(mut message: Reader<'_>) -> Result<Sample, DecodeError> {
    let mut sample = Sample {
        timestamp_ms: 0,
        value: 0.0,
    };
    if message.takes(VALUE_TAG) {
        sample.value = f64::from_bits(message.fixed64()?);
    }
    if message.takes(TIMESTAMP_TAG) {
        sample.timestamp_ms = message.varint()?.cast_signed();
    }
    loop {
        let before = message;
        let Some((number, wire_type)) = message.field()? else {
            return Ok(sample);
        };
        match (number, wire_type) {
            (1, WireType::Fixed64) => sample.value = f64::from_bits(message.fixed64()?),
            (2, WireType::Varint) => sample.timestamp_ms = message.varint()?.cast_signed(),
            (1..=2, _) => return Err(before.error("field of a Sample with the wrong wire type")),
            _ => message.skip(wire_type)?,
        }
    }
}

fn read_metadata(mut message: Reader<'_>) -> Result<MetricMetadata, DecodeError> {
    let mut metadata = MetricMetadata::default();
    loop {
        let before = message;
        let Some((number, wire_type)) = message.field()? else {
            return Ok(metadata);
        };
        match (number, wire_type) {
            (1, WireType::Varint) => metadata.metric_type = metric_type(message.varint()?),
            (2, WireType::Bytes) => metadata.metric_name = read_text(&mut message)?,
            (4, WireType::Bytes) => metadata.help = read_text(&mut message)?,
            (5, WireType::Bytes) => metadata.unit = read_text(&mut message)?,
            (1 | 2 | 4 | 5, _) => {
                return Err(before.error("field of a MetricMetadata with the wrong wire type"));
            }
            _ => message.skip(wire_type)?,
        }
    }
}

fn read_text(message: &mut Reader<'_>) -> Result<String, DecodeError> {
    let text = message.message()?;
    let content = std::str::from_utf8(text.rest());
    content
        .map(str::to_owned)
        .map_err(|_| text.error("text of a MetricMetadata that is not UTF-8"))
}

/// Both protocols number the types alike. A number from the future is [`MetricType::Unknown`].
pub(super) fn metric_type(number: u64) -> MetricType {
    match number {
        1 => MetricType::Counter,
        2 => MetricType::Gauge,
        3 => MetricType::Histogram,
        4 => MetricType::GaugeHistogram,
        5 => MetricType::Summary,
        6 => MetricType::Info,
        7 => MetricType::StateSet,
        _ => MetricType::Unknown,
    }
}

/// The labels in `label_bytes`, which are what [`TimeSeries::label_bytes`] returned.
///
/// # Errors
/// [`RefusedSeries`] with the series as far as it can be read. Offsets in [`LabelsError::Malformed`] count from
/// the start of `label_bytes`.
pub fn parse_labels<'a>(label_bytes: &'a [u8], limits: &Limits) -> Result<SeriesLabels<'a>, RefusedSeries> {
    read_pairs(label_bytes, limits)
        .and_then(|pairs| SeriesLabels::from_pairs(pairs, limits))
        .map_err(|reason| refuse(reason, readable_pairs(label_bytes)))
}

/// The labels in `label_bytes` as text for a person: `name{label="value", …}`, cut after 512 bytes; whatever can
/// be read of them when they are broken.
#[must_use]
pub fn describe_labels(label_bytes: &[u8]) -> String {
    series_text(readable_pairs(label_bytes))
}

fn read_pairs<'a>(label_bytes: &'a [u8], limits: &Limits) -> Result<Vec<(&'a str, &'a str)>, LabelsError> {
    // One check for all when it passes, because what frames the texts is mostly ASCII too: a length above 127 is
    // not, and then each text is checked alone.
    let whole = std::str::from_utf8(label_bytes).ok();
    let text = |content: Reader<'a>| {
        let start = content.offset();
        let piece = whole.and_then(|whole| whole.get(start..start + content.rest().len()));
        piece.map_or_else(|| text(content.rest()), Ok)
    };
    let mut pairs = Vec::with_capacity(limits.labels_per_series.min(48));
    let mut reader = Reader::new(label_bytes, 0);
    while let Some(pair) = read_label(&mut reader)? {
        if pairs.len() == limits.labels_per_series {
            return Err(LabelsError::TooManyLabels {
                limit: limits.labels_per_series,
            });
        }
        pairs.push((text(pair.0)?, text(pair.1)?));
    }
    Ok(pairs)
}

/// The labels up to the first that is broken.
fn readable_pairs(label_bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut reader = Reader::new(label_bytes, 0);
    std::iter::from_fn(move || {
        let (name, value) = read_label(&mut reader).ok().flatten()?;
        Some((name.rest(), value.rest()))
    })
}

/// Cursors over the text of a name and of a value.
type Pair<'a> = (Reader<'a>, Reader<'a>);

#[inline(always)]
fn read_label<'a>(labels: &mut Reader<'a>) -> Result<Option<Pair<'a>>, DecodeError> {
    let before = *labels;
    let Some((_, wire_type)) = labels.field()? else {
        return Ok(None);
    };
    if wire_type != WireType::Bytes {
        return Err(before.error("field of a TimeSeries with the wrong wire type"));
    }
    let mut label = labels.message()?;
    let absent = Reader::new(&[], label.offset());
    let (mut name, mut value) = (absent, absent);
    loop {
        let before = label;
        let Some((number, wire_type)) = label.field()? else {
            return Ok(Some((name, value)));
        };
        match (number, wire_type) {
            (1, WireType::Bytes) => name = label.message()?,
            (2, WireType::Bytes) => value = label.message()?,
            (1 | 2, _) => return Err(before.error("field of a Label with the wrong wire type")),
            _ => label.skip(wire_type)?,
        }
    }
}
