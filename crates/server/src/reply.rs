//! Writing answers: whole when they are small, in pieces when they are large, compressed when asked.
//!
//! The first [`PIECE_BYTES`] are written on the spot. The rest of a large answer is written on the threads for work, not on those of the sockets, about [`PIECE_BYTES`] at a time.
//! A piece is written when the one before it has been taken, so a slow reader holds [`PIECES_AHEAD`] pieces and
//! the arrays of the result, never the whole text. When the reader goes away the writing stops.

use std::io::Write;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::StreamBody;
use hyper::body::Frame;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::app::App;
use crate::error::ApiError;

/// A piece is handed on when it has grown to this.
pub(crate) const PIECE_BYTES: usize = 64 << 10;

/// Pieces that wait for the reader.
pub(crate) const PIECES_AHEAD: usize = 2;

/// More than this is compressed on the threads for work: some 200 µs.
const GZIP_ON_THE_SPOT_BYTES: usize = 16 << 10;

/// Shorter answers are not worth compressing.
const GZIP_BYTES_MIN: usize = 1024;

/// Something that writes itself part by part.
pub(crate) trait Pieces: Send + 'static {
    /// Appends the next part, some kilobytes if it can be cut so; false when that was the last one.
    fn write(&mut self, text: &mut String) -> bool;

    /// True when a part is a matter of microseconds: the first ones are then written on the spot.
    fn has_short_parts(&self) -> bool {
        true
    }
}

/// How this request wants its answer.
#[derive(Debug)]
pub(crate) struct Reply {
    gzip: bool,
    work: Handle,
}

impl FromRequestParts<App> for Reply {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        Ok(Self::new(&parts.headers, app.work()))
    }
}

impl Reply {
    pub(crate) fn new(headers: &HeaderMap, work: Handle) -> Self {
        Self {
            gzip: accepts_gzip(headers),
            work,
        }
    }

    /// True when the answer should be compressed.
    pub(crate) fn gzip(&self) -> bool {
        self.gzip
    }

    /// An answer that is there already.
    pub(crate) fn text(&self, content_type: &'static str, text: String) -> Response {
        let gzip = self.gzip && text.len() >= GZIP_BYTES_MIN;
        let body = if gzip {
            let mut encoder = encoder();
            encoder.push(text.as_bytes());
            encoder.finish()
        } else {
            Bytes::from(text)
        };
        response(content_type, gzip, Body::from(body))
    }

    /// An answer that is still to be written.
    pub(crate) fn pieces(&self, content_type: &'static str, mut pieces: impl Pieces) -> Response {
        let gzip = self.gzip;
        let mut text = String::new();
        if pieces.has_short_parts() {
            let bytes_max = if gzip { GZIP_ON_THE_SPOT_BYTES } else { PIECE_BYTES };
            let mut more = true;
            while more && text.len() < bytes_max {
                more = pieces.write(&mut text);
            }
            if !more {
                return self.text(content_type, text);
            }
        }
        let (sender, mut receiver) = mpsc::channel(PIECES_AHEAD);
        // The task ends with the receiver, which the connection owns.
        drop(self.work.spawn(send_all(text, pieces, gzip, sender)));
        let frames = futures::stream::poll_fn(move |cx| {
            let next = receiver.poll_recv(cx);
            next.map(|piece| piece.map(|piece: Bytes| Ok::<_, std::convert::Infallible>(Frame::data(piece))))
        });
        response(content_type, gzip, Body::new(StreamBody::new(frames)))
    }
}

