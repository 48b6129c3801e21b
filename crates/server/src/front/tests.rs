use std::collections::VecDeque;
use std::convert::Infallible;

use bytes::Bytes;
use futures::task::noop_waker_ref;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// A connection that delivers exactly these pieces, one per read.
struct Pieces(VecDeque<Vec<u8>>);

impl AsyncRead for Pieces {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let pieces = &mut self.get_mut().0;
        if let Some(mut piece) = pieces.pop_front() {
            let rest = piece.split_off(piece.len().min(buf.remaining()));
            buf.put_slice(&piece);
            if !rest.is_empty() {
                pieces.push_front(rest);
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// What comes out of the front when `pieces` go in and the reader's buffer holds `n_buffer` bytes.
fn through(pieces: Vec<Vec<u8>>, n_buffer: usize) -> Vec<u8> {
    let mut front = Front::new(Pieces(pieces.into()));
    let mut out = Vec::new();
    let mut space = vec![0; n_buffer];
    loop {
        let mut buf = ReadBuf::new(&mut space);
        let mut cx = Context::from_waker(noop_waker_ref());
        let polled = Pin::new(&mut front).poll_read(&mut cx, &mut buf);
        assert!(matches!(polled, Poll::Ready(Ok(()))));
        if buf.filled().is_empty() {
            return out;
        }
        out.extend_from_slice(buf.filled());
    }
}

/// Checks `input` in one piece, byte by byte, and cut in two at every position.
fn check(input: &[u8], expected: &[u8]) {
    let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let same = |pieces: Vec<Vec<u8>>, n_buffer: usize| {
        assert_eq!(show(&through(pieces, n_buffer)), show(expected));
    };
    same(vec![input.to_vec()], 4096);
    same(vec![input.to_vec()], 1);
    same(input.iter().map(|byte| vec![*byte]).collect(), 4096);
    for cut in 1..input.len() {
        let (left, right) = input.split_at(cut);
        same(vec![left.to_vec(), right.to_vec()], 4096);
        same(vec![left.to_vec(), right.to_vec()], 7);
    }
}

fn check_identity(input: &[u8]) {
    check(input, input);
}

const RAW: &str = "GET /federate?match[]={job=~\"federate|kubernetes-pods\"} HTTP/1.1\r\nHost: a\r\n\r\n";
const ENCODED: &str =
    "GET /federate?match[]={job=~%22federate|kubernetes-pods%22} HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn the_wavefront_url_is_encoded_at_every_split() {
    check(RAW.as_bytes(), ENCODED.as_bytes());
}

#[test]
fn every_refused_byte_is_encoded() {
    check(
        b"GET /q?a=<\">#`\xc3\xa4\xff HTTP/1.0\r\n\r\n",
        b"GET /q?a=%3C%22%3E%23%60%C3%A4%FF HTTP/1.0\r\n\r\n",
    );
}

#[test]
fn bodies_and_headers_keep_their_quotes() {
    let post = "POST /api/v1/query?q=\" HTTP/1.1\r\nX: <\"#>\r\nContent-Length: 9\r\n\r\nGET /\" \"\n";
    let post_encoded = post.replacen("q=\"", "q=%22", 1);
    check(
        format!("{RAW}{post}{RAW}").as_bytes(),
        format!("{ENCODED}{post_encoded}{ENCODED}").as_bytes(),
    );
}

#[test]
fn chunked_bodies_are_followed_to_their_end() {
    let head = "POST /w HTTP/1.1\r\ntransfer-encoding:  Chunked \r\n\r\n";
    let body = "4\r\nGET \r\n0A ;a=\"b\"\r\n/\"<>\"\r\n\"\"\"\r\n0\r\nTrailer: \"x\"\r\n\r\n";
    check(
        format!("{head}{body}{RAW}").as_bytes(),
        format!("{head}{body}{ENCODED}").as_bytes(),
    );
}

#[test]
fn empty_lines_and_bare_line_feeds_are_read_as_hyper_reads_them() {
    check(
        b"\r\n\nGET /\" HTTP/1.1\nContent-Length: 2\n\n\"\"\r\nGET /\" HTTP/1.1\r\n\r\n",
        b"\r\n\nGET /%22 HTTP/1.1\nContent-Length: 2\n\n\"\"\r\nGET /%22 HTTP/1.1\r\n\r\n",
    );
}

#[test]
fn expect_continue_does_not_move_the_body() {
    let head = "PUT /w HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    check(
        format!("{head}\"\"\"{RAW}").as_bytes(),
        format!("{head}\"\"\"{ENCODED}").as_bytes(),
    );
}

#[test]
fn ambiguous_framing_stops_rewriting() {
    for headers in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Content-Length: 3\r\nContent-Length: 3\r\n",
        "Content-Length: +3\r\n",
        "Content-Length: 3, 3\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "Content-Length:\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Content-Length : 3\r\n",
        "X: y\r\n Content-Length: 3\r\n",
        "no colon\r\n",
        "Connection: Upgrade\r\nUpgrade: h2c\r\n",
    ] {
        check_identity(format!("POST /w HTTP/1.1\r\n{headers}\r\n\"\"\"{RAW}").as_bytes());
    }
    for tail in [
        "\n",
        "x\r\n",
        "\r\n",
        "-1\r\n",
        "fffffffffffffffff\r\n",
        "1\r\n\"\"\"",
        "1;\n",
    ] {
        let head = "POST /w HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        check_identity(format!("{head}{tail}{RAW}").as_bytes());
    }
}

