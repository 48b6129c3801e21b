//! Remote write 2.0: `io.prometheus.write.v2.Request`, with its symbol table.
//!
//! Every string of a request stands once in its symbol table; series refer to it by number. [`Request::parse`]
//! walks the top level once, because the format does not promise that the symbols come first, and checks the
//! symbols' UTF-8; [`Request::series`] then hands out the series.
//!
//! Series of different requests refer to different tables, so the numbers are no key. [`SeriesKeys`] makes
//! one: it hashes each symbol once per request, and from these hashes it makes the key of a series by two
//! multiplications per label, without touching text.
//!
//! As in 1.0, a request can turn out to be broken half way, and unknown fields are skipped.

use model::TimestampMs;

use super::exemplar::{Exemplars, LabelSource};
use super::histogram::Histograms;
use super::labels::{SeriesLabels, refuse};
use super::schemas::EXEMPLAR_V2;
use crate::error::{DecodeError, LabelsError, RefusedSeries};
use crate::limits::Limits;
use crate::protobuf::{Reader, WireType, validate};

mod encoder;
mod keys;
mod metadata;
mod symbols;
#[cfg(test)]
mod tests;

pub use encoder::{Encoder, MetadataRefs};
pub use keys::{SeriesKeys, SymbolHashes};
pub use metadata::{Glances, Metadata, Said};
pub use symbols::Symbols;

/// A request whose top level and symbols have been read.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    body: Reader<'a>,
    symbols: Symbols<'a>,
    n_series: usize,
    samples_max: usize,
}

/// One series: slices of the body, not parsed yet.
#[derive(Debug, Clone, Copy)]
pub struct TimeSeries<'a> {
    message: Reader<'a>,
    label_refs: LabelRefs<'a>,
    metadata: Option<Reader<'a>>,
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

/// The label references of a series as they stand in the body.
#[derive(Debug, Clone, Copy)]
enum LabelRefs<'a> {
    /// In one packed field, or not at all: what every known sender writes.
    Packed(Reader<'a>),
    /// One by one, or in several packed fields.
    Scattered,
}

/// One sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Milliseconds since the epoch.
    pub timestamp_ms: TimestampMs,
    /// Any bits, NaN payloads included.
    pub value: f64,
    /// When the counter began, in milliseconds since the epoch; 0 when not said.
    pub start_timestamp_ms: TimestampMs,
}

impl<'a> Request<'a> {
    /// Reads the top level and the symbols of the decompressed `body`.
    ///
    /// # Errors
    /// When the top level is broken, or holds more series or symbols than `limits` allow. Too many samples end
    /// [`Self::series`].
    pub fn parse(body: &'a [u8], limits: &Limits) -> Result<Self, DecodeError> {
        let body = Reader::new(body, 0);
        let mut reader = body;
        let mut symbols = Symbols::default();
        let mut n_series = 0;
        loop {
            let before = reader;
            let Some((number, wire_type)) = reader.field()? else {
                break;
            };
            match (number, wire_type) {
                (4, WireType::Bytes) if symbols.len() == limits.symbols_per_request => {
                    return Err(before.error("more symbols than one request may have"));
                }
                (5, WireType::Bytes) if n_series == limits.series_per_request => {
                    return Err(before.error("more series than one request may have"));
                }
                (4, WireType::Bytes) => symbols.push(reader.bytes()?),
                (5, WireType::Bytes) => {
                    reader.bytes()?;
                    n_series += 1;
                }
                (4 | 5, _) => return Err(before.error("field of a Request with the wrong wire type")),
                // 2.0 keeps these numbers free so that a 1.0 message is not taken for an empty one.
                (1 | 3, WireType::Bytes) if n_series == 0 && symbols.is_empty() => {
                    return Err(before.error(
                        "this is a remote write 1.0 message; Content-Type has to be application/x-protobuf without \
                         proto=io.prometheus.write.v2.Request",
                    ));
                }
                _ => reader.skip(wire_type)?,
            }
        }
        Ok(Self {
            body,
            symbols,
            n_series,
            samples_max: limits.samples_per_request,
        })
    }

    /// The symbol table.
    #[must_use]
    pub fn symbols(&self) -> &Symbols<'a> {
        &self.symbols
    }

    /// How many series [`Self::series`] yields when none is broken.
    #[must_use]
    pub fn n_series(&self) -> usize {
        self.n_series
    }

    /// The series, in the order of the body.
    #[must_use]
    pub fn series(&self) -> Series<'a> {
        Series {
            reader: self.body,
            n_samples_left: self.samples_max,
        }
    }
}

/// The series of one request. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Series<'a> {
    reader: Reader<'a>,
    n_samples_left: usize,
}

