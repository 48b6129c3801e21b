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
//! Unknown fields are skipped. Exemplars and native histograms are checked for their structure and counted.

use model::{MetricMetadata, MetricType, Sample};

use super::labels::{SeriesLabels, refuse, series_text, text};
use super::schemas::{EXEMPLAR_V1, HISTOGRAM};
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

/// The entries of one request, in the order of the body. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    reader: Reader<'a>,
    n_series_left: usize,
    failed: bool,
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
    labels: Region,
    samples: Region,
    /// Samples that [`Self::samples`] will yield.
    pub n_samples: usize,
    /// Exemplars; not decoded, their structure is sound.
    pub n_exemplars: usize,
    /// Native histograms; not decoded, their structure is sound.
    pub n_histograms: usize,
}

/// Where all occurrences of one field lie in their message.
#[derive(Debug, Clone, Copy, Default)]
struct Region {
    start: usize,
    end: usize,
    /// Something else lies between them.
    scattered: bool,
}

impl Region {
    #[inline]
    fn add(&mut self, start: usize, end: usize) {
        if self.end == 0 {
            self.start = start;
        } else if self.end != start {
            self.scattered = true;
        }
        self.end = end;
    }
}

impl<'a> Request<'a> {
    /// Walks the decompressed `body`.
    #[must_use]
    pub fn new(body: &'a [u8], limits: &Limits) -> Self {
        Self {
            reader: Reader::new(body, 0),
            n_series_left: limits.series_per_request,
            failed: false,
        }
    }

    fn read_entry(&mut self) -> Result<Option<Entry<'a>>, DecodeError> {
        while let Some((number, wire_type)) = self.reader.field()? {
            match number {
                1 => {
                    self.reader.expect(
                        wire_type,
                        WireType::Bytes,
                        "WriteRequest.timeseries with the wrong wire type",
                    )?;
                    self.n_series_left = self
                        .n_series_left
                        .checked_sub(1)
                        .ok_or_else(|| self.reader.error("more series than one request may have"))?;
                    return TimeSeries::read(self.reader.message()?)
                        .map(Entry::Series)
                        .map(Some);
                }
                3 => {
                    self.reader.expect(
                        wire_type,
                        WireType::Bytes,
                        "WriteRequest.metadata with the wrong wire type",
                    )?;
                    return read_metadata(self.reader.message()?)
                        .map(Entry::Metadata)
                        .map(Some);
                }
                _ => self.reader.skip(wire_type)?,
            }
        }
        Ok(None)
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
    #[inline]
    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        let mut series = Self {
            message,
            labels: Region::default(),
            samples: Region::default(),
            n_samples: 0,
            n_exemplars: 0,
            n_histograms: 0,
        };
        let mut reader = message;
        loop {
            let start = reader.position();
            if reader.skip_short(LABEL_TAG) > 0 {
                series.labels.add(start, reader.position());
            }
            let start = reader.position();
            let Some((number, wire_type)) = reader.field()? else {
                return Ok(series);
            };
            match number {
                1 => {
                    reader.expect(
                        wire_type,
                        WireType::Bytes,
                        "TimeSeries.labels with the wrong wire type",
                    )?;
                    reader.bytes()?;
                    series.labels.add(start, reader.position());
                }
                2 => {
                    reader.expect(
                        wire_type,
                        WireType::Bytes,
                        "TimeSeries.samples with the wrong wire type",
                    )?;
                    reader.bytes()?;
                    series.samples.add(start, reader.position());
                    series.n_samples += 1;
                }
                3 => {
                    reader.expect(
                        wire_type,
                        WireType::Bytes,
                        "TimeSeries.exemplars with the wrong wire type",
                    )?;
                    validate(reader.message()?, &EXEMPLAR_V1)?;
                    series.n_exemplars += 1;
                }
                4 => {
                    reader.expect(
                        wire_type,
                        WireType::Bytes,
                        "TimeSeries.histograms with the wrong wire type",
                    )?;
                    validate(reader.message()?, &HISTOGRAM)?;
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
            return scratch;
        }
        let region = self.labels.start..self.labels.end;
        self.message.whole().get(region).unwrap_or_default()
    }

    #[cold]
    fn gather_labels(&self, scratch: &mut Vec<u8>) {
        scratch.clear();
        let whole = self.message.whole();
        let mut reader = self.message;
        loop {
            let start = reader.position();
            // The message was walked when this series was made, so it reads without error.
            let Ok(Some((number, wire_type))) = reader.field() else {
                return;
            };
            if reader.skip(wire_type).is_err() {
                return;
            }
            if number == 1 {
                scratch.extend_from_slice(whole.get(start..reader.position()).unwrap_or_default());
            }
        }
    }

    /// The samples, in the order of the body.
    #[must_use]
    #[inline]
    pub fn samples(&self) -> Samples<'a> {
        let region = self.samples.start..self.samples.end;
        let base = self.message.offset() + self.samples.start;
        Samples {
            reader: Reader::new(self.message.whole().get(region).unwrap_or_default(), base),
        }
    }
}

