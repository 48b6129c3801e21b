//! Scrapes as ready remote-write requests.

use std::fmt;

use bytes::Bytes;
use model::{BUCKET_LABEL, Label, METRIC_NAME, Sample};
use wire::remote_write::{Histogram, v1, v2};
use wire::snappy::Compressor;

use crate::scrape::{ScrapeSink, SeriesText};

/// Which remote-write protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// `prometheus.WriteRequest`.
    V1,
    /// `io.prometheus.write.v2.Request`.
    V2,
}

/// One compressed request.
#[derive(Debug, Clone)]
pub struct EncodedRequest {
    /// What is sent.
    pub body: Bytes,
    /// Samples in it.
    pub n_samples: usize,
    version: Version,
}

/// Collects samples and cuts them into requests.
#[derive(Debug)]
pub struct RequestEncoder {
    messages: Messages,
    samples_per_request: usize,
    compressor: Compressor,
    requests: Vec<EncodedRequest>,
    /// By entity number.
    entities: Vec<Option<EntityBytes>>,
    scratch: Vec<u8>,
    buffer: Vec<u8>,
    refs: Vec<u32>,
}

#[derive(Debug)]
enum Messages {
    V1(v1::Encoder),
    V2(v2::Encoder),
}

/// The encoded labels of one entity, before and after the place where `le` belongs.
#[derive(Debug)]
struct EntityBytes {
    before_le: Vec<u8>,
    after_le: Vec<u8>,
}

impl EncodedRequest {
    /// The headers that the protocol wants.
    #[must_use]
    pub fn headers(&self) -> &'static [(&'static str, &'static str)] {
        match self.version {
            Version::V1 => &[
                ("content-type", "application/x-protobuf"),
                ("content-encoding", "snappy"),
                ("x-prometheus-remote-write-version", "0.1.0"),
            ],
            Version::V2 => &[
                (
                    "content-type",
                    "application/x-protobuf;proto=io.prometheus.write.v2.Request",
                ),
                ("content-encoding", "snappy"),
                ("x-prometheus-remote-write-version", "2.0.0"),
            ],
        }
    }
}

impl RequestEncoder {
    /// An encoder of requests with at most so many samples.
    #[must_use]
    pub fn new(version: Version, samples_per_request: usize) -> Self {
        let messages = match version {
            Version::V1 => Messages::V1(v1::Encoder::default()),
            Version::V2 => Messages::V2(v2::Encoder::default()),
        };
        Self {
            messages,
            samples_per_request,
            compressor: Compressor::default(),
            requests: Vec::new(),
            entities: Vec::new(),
            scratch: Vec::new(),
            buffer: Vec::new(),
            refs: Vec::new(),
        }
    }

    /// The requests since the last call, the last one perhaps shorter.
    pub fn finish(&mut self) -> Vec<EncodedRequest> {
        self.cut();
        std::mem::take(&mut self.requests)
    }

    /// Adds a native histogram of a series.
    pub fn push_histogram(&mut self, series: &SeriesText<'_>, histogram: &Histogram) {
        self.cut_if_full();
        if matches!(self.messages, Messages::V1(_)) {
            self.gather_labels(series);
        } else {
            self.gather_refs(series);
        }
        match &mut self.messages {
            Messages::V1(encoder) => encoder.push_histogram(&self.scratch, histogram),
            Messages::V2(encoder) => encoder.push_histogram(&self.refs, histogram),
        }
    }

