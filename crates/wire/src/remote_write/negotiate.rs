//! Which protocol a request speaks, from its headers.

/// The message of a remote-write request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `prometheus.WriteRequest`, remote write 1.0.
    V1,
    /// `io.prometheus.write.v2.Request`, remote write 2.0.
    V2,
}

/// Headers of a request that is not for us (HTTP 415).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsupported {
    /// Not snappy.
    #[error("content encoding {0:?} is not supported: remote write is \"snappy\"")]
    ContentEncoding(String),
    /// Not protobuf, or not one of the two messages.
    #[error(
        "content type {0:?} is not supported: remote write is \"application/x-protobuf\", \
         with proto=prometheus.WriteRequest (the default) or proto=io.prometheus.write.v2.Request"
    )]
    ContentType(String),
}

const MEDIA_TYPE: &str = "application/x-protobuf";

/// The protocol that these headers ask for.
///
/// A missing or empty encoding means snappy, a missing or empty type means 1.0, as in Prometheus. Media type and
/// parameter names are compared without regard to case; parameters other than `proto` are ignored. Both headers
/// are looked at before the body is, so that a wrong type with a broken body is a wrong type.
///
/// # Errors
/// [`Unsupported`], the encoding first.
pub fn negotiate(
    content_type: Option<&str>,
    content_encoding: Option<&str>,
) -> Result<Protocol, Unsupported> {
    let encoding = content_encoding.unwrap_or_default().trim();
    if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("snappy") {
        return Err(Unsupported::ContentEncoding(encoding.to_owned()));
    }
    let content_type = content_type.unwrap_or_default().trim();
    protocol_of_type(content_type).ok_or_else(|| Unsupported::ContentType(content_type.to_owned()))
}

fn protocol_of_type(content_type: &str) -> Option<Protocol> {
    let mut parts = content_type.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    if content_type.is_empty() {
        return Some(Protocol::V1);
    }
    if !media_type.eq_ignore_ascii_case(MEDIA_TYPE) {
        return None;
    }
    let mut protocol = Protocol::V1;
    for parameter in parts.filter(|part| !part.is_empty()) {
        let (name, value) = parameter.split_once('=')?;
        if name.trim().eq_ignore_ascii_case("proto") {
            protocol = match value.trim().trim_matches('"') {
                "prometheus.WriteRequest" => Protocol::V1,
                "io.prometheus.write.v2.Request" => Protocol::V2,
                _ => return None,
            };
        }
    }
    Some(protocol)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_pick_the_protocol_as_prometheus_does() {
        use Protocol::{V1, V2};
        let protobuf = "application/x-protobuf";
        let v1 = "application/x-protobuf;proto=prometheus.WriteRequest";
        let v2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
        let check = |content_type: Option<&str>, encoding: Option<&str>, expected: Option<Protocol>| {
            let found = negotiate(content_type, encoding);
            assert_eq!(
                found.ok(),
                expected,
                "type {content_type:?} encoding {encoding:?}"
            );
        };
        check(None, None, Some(V1));
        check(None, Some("snappy"), Some(V1));
        check(Some(""), Some(""), Some(V1));
        check(Some(protobuf), Some("snappy"), Some(V1));
        check(Some(v1), Some("snappy"), Some(V1));
        check(Some(v2), Some("snappy"), Some(V2));
        check(Some(v2), None, Some(V2));
        check(
            Some("Application/X-Protobuf; PROTO=\"io.prometheus.write.v2.Request\""),
            Some("Snappy"),
            Some(V2),
        );
        check(
            Some("application/x-protobuf; charset=utf-8"),
            Some("snappy"),
            Some(V1),
        );
        check(Some("application/x-protobuf;"), Some("snappy"), Some(V1));
        check(
            Some("application/x-protobuf;proto=other.Message"),
            Some("snappy"),
            None,
        );
        check(Some("application/x-protobuf;proto="), Some("snappy"), None);
        check(Some("application/x-protobuf;garbage"), Some("snappy"), None);
        check(Some("application/json"), Some("snappy"), None);
        check(Some("image/png"), Some("snappy"), None);
        check(Some("text/plain"), None, None);
        check(Some(";proto=prometheus.WriteRequest"), None, None);
        check(Some(v1), Some("gzip"), None);
        check(Some(v2), Some("deflate"), None);
        check(Some(v1), Some("snappy, gzip"), None);
        check(Some(v1), Some("identity"), None);
    }

    #[test]
    fn a_wrong_encoding_is_named_before_a_wrong_type() {
        let refused = negotiate(Some("application/json"), Some("gzip")).unwrap_err();
        assert_eq!(refused, Unsupported::ContentEncoding("gzip".into()));
        let refused = negotiate(Some("application/json"), Some("snappy")).unwrap_err();
        assert_eq!(refused, Unsupported::ContentType("application/json".into()));
    }
}
