//! What series say about their metrics.
//!
//! A sender repeats type, help and unit with every series of every request. [`Glances`] finds the few series of a request
//! that have something to say which no series before them has said, by comparing a dozen bytes with those of the last one
//! of that name.

use model::{METRIC_NAME, MetricType};

use super::{SymbolHashes, Symbols, TimeSeries, read_ref};
use crate::error::{DecodeError, LabelsError};
use crate::protobuf::{Reader, WireType};
use crate::remote_write::v1::metric_type;

/// What the metric of a series says about itself; its name is the series' `__name__`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata<'a> {
    /// Its type.
    pub metric_type: MetricType,
    /// Its help text; may be empty.
    pub help: &'a str,
    /// Its unit; may be empty.
    pub unit: &'a str,
}

impl<'a> Metadata<'a> {
    const NOTHING: Self = Metadata {
        metric_type: MetricType::Unknown,
        help: "",
        unit: "",
    };

    /// What `message` says; `None` when it says nothing.
    pub(super) fn read(message: Reader<'a>, symbols: &Symbols<'a>) -> Result<Option<Self>, LabelsError> {
        let refs = Refs::read(message)?;
        let text = |reference: Option<u32>| reference.map_or(Ok(""), |reference| symbols.text(reference));
        let metadata = Self {
            metric_type: refs.metric_type,
            help: text(refs.help)?,
            unit: text(refs.unit)?,
        };
        Ok(Some(metadata).filter(|found| *found != Self::NOTHING))
    }
}

/// A metadata message; its texts are not looked up.
#[derive(Debug, Clone, Copy, Default)]
struct Refs {
    metric_type: MetricType,
    help: Option<u32>,
    unit: Option<u32>,
}

impl Refs {
    fn read(mut message: Reader<'_>) -> Result<Self, DecodeError> {
        let mut refs = Self::default();
        loop {
            let before = message;
            let Some((number, wire_type)) = message.field()? else {
                return Ok(refs);
            };
            match (number, wire_type) {
                (1, WireType::Varint) => refs.metric_type = metric_type(message.varint()?),
                (3, WireType::Varint) => refs.help = Some(read_ref(&mut message)?),
                (4, WireType::Varint) => refs.unit = Some(read_ref(&mut message)?),
                (1 | 3 | 4, _) => return Err(before.error("field of a Metadata with the wrong wire type")),
                _ => message.skip(wire_type)?,
            }
        }
    }
}

/// What a series says about its metric, in numbers that are the same in every request. Made of the hashes of its symbols.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// Stands for the metric name of the series.
    pub name: u64,
    /// Stands for type, help and unit.
    pub content: u64,
}

/// Finds what the series of one request say about their metrics.
#[derive(Debug)]
pub struct Glances {
    /// The number of `__name__` among the symbols.
    name_ref: Option<u32>,
    /// What was said last, by metric name as far as there is room: a name has one place.
    seen: [Glance; N_PLACES],
}

/// Names of a request that have a place of their own, at best. A request of two thousand samples of a mesh has some tens.
const N_PLACES: usize = 256;

/// Metric name and metadata of a series as they stand in its request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Glance {
    name: u32,
    /// Length of the message; 0 in places that are free.
    n_bytes: u32,
    /// The message.
    bytes: u64,
}

impl Glances {
    /// For the series of a request with these symbols.
    #[must_use]
    pub fn new(symbols: &Symbols<'_>) -> Self {
        let name_ref = symbols
            .iter_bytes()
            .position(|symbol| symbol == METRIC_NAME.as_bytes());
        Self {
            name_ref: name_ref.and_then(|number| u32::try_from(number).ok()),
            seen: [Glance::default(); N_PLACES],
        }
    }

    /// What `series` says about its metric, unless series before it have said the same; that may be given again. `None`
    /// also when it says nothing or its references are broken. `hashes` are those of the request's symbols.
    #[inline]
    pub fn look(&mut self, series: &TimeSeries<'_>, hashes: &SymbolHashes) -> Option<Said> {
        let message = series.metadata?;
        let name = self.name_of(series)?;
        if let Some(glance) = Glance::new(name, message.rest()) {
            let place = self.seen.get_mut(name as usize % N_PLACES)?;
            if *place == glance {
                return None;
            }
            *place = glance;
        }
        hear(name, message, hashes)
    }

    /// The symbol of the metric name, which stands first in what most senders write.
    #[inline]
    fn name_of(&self, series: &TimeSeries<'_>) -> Option<u32> {
        let label_name = self.name_ref?;
        match series.packed_refs() {
            Some([name @ 0..0x80, value @ 0..0x80, ..]) if u32::from(*name) == label_name => {
                Some(u32::from(*value))
            }
            Some([name @ 0..0x80, low, high @ 0..0x80, ..]) if u32::from(*name) == label_name => {
                Some(u32::from(*low & 0x7f) | u32::from(*high) << 7)
            }
            _ => series.value_of(|reference| reference == label_name),
        }
    }
}

fn hear(name: u32, message: Reader<'_>, hashes: &SymbolHashes) -> Option<Said> {
    let refs = Refs::read(message).ok()?;
    let word = |reference: Option<u32>| reference.map_or(Some((0, 0)), |found| hashes.words_of(found));
    let (help, unit) = (word(refs.help)?.0, word(refs.unit)?.1);
    let content = help.wrapping_add(unit).wrapping_add(refs.metric_type as u64);
    (content != 0).then_some(Said {
        name: hashes.words_of(name)?.0,
        content,
    })
}

