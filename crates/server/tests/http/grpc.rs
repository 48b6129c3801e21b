//! OTLP over gRPC: calls of a real client, tonic's, through the router up to the store.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Request, Uri};
use bytes::{Buf, BufMut};
use serde_json::{Value, json};
use server::Config;
use storage::StoreConfig;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Status};
use wire::otlp::json::to_protobuf;

use crate::support::{Answer, NOW_MS, World, partial_success_of, send_to};

const EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

/// Messages as bytes, both ways.
#[derive(Debug, Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining()).to_vec()))
    }
}

async fn call(
    world: &World,
    path: &'static str,
    compression: Option<CompressionEncoding>,
    message: Vec<u8>,
) -> Result<Vec<u8>, Status> {
    let origin = Uri::from_static("http://meshtide.test");
    let mut client = tonic::client::Grpc::with_origin(world.server.otlp_router(), origin);
    if let Some(compression) = compression {
        client = client.send_compressed(compression);
    }
    client.ready().await.unwrap();
    let path = path.parse().unwrap();
    let answer = client.unary(tonic::Request::new(message), path, Raw).await;
    answer.map(tonic::Response::into_inner)
}

async fn export(world: &World, message: Vec<u8>) -> Result<Vec<u8>, Status> {
    call(world, EXPORT, None, message).await
}

fn gauge(name: &str, value: f64) -> Vec<u8> {
    let point = json!({"timeUnixNano": format!("{NOW_MS}000000"), "asDouble": value});
    message(&json!({"name": name, "gauge": {"dataPoints": [point]}}))
}

fn message(metric: &Value) -> Vec<u8> {
    let request = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]});
    to_protobuf(request.to_string().as_bytes()).unwrap()
}

async fn value_of(world: &World, query: &str) -> Value {
    let time = NOW_MS / 1_000;
    let data = world
        .data(&format!("/api/v1/query?query={query}&time={time}"))
        .await;
    data["result"][0]["value"][1].clone()
}

fn open_world() -> World {
    let world = World::closed(Config::default());
    world.open(StoreConfig::default());
    world
}

#[tokio::test]
async fn calls_are_stored_whatever_their_compression() {
    let world = open_world();
    let compressions = [
        None,
        Some(CompressionEncoding::Gzip),
        Some(CompressionEncoding::Deflate),
        Some(CompressionEncoding::Zstd),
    ];
    for (number, compression) in compressions.into_iter().enumerate() {
        let name = format!("g{number}");
        let answer = call(&world, EXPORT, compression, gauge(&name, 2.5)).await;
        assert_eq!(answer.unwrap(), b"", "whole success says nothing");
        assert_eq!(value_of(&world, &name).await, "2.5");
    }
}

#[tokio::test]
async fn an_empty_request_is_a_success() {
    let world = open_world();
    assert_eq!(export(&world, Vec::new()).await.unwrap(), b"");
}

#[tokio::test]
async fn a_partial_success_is_in_the_reply() {
    let world = open_world();
    let point = json!({"timeUnixNano": format!("{NOW_MS}000000"), "asInt": "3"});
    let delta = json!({"name": "d", "sum": {"aggregationTemporality": 1, "dataPoints": [point, point]}});
    let answer = export(&world, message(&delta)).await.unwrap();
    let (n_rejected, text) = partial_success_of(&answer).unwrap();
    assert_eq!(n_rejected, 2);
    assert!(text.contains("TEMPORALITY_PREFERENCE"), "{text}");
}

#[tokio::test]
async fn what_cannot_be_read_is_an_invalid_argument_with_details() {
    let world = open_world();
    let status = export(&world, vec![10, 200]).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("protobuf"), "{}", status.message());
    let details = String::from_utf8_lossy(status.details()).into_owned();
    assert!(details.contains("google.rpc.BadRequest"), "{details}");
}

