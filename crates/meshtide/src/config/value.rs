//! Values of settings as people write them: `15d`, `64MiB`, `always`.

use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use model::duration::{format_duration_ms, parse_duration_ms};
use serde::{Deserialize, Deserializer, de};
use wire::otlp::TranslationStrategy;

/// A length of time: `15d`, `1h30m`, `500ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// Milliseconds; not negative.
    pub(crate) ms: i64,
}

/// A number of bytes: `64MiB`, `512KiB`, `1000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) u64);

/// Where to listen: `127.0.0.1:4317`, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listen {
    /// Nowhere.
    Off,
    /// At an address.
    At(SocketAddr),
}

/// What is done to names of OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Strategy(pub(crate) TranslationStrategy);

/// What is done with delta temporality.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Delta {
    /// Points are refused.
    Reject,
    /// They are added up.
    Convert,
}

/// When the log is synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WalSync {
    /// Before every acknowledgement: what was acknowledged survives a power cut
    Always,
    /// Now and then: what was acknowledged since may be lost in a power cut
    Interval,
}

impl Span {
    pub(crate) const fn seconds(seconds: i64) -> Self {
        Self { ms: seconds * 1000 }
    }

    pub(crate) const fn minutes(minutes: i64) -> Self {
        Self::seconds(minutes * 60)
    }

    pub(crate) const fn days(days: i64) -> Self {
        Self::minutes(days * 24 * 60)
    }

    pub(crate) fn duration(self) -> Duration {
        Duration::from_millis(self.ms.unsigned_abs())
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ms = parse_duration_ms(text)
            .ok_or_else(|| format!("{text:?} is no duration; write it like 30s, 1h30m or 15d"))?;
        Ok(Self { ms })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_duration_ms(self.ms))
    }
}

const UNITS: [(&str, u32); 3] = [("GiB", 30), ("MiB", 20), ("KiB", 10)];

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = UNITS
            .iter()
            .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)));
        let (digits, shift) = found.unwrap_or((text, 0));
        let number: Option<u64> = digits.trim().parse().ok();
        number
            .and_then(|number| number.checked_mul(1 << shift))
            .map(Self)
            .ok_or_else(|| format!("{text:?} is no number of bytes; write it like 512KiB, 64MiB or 1GiB"))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |shift: u32| self.0 > 0 && self.0.is_multiple_of(1 << shift);
        match UNITS.iter().find(|(_, shift)| whole(*shift)) {
            Some((unit, shift)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Labels by which replicas name their pair and themselves.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HaPair {
    /// Labels that are the same on both.
    pub(crate) group: Vec<String>,
    /// The label in which they differ.
    pub(crate) replica: String,
}

impl HaPair {
    /// Those of Prometheus Operator and of Mimir.
    pub(crate) fn defaults() -> Vec<Self> {
        let pairs = server::ha::PairLabels::defaults().into_iter();
        pairs
            .map(|server::ha::PairLabels { group, replica }| Self { group, replica })
            .collect()
    }
}

impl Bytes {
    /// For limits on memory.
    pub(crate) fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let address = text.parse();
        address.map(Self::At).map_err(|_| {
            format!("{text:?} is no address to listen on; write it like 127.0.0.1:4317 or [::]:4317, or off")
        })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(address) => address.fmt(f),
        }
    }
}

impl FromStr for Strategy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = TranslationStrategy::ALL.map(TranslationStrategy::name).join(", ");
        let strategy = TranslationStrategy::of_name(text);
        strategy
            .map(Self)
            .ok_or_else(|| format!("{text:?} is no strategy; it is one of {names}"))
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl<'de> Deserialize<'de> for Strategy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FromText(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FromText(PhantomData))
    }
}

/// Reads a value from its text, or from a bare number.
struct FromText<T>(PhantomData<T>);

impl<T: FromStr<Err = String>> de::Visitor<'_> for FromText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, or a number with a unit")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FromText(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FromText(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_binary_units() {
        for (text, bytes) in [
            ("64MiB", 64 << 20),
            ("512 KiB", 512 << 10),
            ("1GiB", 1 << 30),
            ("1000", 1000),
        ] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
        for bad in ["", "64MB", "-1", "MiB", "99999999999GiB", "1.5GiB"] {
            assert!(bad.parse::<Bytes>().is_err(), "{bad}");
        }
        assert_eq!(Bytes(64 << 20).to_string(), "64MiB");
        assert_eq!(Bytes(1500).to_string(), "1500");
        assert_eq!(Bytes(0).to_string(), "0");
    }

    #[test]
    fn a_port_can_be_left_closed() {
        assert_eq!("off".parse(), Ok(Listen::Off));
        let at: Listen = "[::]:4317".parse().unwrap();
        assert_eq!(at.to_string(), "[::]:4317");
        assert!("4317".parse::<Listen>().unwrap_err().contains("off"));
    }

    #[test]
    fn durations_have_the_units_of_prometheus() {
        assert_eq!("15d".parse(), Ok(Span::days(15)));
        assert_eq!(Span::minutes(90).to_string(), "1h30m");
        assert!("15".parse::<Span>().unwrap_err().contains("30s"));
    }
}
