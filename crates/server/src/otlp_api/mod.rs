//! OTLP metrics: the doors for HTTP and gRPC, and what both answer.
//!
//! | HTTP | gRPC | when |
//! |---|---|---|
//! | 200 | OK | every data point is stored and durable; with a partial success those that are not are counted and explained |
//! | 400 | INVALID_ARGUMENT | the body cannot be read; nothing is stored |
//! | 413 | RESOURCE_EXHAUSTED | the body is larger than allowed |
//! | 415 | UNIMPLEMENTED | another content type or encoding |
//! | 503 | UNAVAILABLE | not now: no room, or the log cannot be written; says when to come again, nothing is stored |
//!
//! Senders repeat a request on UNAVAILABLE, and on RESOURCE_EXHAUSTED only when it says when to come again, which it
//! never does here: no retry makes a request smaller. A request may be sent again: the same sample twice is one sample.

pub(crate) mod grpc;
pub(crate) mod http;
mod outcome;

use axum::http::HeaderMap;

use crate::listener::Peer;

/// gRPC's codes, which a status carries over HTTP too.
mod code {
    pub(super) const OK: u32 = 0;
    pub(super) const INVALID_ARGUMENT: u32 = 3;
    pub(super) const RESOURCE_EXHAUSTED: u32 = 8;
    pub(super) const UNIMPLEMENTED: u32 = 12;
    pub(super) const UNAVAILABLE: u32 = 14;
}

/// Who sent it: the first address a proxy names, else the other end of the connection.
fn origin(headers: &HeaderMap, peer: Option<&Peer>) -> String {
    let forwarded = headers
        .get("x-forwarded-for")
        .and_then(|value| value.to_str().ok());
    let first = forwarded.and_then(|list| list.split(',').next()).map(str::trim);
    match first.filter(|address| !address.is_empty()) {
        Some(address) => address.to_owned(),
        None => peer.map_or_else(String::new, |Peer(address)| address.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn the_sender_is_who_a_proxy_says_or_who_is_connected() {
        let mut forwarded = HeaderMap::new();
        forwarded.insert("x-forwarded-for", HeaderValue::from_static("10.1.2.3, 10.9.9.9"));
        let peer = Peer([127, 0, 0, 1].into());
        assert_eq!(origin(&forwarded, Some(&peer)), "10.1.2.3");
        assert_eq!(origin(&HeaderMap::new(), Some(&peer)), "127.0.0.1");
        assert_eq!(origin(&HeaderMap::new(), None), "");
    }
}