#[tokio::test]
async fn what_is_too_large_is_exhausted_and_nobody_is_asked_to_come_again() {
    let mut config = Config::default();
    config.ingest.limits.otlp_bytes = 10_000;
    let world = World::closed(config);
    world.open(StoreConfig::default());
    for compression in [
        None,
        Some(CompressionEncoding::Gzip),
        Some(CompressionEncoding::Zstd),
    ] {
        let status = call(&world, EXPORT, compression, vec![0; 10_001]).await;
        let status = status.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{compression:?}");
        assert_eq!(status.details(), b"");
    }
}

#[tokio::test]
async fn overload_and_replay_are_unavailable_and_say_when_to_come_again() {
    let mut config = Config::default();
    config.ingest.requests_max = 0;
    let world = World::closed(config);
    for is_open in [false, true] {
        if is_open {
            world.open(StoreConfig::default());
        }
        let status = export(&world, gauge("g", 1.0)).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        let details = String::from_utf8_lossy(status.details()).into_owned();
        assert!(details.contains("google.rpc.RetryInfo"), "{details}");
    }
}

#[tokio::test]
async fn other_services_are_unimplemented() {
    let world = open_world();
    let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let status = call(&world, path, None, Vec::new()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("only metrics"), "{}", status.message());
}

async fn send_raw(world: &World, encoding: &str, body: Body) -> Answer {
    let request = Request::post(EXPORT)
        .header("content-type", "application/grpc")
        .header("grpc-encoding", encoding)
        .body(body)
        .unwrap();
    send_to(world.server.otlp_router(), request).await
}

#[tokio::test]
async fn an_unknown_compression_is_answered_with_the_known_ones() {
    let world = open_world();
    let answer = send_raw(&world, "br", Body::from(wire::grpc::frame(b""))).await;
    assert_eq!(answer.header("grpc-status"), Some("12"));
    let known = answer.header("grpc-accept-encoding").unwrap();
    assert!(known.contains("gzip") && known.contains("zstd"), "{known}");
}

#[tokio::test]
async fn frames_that_are_none_are_refused() {
    let world = open_world();
    for (body, encoding) in [
        (&b""[..], "identity"),
        (&[0, 0, 0, 0, 9, 1], "identity"),
        (&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "identity"),
        (&[1, 0, 0, 0, 1, 1], "identity"),
        (&[1, 0, 0, 0, 1, 1], "gzip"),
    ] {
        let answer = send_raw(&world, encoding, Body::from(body)).await;
        assert_eq!(answer.header("grpc-status"), Some("3"), "{body:?}");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_within_its_message_leaves_nothing_behind() {
    let world = open_world();
    let half: Result<Bytes, std::io::Error> = Ok(Bytes::from_static(&[0, 0, 0, 1, 0, 1, 2]));
    let stream = futures::StreamExt::chain(
        futures::stream::iter([half]),
        futures::stream::pending::<Result<Bytes, std::io::Error>>(),
    );
    let sending = send_raw(&world, "identity", Body::from_stream(stream));
    assert!(
        tokio::time::timeout(Duration::from_millis(50), sending)
            .await
            .is_err()
    );
    let page = world.get("/metrics").await.text();
    for line in [
        "meshtide_write_requests_active 0",
        "meshtide_write_active_body_bytes 0",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}");
    }
}

#[tokio::test]
async fn the_main_port_takes_calls_too_and_the_ports_of_otlp_take_http() {
    let world = open_world();
    let request = Request::post(EXPORT)
        .header("content-type", "application/grpc+proto")
        .body(Body::from(wire::grpc::frame(&gauge("a", 1.0))))
        .unwrap();
    let answer = world.send(request).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, [0, 0, 0, 0, 0]);
    let request = Request::post("/v1/metrics")
        .header("content-type", "application/x-protobuf")
        .body(Body::from(gauge("b", 1.0)))
        .unwrap();
    let answer = send_to(world.server.otlp_router(), request).await;
    assert_eq!(answer.status, 200);
    assert_eq!(value_of(&world, "count({__name__=~\"a|b\"})").await, "2");
}