pub(crate) fn response(content_type: &'static str, gzip: bool, body: Body) -> Response {
    let mut response = ([(header::CONTENT_TYPE, content_type)], body).into_response();
    if gzip {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// Sends what is written already, and what is not.
async fn send_all(mut text: String, mut pieces: impl Pieces, gzip: bool, sender: mpsc::Sender<Bytes>) {
    text.reserve((PIECE_BYTES + PIECE_BYTES / 4).saturating_sub(text.len()));
    let mut encoder = gzip.then(encoder);
    let mut more = true;
    while more {
        more = pieces.write(&mut text);
        if more && text.len() < PIECE_BYTES {
            continue;
        }
        let ready = match encoder.as_mut() {
            None => Bytes::from(std::mem::take(&mut text)),
            Some(encoder) => {
                encoder.push(text.as_bytes());
                text.clear();
                encoder.take()
            }
        };
        if !ready.is_empty() && sender.send(ready).await.is_err() {
            return;
        }
    }
    if let Some(encoder) = encoder {
        // Whether the reader is still there no longer matters.
        drop(sender.send(encoder.finish()).await);
    }
}

/// gzip into memory, which cannot fail.
pub(crate) struct Encoder(GzEncoder<Vec<u8>>);

pub(crate) fn encoder() -> Encoder {
    Encoder(GzEncoder::new(Vec::new(), Compression::fast()))
}

const NEVER_FAILS: &str = "writing to memory cannot fail";

impl Encoder {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect(NEVER_FAILS);
    }

    /// What is compressed so far.
    pub(crate) fn take(&mut self) -> Bytes {
        Bytes::from(std::mem::take(self.0.get_mut()))
    }

    pub(crate) fn finish(self) -> Bytes {
        Bytes::from(self.0.finish().expect(NEVER_FAILS))
    }
}

/// True when `Accept-Encoding` names gzip and does not rule it out.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter();
    let mut codings = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    codings.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight
            .split_once('=')
            .is_some_and(|(_, weight)| weight.trim().parse::<f32>() == Ok(0.0));
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

/// `{"status":"success","data":…}` around a data part that is written by `data`.
pub(crate) fn success(data: impl FnOnce(&mut String)) -> String {
    let mut json = String::from(r#"{"status":"success","data":"#);
    data(&mut json);
    json.push('}');
    json
}

/// What handlers of the JSON API return.
pub(crate) type ApiResult = Result<Response, ApiError>;

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use std::io::Read;

    /// `n` lines.
    struct Lines(usize);

    impl Pieces for Lines {
        fn write(&mut self, text: &mut String) -> bool {
            text.push_str(&format!("line {}\n", self.0));
            self.0 -= 1;
            self.0 > 0
        }

        fn has_short_parts(&self) -> bool {
            !self.0.is_multiple_of(2)
        }
    }

    fn headers(accept: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_str(accept).unwrap())])
    }

    async fn body_of(accept: &str, n: usize) -> (bool, Vec<u8>) {
        let reply = Reply::new(&headers(accept), Handle::current());
        let response = reply.pieces("text/plain", Lines(n));
        let gzip = response.headers().contains_key(header::CONTENT_ENCODING);
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        if !gzip {
            return (false, bytes.to_vec());
        }
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&bytes[..])
            .read_to_end(&mut plain)
            .unwrap();
        (true, plain)
    }

    #[tokio::test]
    async fn large_and_small_answers_arrive_whole_plain_and_compressed() {
        for n in [1, 5, 100, 401, 50_000, 50_001] {
            let expected: String = (1..=n).rev().map(|n| format!("line {n}\n")).collect();
            let (gzip, plain) = body_of("identity", n).await;
            assert!(!gzip && plain == expected.as_bytes(), "{n} lines");
            let (gzip, plain) = body_of("deflate, gzip;q=0.5", n).await;
            assert!(
                gzip == (n >= 100) && plain == expected.as_bytes(),
                "{n} lines, compressed"
            );
        }
    }

    #[tokio::test]
    async fn writing_stops_when_the_reader_goes_away() {
        let (sender, receiver) = mpsc::channel(1);
        drop(receiver);
        struct Endless;
        impl Pieces for Endless {
            fn write(&mut self, text: &mut String) -> bool {
                text.push_str(&"x".repeat(1000));
                true
            }
        }
        send_all(String::new(), Endless, true, sender).await;
    }

    #[test]
    fn gzip_has_to_be_asked_for() {
        for (accept, expected) in [
            ("gzip", true),
            ("deflate, GZIP ;q=1.0, *;q=0.5", true),
            ("gzip;q=0", false),
            ("br, zstd", false),
            ("", false),
        ] {
            assert_eq!(accepts_gzip(&headers(accept)), expected, "{accept:?}");
        }
    }
}