/// Samples of one series. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Samples<'a> {
    reader: Reader<'a>,
}

impl Samples<'_> {
    #[inline]
    fn read_sample(&mut self) -> Result<Option<Sample>, DecodeError> {
        while let Some((number, wire_type)) = self.reader.field()? {
            if number == 2 {
                return read_sample(self.reader.message()?).map(Some);
            }
            self.reader.skip(wire_type)?;
        }
        Ok(None)
    }
}

impl Iterator for Samples<'_> {
    type Item = Result<Sample, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let sample = self.read_sample().transpose();
        if matches!(sample, Some(Err(_))) {
            self.reader = Reader::new(&[], 0);
        }
        sample
    }
}

#[inline]
fn read_sample(mut message: Reader<'_>) -> Result<Sample, DecodeError> {
    let mut sample = Sample {
        timestamp_ms: 0,
        value: 0.0,
    };
    while let Some((number, wire_type)) = message.field()? {
        match number {
            1 => {
                message.expect(
                    wire_type,
                    WireType::Fixed64,
                    "Sample.value with the wrong wire type",
                )?;
                sample.value = f64::from_bits(message.fixed64()?);
            }
            2 => {
                message.expect(
                    wire_type,
                    WireType::Varint,
                    "Sample.timestamp with the wrong wire type",
                )?;
                sample.timestamp_ms = message.varint()?.cast_signed();
            }
            _ => message.skip(wire_type)?,
        }
    }
    Ok(sample)
}

fn read_metadata(mut message: Reader<'_>) -> Result<MetricMetadata, DecodeError> {
    let mut metadata = MetricMetadata::default();
    while let Some((number, wire_type)) = message.field()? {
        match number {
            1 => {
                message.expect(
                    wire_type,
                    WireType::Varint,
                    "MetricMetadata.type with the wrong wire type",
                )?;
                metadata.metric_type = metric_type(message.varint()?);
            }
            2 => metadata.metric_name = read_text(&mut message, wire_type)?,
            4 => metadata.help = read_text(&mut message, wire_type)?,
            5 => metadata.unit = read_text(&mut message, wire_type)?,
            _ => message.skip(wire_type)?,
        }
    }
    Ok(metadata)
}

fn read_text(message: &mut Reader<'_>, wire_type: WireType) -> Result<String, DecodeError> {
    message.expect(
        wire_type,
        WireType::Bytes,
        "text of a MetricMetadata with the wrong wire type",
    )?;
    let start = *message;
    let bytes = message.bytes()?;
    String::from_utf8(bytes.to_vec()).map_err(|_| start.error("text of a MetricMetadata that is not UTF-8"))
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
    std::iter::from_fn(move || read_label(&mut reader).ok().flatten())
}

/// A name and a value.
type Pair<'a> = (&'a [u8], &'a [u8]);

#[inline]
fn read_label<'a>(labels: &mut Reader<'a>) -> Result<Option<Pair<'a>>, DecodeError> {
    let Some((_, wire_type)) = labels.field()? else {
        return Ok(None);
    };
    labels.expect(
        wire_type,
        WireType::Bytes,
        "TimeSeries.labels with the wrong wire type",
    )?;
    let mut label = labels.message()?;
    let (mut name, mut value): Pair<'a> = (&[], &[]);
    while let Some((number, wire_type)) = label.field()? {
        match number {
            1 | 2 => {
                label.expect(
                    wire_type,
                    WireType::Bytes,
                    "field of a Label with the wrong wire type",
                )?;
                let content = label.bytes()?;
                *(if number == 1 { &mut name } else { &mut value }) = content;
            }
            _ => label.skip(wire_type)?,
        }
    }
    Ok(Some((name, value)))
}