    fn cut_if_full(&mut self) {
        let n_samples = match &self.messages {
            Messages::V1(encoder) => encoder.n_samples(),
            Messages::V2(encoder) => encoder.n_samples(),
        };
        if n_samples >= self.samples_per_request {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let (n_samples, version) = match &self.messages {
            Messages::V1(encoder) => (encoder.n_samples(), Version::V1),
            Messages::V2(encoder) => (encoder.n_samples(), Version::V2),
        };
        if n_samples == 0 {
            return;
        }
        let compressed = match &mut self.messages {
            Messages::V1(encoder) => self.compressor.compress(encoder.body(), &mut self.buffer),
            Messages::V2(encoder) => {
                encoder.write_body(&mut self.scratch);
                self.compressor.compress(&self.scratch, &mut self.buffer)
            }
        };
        let body = Bytes::copy_from_slice(compressed.expect("a request is far below snappy's 4 GiB"));
        self.requests.push(EncodedRequest {
            body,
            n_samples,
            version,
        });
        match &mut self.messages {
            Messages::V1(encoder) => encoder.clear(),
            Messages::V2(encoder) => encoder.clear(),
        }
    }

    fn entity(&mut self, series: &SeriesText<'_>) -> &EntityBytes {
        if self.entities.len() <= series.entity {
            self.entities.resize_with(series.entity + 1, || None);
        }
        self.entities[series.entity].get_or_insert_with(|| {
            let labels = series.labels.as_slice();
            let place = labels.partition_point(|label| label.name.as_str() < BUCKET_LABEL);
            EntityBytes {
                before_le: encode(&labels[..place]),
                after_le: encode(&labels[place..]),
            }
        })
    }

    /// Leaves the encoded labels of a series in `scratch`.
    fn gather_labels(&mut self, series: &SeriesText<'_>) {
        let mut label_bytes = std::mem::take(&mut self.scratch);
        label_bytes.clear();
        v1::push_label(&mut label_bytes, METRIC_NAME, series.metric_name);
        let entity = self.entity(series);
        label_bytes.extend_from_slice(&entity.before_le);
        if let Some(le) = series.le {
            v1::push_label(&mut label_bytes, BUCKET_LABEL, le);
        }
        label_bytes.extend_from_slice(&entity.after_le);
        self.scratch = label_bytes;
    }

    /// Leaves the symbols of the labels of a series in `refs`.
    fn gather_refs(&mut self, series: &SeriesText<'_>) {
        let Messages::V2(encoder) = &mut self.messages else {
            return;
        };
        self.refs.clear();
        let mut push = |name: &str, value: &str| {
            let pair = [encoder.symbol(name), encoder.symbol(value)];
            self.refs.extend(pair);
        };
        push(METRIC_NAME, series.metric_name);
        let mut le = series.le;
        for (name, value) in series.labels.iter() {
            if name > BUCKET_LABEL
                && let Some(bound) = le.take()
            {
                push(BUCKET_LABEL, bound);
            }
            push(name, value);
        }
        if let Some(bound) = le {
            push(BUCKET_LABEL, bound);
        }
    }
}

impl ScrapeSink for RequestEncoder {
    fn sample(&mut self, series: SeriesText<'_>, timestamp_ms: i64, value: f64) {
        self.cut_if_full();
        if matches!(self.messages, Messages::V1(_)) {
            self.gather_labels(&series);
        } else {
            self.gather_refs(&series);
        }
        match &mut self.messages {
            Messages::V1(encoder) => encoder.push_series(&self.scratch, &[Sample { timestamp_ms, value }]),
            Messages::V2(encoder) => {
                let sample = v2::Sample {
                    timestamp_ms,
                    value,
                    start_timestamp_ms: 0,
                };
                encoder.push_series(&self.refs, &[sample], None);
            }
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "1.0",
            Self::V2 => "2.0",
        })
    }
}

fn encode(labels: &[Label]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in labels {
        v1::push_label(&mut bytes, &label.name, &label.value);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Mesh, MeshConfig};
    use std::collections::BTreeSet;
    use wire::limits::Limits;

    #[test]
    fn requests_hold_all_samples_with_sorted_labels() {
        let mut mesh = Mesh::new(MeshConfig::steady_http(20, 3));
        let mut encoder = RequestEncoder::new(Version::V1, 500);
        mesh.scrape_interval(1_700_000_000_000, &mut encoder);
        let requests = encoder.finish();
        assert_eq!(
            requests.iter().map(|request| request.n_samples).sum::<usize>(),
            1_340
        );
        assert_eq!(requests.len(), 3);
        let mut names = BTreeSet::new();
        for request in &requests {
            let body = wire_body(&request.body);
            for entry in v1::Request::new(&body, &Limits::default()) {
                let v1::Entry::Series(series) = entry.unwrap() else {
                    panic!("metadata")
                };
                let mut scratch = Vec::new();
                let labels = v1::parse_labels(series.label_bytes(&mut scratch), &Limits::default()).unwrap();
                names.insert(format!("{labels:?}"));
            }
        }
        assert_eq!(names.len(), 1_340);
    }

    fn wire_body(compressed: &[u8]) -> Vec<u8> {
        let mut buffer = Vec::new();
        wire::snappy::decompress(compressed, 32 << 20, &mut buffer)
            .unwrap()
            .to_vec()
    }
}
