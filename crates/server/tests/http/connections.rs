//! Through real sockets: raw request targets, keep-alive, large bodies, the end of a server.

use std::net::SocketAddr;
use std::time::Duration;

use server::{Config, Listener, listener};
use storage::StoreConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::support::{World, compress, label_bytes, pairs};

/// A world behind a port.
struct Live {
    world: World,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Live {
    async fn start(change: impl FnOnce(&mut listener::Config)) -> Self {
        let world = World::closed(Config::default());
        let mut config = listener::Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            ..listener::Config::default()
        };
        change(&mut config);
        let listener = Listener::bind(config).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let serving = tokio::spawn(listener.serve(world.server.router(), stopped));
        world.open(StoreConfig::default());
        Self {
            world,
            address,
            stop,
            serving,
        }
    }

    /// Waits until `/metrics` has this line.
    async fn wait_for(&self, line: &str) {
        while !self
            .world
            .get("/metrics")
            .await
            .text()
            .lines()
            .any(|found| found == line)
        {
            tokio::task::yield_now().await;
        }
    }

    async fn connect(&self) -> Connection {
        Connection(TcpStream::connect(self.address).await.unwrap())
    }
}

struct Connection(TcpStream);

impl Connection {
    async fn send(&mut self, text: impl AsRef<[u8]>) {
        self.0.write_all(text.as_ref()).await.unwrap();
    }

    /// Status and body of the next answer, which has a content length.
    async fn answer(&mut self) -> (u16, String) {
        let mut bytes = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "));
                let length: usize = length.map_or(0, |length| length.parse().unwrap());
                if body.len() >= length {
                    assert_eq!(body.len(), length, "more than one answer came");
                    return (status, body.to_owned());
                }
            }
            assert_ne!(
                self.0.read_buf(&mut bytes).await.unwrap(),
                0,
                "closed after {text:?}"
            );
        }
    }

    async fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        matches!(self.0.read(&mut byte).await, Ok(0) | Err(_))
    }
}

fn write_request(labels: &str, n_samples: usize) -> Vec<u8> {
    let mut encoder = wire::remote_write::v1::Encoder::default();
    let samples: Vec<(i64, f64)> = (0..n_samples as i64).map(|i| (-i, i as f64)).collect();
    encoder.push_series(&label_bytes(&pairs(labels)), &crate::support::at_now(&samples));
    let body = compress(encoder.body());
    let head = format!(
        "POST /api/v1/write?x=\"raw\" HTTP/1.1\r\nhost: x\r\ncontent-encoding: snappy\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

const QUERY: &str = "GET /api/v1/query?query=count({__name__=~\"x|y\"}) HTTP/1.1\r\nhost: x\r\n\r\n";
const FEDERATE: &str = "GET /federate?match[]={__name__=~\"x|y\"} HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test]
async fn raw_targets_and_bodies_share_a_connection() {
    let live = Live::start(|_| {}).await;
    let mut connection = live.connect().await;
    for round in 1..4 {
        connection
            .send(write_request(&format!("x{{round=\"{round}\"}}"), 3))
            .await;
        assert_eq!(connection.answer().await.0, 204);
        connection.send(QUERY).await;
        let (status, body) = connection.answer().await;
        assert!(
            status == 200 && body.contains(&format!("\"{round}\"]")),
            "{status} {body}"
        );
        for piece in FEDERATE.as_bytes().chunks(5) {
            connection.send(piece).await;
            tokio::task::yield_now().await;
        }
        let (status, body) = connection.answer().await;
        assert!(
            status == 200 && body.starts_with("# TYPE x untyped\n"),
            "{status} {body}"
        );
        assert_eq!(body.lines().count(), 1 + round);
    }
}

#[tokio::test]
async fn a_large_body_passes_behind_a_rewritten_target() {
    let live = Live::start(|_| {}).await;
    let mut connection = live.connect().await;
    let request = write_request("x", 200_000);
    assert!(request.len() > 1 << 20, "{}", request.len());
    connection.send(&request).await;
    assert_eq!(connection.answer().await, (204, String::new()));
    connection
        .send("GET /api/v1/query?query=count_over_time(x[1h]) HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
    let (_, body) = connection.answer().await;
    assert!(body.contains("\"200000\"]"), "{body}");
}

#[tokio::test]
async fn http_2_without_upgrade_is_spoken_too() {
    let live = Live::start(|_| {}).await;
    let mut connection = live.connect().await;
    connection
        .send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await;
    let mut frame = [0; 9];
    connection.0.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame[3], 4, "not a SETTINGS frame: {frame:?}");
}

#[tokio::test]
async fn more_connections_than_allowed_have_to_wait() {
    let live = Live::start(|config| config.connections_max = 1).await;
    let mut first = live.connect().await;
    first.send(QUERY).await;
    assert_eq!(first.answer().await.0, 200);
    let mut second = live.connect().await;
    second.send(QUERY).await;
    let waiting = tokio::time::timeout(Duration::from_millis(100), second.answer()).await;
    assert!(waiting.is_err());
    drop(first);
    assert_eq!(second.answer().await.0, 200);
}

#[tokio::test]
async fn idle_connections_and_slow_heads_are_closed() {
    let live = Live::start(|config| config.head_timeout = Duration::from_millis(50)).await;
    let mut idle = live.connect().await;
    let mut slow = live.connect().await;
    slow.send("GET /-/ready HTTP/1.1\r\nhost:").await;
    let both = async { idle.is_closed().await && slow.is_closed().await };
    assert!(tokio::time::timeout(Duration::from_secs(5), both).await.unwrap());
}

#[tokio::test]
async fn a_stopping_server_lets_requests_end_and_closes_idle_connections() {
    let live = Live::start(|_| {}).await;
    let mut idle = live.connect().await;
    idle.send(QUERY).await;
    idle.answer().await;
    let mut busy = live.connect().await;
    let request = write_request("x", 3);
    let (first, rest) = request.split_at(request.len() - 5);
    busy.send(first).await;
    // The request has to be under way before the server stops.
    live.wait_for("meshtide_write_requests_active 1").await;
    live.stop.send_replace(true);
    assert!(idle.is_closed().await);
    busy.send(rest).await;
    assert_eq!(busy.answer().await.0, 204);
    assert!(busy.is_closed().await);
    live.serving.await.unwrap();
    assert!(TcpStream::connect(live.address).await.is_err());
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_off_after_the_drain_timeout() {
    let live = Live::start(|config| config.drain_timeout = Duration::from_millis(50)).await;
    let mut busy = live.connect().await;
    let request = write_request("x", 3);
    busy.send(&request[..request.len() - 5]).await;
    live.wait_for("meshtide_write_requests_active 1").await;
    live.stop.send_replace(true);
    tokio::time::timeout(Duration::from_secs(5), live.serving)
        .await
        .unwrap()
        .unwrap();
    assert!(busy.is_closed().await);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_no_room_taken() {
    let live = Live::start(|_| {}).await;
    let mut busy = live.connect().await;
    let request = write_request("x", 3);
    busy.send(&request[..request.len() - 5]).await;
    live.wait_for("meshtide_write_requests_active 1").await;
    drop(busy);
    live.wait_for("meshtide_write_requests_active 0").await;
    let page = live.world.get("/metrics").await.text();
    assert!(page.contains("meshtide_write_active_body_bytes 0\n"), "{page}");
}