impl<'a> Series<'a> {
    #[inline(always)]
    fn read_series(&mut self) -> Result<Option<TimeSeries<'a>>, DecodeError> {
        while let Some((number, wire_type)) = self.reader.field()? {
            if number == 5 {
                let message = self.reader.message()?;
                let series = TimeSeries::read(message)?;
                self.n_samples_left = self
                    .n_samples_left
                    .checked_sub(series.n_samples + series.n_histograms)
                    .ok_or(DecodeError {
                        offset: message.offset(),
                        what: "more samples than one request may have",
                    })?;
                return Ok(Some(series));
            }
            self.reader.skip(wire_type)?;
        }
        Ok(None)
    }
}

impl<'a> Iterator for Series<'a> {
    type Item = Result<TimeSeries<'a>, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let series = self.read_series().transpose();
        if matches!(series, Some(Err(_))) {
            self.reader = Reader::new(&[], 0);
        }
        series
    }
}

impl<'a> TimeSeries<'a> {
    #[inline(always)]
    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        let mut series = Self {
            message,
            label_refs: LabelRefs::Packed(Reader::new(&[], message.offset())),
            metadata: None,
            samples: message,
            histograms: message,
            n_samples: 0,
            n_exemplars: 0,
            n_histograms: 0,
        };
        let mut n_label_fields = 0;
        let mut reader = message;
        loop {
            let before = reader;
            let Some((number, wire_type)) = reader.field()? else {
                return Ok(series);
            };
            match (number, wire_type) {
                (1, WireType::Bytes) if n_label_fields == 0 => {
                    series.label_refs = LabelRefs::Packed(reader.message()?);
                    n_label_fields = 1;
                }
                (1, WireType::Bytes | WireType::Varint) => {
                    reader.skip(wire_type)?;
                    series.label_refs = LabelRefs::Scattered;
                    n_label_fields = 2;
                }
                (2, WireType::Bytes) => {
                    reader.bytes()?;
                    if series.n_samples == 0 {
                        series.samples = before;
                    }
                    series.n_samples += 1;
                }
                (3, WireType::Bytes) => {
                    reader.bytes()?;
                    if series.n_histograms == 0 {
                        series.histograms = before;
                    }
                    series.n_histograms += 1;
                }
                (4, WireType::Bytes) => {
                    validate(reader.message()?, &EXEMPLAR_V2)?;
                    series.n_exemplars += 1;
                }
                (5, WireType::Bytes) => series.metadata = Some(reader.message()?),
                (1..=5, _) => return Err(before.error("field of a TimeSeries with the wrong wire type")),
                _ => reader.skip(wire_type)?,
            }
        }
    }

    /// The references when they lie in one packed field.
    #[inline]
    fn packed_refs(&self) -> Option<&'a [u8]> {
        match self.label_refs {
            LabelRefs::Packed(packed) => Some(packed.rest()),
            LabelRefs::Scattered => None,
        }
    }

    /// Calls `visit` with each label reference, in the order of the body: name, value, name, value.
    #[inline]
    fn for_each_ref(&self, mut visit: impl FnMut(u32) -> Result<(), LabelsError>) -> Result<(), LabelsError> {
        match self.label_refs {
            LabelRefs::Packed(mut packed) => {
                while !packed.is_at_end() {
                    visit(read_ref(&mut packed)?)?;
                }
                Ok(())
            }
            LabelRefs::Scattered => self.for_each_scattered_ref(&mut visit),
        }
    }

    #[cold]
    fn for_each_scattered_ref(
        &self,
        visit: &mut dyn FnMut(u32) -> Result<(), LabelsError>,
    ) -> Result<(), LabelsError> {
        let mut reader = self.message;
        while let Some((number, wire_type)) = reader.field()? {
            match (number, wire_type) {
                (1, WireType::Varint) => visit(read_ref(&mut reader)?)?,
                (1, WireType::Bytes) => {
                    let mut packed = reader.message()?;
                    while !packed.is_at_end() {
                        visit(read_ref(&mut packed)?)?;
                    }
                }
                _ => reader.skip(wire_type)?,
            }
        }
        Ok(())
    }

    /// The labels of this series.
    ///
    /// # Errors
    /// [`RefusedSeries`] with the series as far as it can be read.
    pub fn labels(&self, symbols: &Symbols<'a>, limits: &Limits) -> Result<SeriesLabels<'a>, RefusedSeries> {
        self.pairs(symbols, limits)
            .and_then(|pairs| SeriesLabels::from_pairs(pairs, limits))
            .map_err(|reason| self.refused(symbols, reason))
    }

    /// This series as refused for `reason`, which [`SeriesKeys::key`] gave.
    #[must_use]
    pub fn refused(&self, symbols: &Symbols<'a>, reason: LabelsError) -> RefusedSeries {
        refuse(reason, self.readable_pairs(symbols).into_iter())
    }

    /// The labels as text for a person: `name{label="value", …}`, cut after 512 bytes; whatever can be read of
    /// them when they are broken.
    #[must_use]
    pub fn describe(&self, symbols: &Symbols<'a>) -> String {
        super::labels::series_text(self.readable_pairs(symbols).into_iter())
    }

    fn pairs(&self, symbols: &Symbols<'a>, limits: &Limits) -> Result<Vec<(&'a str, &'a str)>, LabelsError> {
        let mut pairs = Vec::with_capacity(limits.labels_per_series.min(48));
        let mut name = None;
        self.for_each_ref(|reference| {
            let text = symbols.text(reference)?;
            let Some(first) = name.take() else {
                name = Some(text);
                return Ok(());
            };
            if pairs.len() == limits.labels_per_series {
                return Err(LabelsError::TooManyLabels {
                    limit: limits.labels_per_series,
                });
            }
            pairs.push((first, text));
            Ok(())
        })?;
        match name {
            None => Ok(pairs),
            Some(_) => Err(LabelsError::OddReferences {
                n_refs: 2 * pairs.len() + 1,
            }),
        }
    }

    /// The first labels, up to one that is broken; enough of them for an error text.
    fn readable_pairs(&self, symbols: &Symbols<'a>) -> Vec<(&'a [u8], &'a [u8])> {
        const N_PAIRS_MAX: usize = 128;
        let mut pairs = Vec::new();
        let mut name = None;
        // The error only ends the walk: it has been reported already, or there is none.
        self.for_each_ref(|reference| {
            let bytes = symbols.bytes(reference).ok_or(LabelsError::MissingMetricName)?;
            match name.take() {
                None => name = Some(bytes),
                Some(_) if pairs.len() == N_PAIRS_MAX => return Err(LabelsError::MissingMetricName),
                Some(name) => pairs.push((name, bytes)),
            }
            Ok(())
        })
        .ok();
        pairs
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
        Histograms::new(self.histograms, 3, self.n_histograms)
    }

    /// The exemplars, in the order of the body.
    #[must_use]
    pub fn exemplars<'s>(&self, symbols: &'s Symbols<'a>) -> Exemplars<'s, 'a> {
        Exemplars::new(self.message, 4, LabelSource::Symbols(symbols))
    }

    /// The metric name, not checked; `None` when there is none or the references are broken.
    #[must_use]
    pub fn metric_name(&self, symbols: &Symbols<'a>) -> Option<&'a str> {
        let is_name = |reference| symbols.bytes(reference) == Some(model::METRIC_NAME.as_bytes());
        symbols.text(self.value_of(is_name)?).ok()
    }

    /// The symbol of the value of the label whose name is such a symbol.
    #[cold]
    fn value_of(&self, is_name: impl Fn(u32) -> bool) -> Option<u32> {
        let (mut name, mut value) = (None, None);
        let walked = self.for_each_ref(|reference| {
            match name.take() {
                None => name = Some(reference),
                Some(name) if is_name(name) => value = Some(reference),
                Some(_) => {}
            }
            Ok(())
        });
        walked.ok().and(value)
    }

    /// What the metric says about itself; `None` when it says nothing.
    ///
    /// # Errors
    /// [`RefusedSeries`] when the message is broken or refers to a symbol that is not there.
    pub fn metadata(&self, symbols: &Symbols<'a>) -> Result<Option<Metadata<'a>>, RefusedSeries> {
        let Some(message) = self.metadata else {
            return Ok(None);
        };
        Metadata::read(message, symbols).map_err(|reason| self.refused(symbols, reason))
    }
}

/// A 32-bit varint. A larger one is cut to 32 bits by most decoders; here it is an error, because it cannot be a
/// reference.
#[inline]
fn read_ref(reader: &mut Reader<'_>) -> Result<u32, DecodeError> {
    let start = *reader;
    u32::try_from(reader.varint()?).map_err(|_| start.error("reference longer than 32 bits"))
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
        start_timestamp_ms: 0,
    };
    loop {
        let before = message;
        let Some((number, wire_type)) = message.field()? else {
            return Ok(sample);
        };
        match (number, wire_type) {
            (1, WireType::Fixed64) => sample.value = f64::from_bits(message.fixed64()?),
            (2, WireType::Varint) => sample.timestamp_ms = message.varint()?.cast_signed(),
            (3, WireType::Varint) => sample.start_timestamp_ms = message.varint()?.cast_signed(),
            (1..=3, _) => return Err(before.error("field of a Sample with the wrong wire type")),
            _ => message.skip(wire_type)?,
        }
    }
}