#[test]
fn tunnels_and_other_protocols_pass_untouched() {
    check_identity(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x12\x04\"<>\r\nGET /\" HTTP/1.1\r\n\r\n");
    check_identity(b"CONNECT a:1 HTTP/1.1\r\n\r\nGET /\" HTTP/1.1\r\n\r\n");
    check_identity(b"\x16\x03\x01\x02\x00 \"<>\nGET /x HTTP/1.1\r\n\r\n");
    check_identity(b"GET /a b HTTP/1.1\r\n\r\nGET /\" HTTP/1.1\r\n\r\n");
    check_identity(b"GET /a\r\n\r\nGET /\" HTTP/1.1\r\n\r\n");
}

#[test]
fn a_line_longer_than_what_is_kept_decides_nothing_by_its_tail() {
    let long = "x".repeat(4096);
    let input =
        format!("GET /{long}\" HTTP/1.1\r\nCookie: {long}Content-Length: 5\r\n{long}: {long}\r\n\r\n");
    let expected = input.replacen('"', "%22", 1);
    assert_eq!(
        through(vec![format!("{input}{RAW}").into_bytes()], 1 << 16),
        format!("{expected}{ENCODED}").into_bytes()
    );
    let padded = format!(
        "POST / HTTP/1.1\r\nContent-Length: {}3\r\n\r\n\"\"\"{RAW}",
        " ".repeat(200)
    );
    assert_eq!(
        through(vec![padded.clone().into_bytes()], 1 << 16),
        padded.into_bytes()
    );
}

/// One request as hyper read it: method, decoded target, body.
type Seen = (String, String, Vec<u8>);

/// What a hyper server behind the front sees of `input`, delivered in pieces of `n_piece` bytes.
async fn seen_by_hyper(input: Vec<u8>, n_piece: usize) -> Vec<Seen> {
    let (mut client, server) = tokio::io::duplex(256);
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let sender = sender.clone();
        async move {
            let (parts, body) = request.into_parts();
            if let Ok(body) = body.collect().await {
                let uri = parts.uri.to_string();
                let target = percent_encoding::percent_decode_str(&uri)
                    .decode_utf8_lossy()
                    .into_owned();
                sender
                    .send((parts.method.to_string(), target, body.to_bytes().to_vec()))
                    .unwrap();
            }
            Ok::<_, Infallible>(hyper::Response::new(Full::new(Bytes::new())))
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        .serve_connection(TokioIo::new(Front::new(server)), service);
    let write = async move {
        let (mut reader, mut writer) = tokio::io::split(&mut client);
        let sending = async move {
            for piece in input.chunks(n_piece) {
                if writer.write_all(piece).await.is_err() {
                    return;
                }
            }
            writer.shutdown().await.unwrap_or_default();
        };
        let mut replies = Vec::new();
        let receiving = reader.read_to_end(&mut replies);
        let ((), received) = tokio::join!(sending, receiving);
        received.unwrap_or_default();
    };
    let (served, ()) = tokio::join!(connection, write);
    served.expect("every request in here is a good one");
    let mut all = Vec::new();
    while let Ok(one) = seen.try_recv() {
        all.push(one);
    }
    all
}

#[derive(Debug, Clone)]
struct AnyRequest {
    target: String,
    body: Vec<u8>,
    framing: usize,
}

impl AnyRequest {
    fn bytes(&self) -> Vec<u8> {
        let head = |method: &str, headers: String| {
            format!(
                "{method} {} HTTP/1.1\r\nHost: \"h\"\r\n{headers}\r\n",
                self.target
            )
            .into_bytes()
        };
        match self.framing {
            0 => head("GET", String::new()),
            1 => [
                head("POST", format!("Content-Length: {}\r\n", self.body.len())),
                self.body.clone(),
            ]
            .concat(),
            _ => {
                let mut bytes = head("POST", "Transfer-Encoding: chunked\r\n".into());
                for chunk in self.body.chunks(5) {
                    bytes.extend(format!("{:x};e=\"\"\r\n", chunk.len()).into_bytes());
                    bytes.extend([chunk, b"\r\n"].concat());
                }
                bytes.extend(b"0\r\n\r\n");
                bytes
            }
        }
    }

    fn seen(&self) -> Seen {
        let method = if self.framing == 0 { "GET" } else { "POST" };
        let body = if self.framing == 0 {
            Vec::new()
        } else {
            self.body.clone()
        };
        (method.into(), self.target.clone(), body)
    }
}

fn requests(target: &'static str) -> impl Strategy<Value = Vec<AnyRequest>> {
    let body = prop::collection::vec(prop::sample::select(b"GET /\"<\r\n0 H".to_vec()), 0..40);
    let one = (target, body, 0..3usize).prop_map(|(target, body, framing)| AnyRequest {
        target,
        body,
        framing,
    });
    prop::collection::vec(one, 1..5)
}

fn joined(requests: &[AnyRequest]) -> Vec<u8> {
    requests.iter().flat_map(AnyRequest::bytes).collect()
}

proptest! {
    #[test]
    fn valid_requests_pass_bit_for_bit(
        all in requests("/[a-z/]{0,8}(\\?[-a-zA-Z0-9._~!$&'()*+,;=:@/?%]{0,30})?"),
        n_piece in 1..60usize,
        n_buffer in 1..60usize,
    ) {
        let input = joined(&all);
        let pieces = input.chunks(n_piece).map(<[u8]>::to_vec).collect();
        prop_assert_eq!(through(pieces, n_buffer), input);
    }

    #[test]
    fn hyper_sees_every_request_with_its_raw_target_and_its_own_body(
        all in requests("/[a-z]{0,4}\\?[a-z=\"{}<>#`ä|]{0,20}"),
        n_piece in 1..60usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let seen = runtime.block_on(seen_by_hyper(joined(&all), n_piece));
        let expected: Vec<Seen> = all.iter().map(AnyRequest::seen).collect();
        prop_assert_eq!(seen, expected);
    }
}