impl Glance {
    /// `None` when the message is longer than any sender with less than 16,384 symbols makes it.
    #[inline]
    fn new(name: u32, message: &[u8]) -> Option<Self> {
        let bytes = match (message.first_chunk::<4>(), message.last_chunk::<4>()) {
            (Some(first), Some(last)) if message.len() <= 8 => {
                u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32
            }
            (Some(_), _) => return None,
            _ => message
                .iter()
                .fold(0, |bytes, byte| bytes << 8 | u64::from(*byte)),
        };
        let n_bytes = u32::try_from(message.len()).ok()?;
        Some(Self { name, n_bytes, bytes })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::limits::Limits;
    use crate::remote_write::v2::{Encoder, MetadataRefs, Request, Sample, SeriesKeys};

    const SAMPLE: Sample = Sample {
        timestamp_ms: 1,
        value: 1.0,
        start_timestamp_ms: 0,
    };

    /// Series of `(name, help, unit)`; the name stands behind another label where it ends with `!`.
    fn body_of(series: &[(String, String, &str)], n_fillers: usize) -> Vec<u8> {
        let mut encoder = Encoder::default();
        for filler in 0..n_fillers {
            encoder.symbol(&format!("filler {filler}"));
        }
        for (number, (name, help, unit)) in series.iter().enumerate() {
            let mut refs = [METRIC_NAME, name, "le", &number.to_string()].map(|text| encoder.symbol(text));
            if name.ends_with('!') {
                refs.rotate_left(2);
            }
            let metadata = MetadataRefs {
                metric_type: MetricType::Histogram,
                help_ref: encoder.symbol(help),
                unit_ref: encoder.symbol(unit),
            };
            encoder.push_series(&refs, &[SAMPLE], Some(metadata));
        }
        let mut body = Vec::new();
        encoder.write_body(&mut body);
        body
    }

    /// Each look at the series of a request that gave something: the position and what was given.
    fn looks(body: &[u8]) -> Vec<(usize, Said)> {
        let request = Request::parse(body, &Limits::default()).unwrap();
        let keys = SeriesKeys::new(
            |bytes: &[u8]| xxhash_rust::xxh3::xxh3_128_with_seed(bytes, 7),
            256,
        );
        let mut hashes = SymbolHashes::default();
        keys.hash_symbols(request.symbols(), &mut hashes);
        let mut glances = Glances::new(request.symbols());
        let all_series = request.series().map(Result::unwrap).enumerate();
        let look = |(position, series)| Some((position, glances.look(&series, &hashes)?));
        all_series.filter_map(look).collect()
    }

    #[test]
    fn buckets_of_one_histogram_are_looked_at_once() {
        let series = ["x_bucket", "x_bucket", "x_count", "x_bucket", "x_count"];
        let series = series.map(|name| (name.to_owned(), "Helps.".to_owned(), ""));
        for n_fillers in [0, 300] {
            let looks = looks(&body_of(&series, n_fillers));
            let positions: Vec<usize> = looks.iter().map(|(position, _)| *position).collect();
            assert_eq!(positions, [0, 2]);
        }
    }

    #[test]
    fn another_help_unit_or_name_says_something_else() {
        let said = |name: &str, help: &str, unit| {
            let looks = looks(&body_of(&[(name.to_owned(), help.to_owned(), unit)], 0));
            looks.first().map(|(_, said)| *said)
        };
        let first = said("x", "Helps.", "s").unwrap();
        let check = |name, help, unit, same: (bool, bool)| {
            let other = said(name, help, unit).unwrap();
            assert_eq!((other.name == first.name, other.content == first.content), same);
        };
        check("x", "Helps.", "s", (true, true));
        check("y!", "Helps.", "s", (false, true));
        check("x", "Helps!", "s", (true, false));
        check("x", "Helps.", "m", (true, false));
        check("x", "s", "Helps.", (true, false));
        check("x", "", "", (true, false));
    }

    #[test]
    fn broken_metadata_says_nothing() {
        let body = |metadata: &[u8]| {
            let mut series = vec![0x0a, 2, 1, 2, 0x2a, u8::try_from(metadata.len()).unwrap()];
            series.extend_from_slice(metadata);
            let mut body = b"\x22\x00\x22\x08__name__\x22\x01x\x2a".to_vec();
            body.push(u8::try_from(series.len()).unwrap());
            body.extend_from_slice(&series);
            body
        };
        assert_eq!(looks(&body(b"\x08\x01")).len(), 1);
        for nothing in [
            &b""[..],
            b"\x08",
            b"\x0a\x00",
            b"\x08\x00",
            b"\x18\x09",
            b"\x08\x01\x18",
        ] {
            assert_eq!(looks(&body(nothing)), [], "{nothing:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_said_is_overlooked(
            series in proptest::collection::vec((0..400_u16, 0..4_u8, 0..3_usize, any::<bool>()), 0..300),
            n_fillers in prop::sample::select(vec![0, 120, 17_000]),
        ) {
            let series: Vec<(String, String, &str)> = series
                .into_iter()
                .map(|(name, help, unit, is_turned)| {
                    let name = format!("name {name}{}", if is_turned { "!" } else { "" });
                    (name, "h".repeat(help.into()), ["", "s", "By"][unit])
                })
                .collect();
            let said_of = |(position, _): (usize, Said)| &series[position];
            let body = body_of(&series, n_fillers);
            let found: BTreeSet<_> = looks(&body).into_iter().map(said_of).collect();
            let all: BTreeSet<_> = series.iter().collect();
            prop_assert_eq!(found, all);
        }
    }
}
