//! `POST /api/v1/sql`: a statement in, rows out while they are computed.
//!
//! The first piece of the answer is waited for, so that whatever goes wrong until then has its own status. What goes
//! wrong later is told at the end of a JSON document; CSV and Arrow have no place for it, so the connection is cut
//! and no client takes the part for the whole. When the client goes away the statement stops.

mod arrow;
mod csv;
mod json;
mod request;
mod writer;

use std::io;

use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use http_body_util::StreamBody;
use hyper::body::Frame;
use query::QueryError;
use query::sql::{SqlRequest, SqlResult};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub use writer::{SqlFormat, SqlWriter};

use crate::app::{App, IfReady};
use crate::error::{ApiError, ErrorKind};
use crate::reply::{self, ApiResult, Encoder, PIECE_BYTES, PIECES_AHEAD, Reply};
use request::SqlQuery;
use writer::unwritable;

/// Answers one statement.
pub(crate) async fn sql(State(app): State<App>, ready: IfReady, reply: Reply, query: SqlQuery) -> ApiResult {
    let engine = &ready.opened.engine;
    let format = query.format;
    let result = engine
        .sql(SqlRequest {
            text: query.text,
            now_ms: app.clock.now_ms(),
            timeout: query.timeout,
        })
        .await?;
    let answer = Answer {
        writer: SqlWriter::new(format, result.schema()).map_err(|error| unwritable(&error))?,
        result,
        bytes_max: engine.options().sql.result_bytes_max,
        n_bytes: 0,
        is_over: false,
    };
    // Writing is work for the threads of queries; dropping this handler drops the set and stops it.
    let work = engine.handle();
    let mut first = JoinSet::new();
    first.spawn_on(
        async move {
            let mut answer = answer;
            let piece = answer.piece().await?;
            Ok::<_, ApiError>((answer, piece))
        },
        &work,
    );
    let (answer, piece): (Answer, Vec<u8>) = match first.join_next().await {
        Some(Ok(outcome)) => outcome?,
        _ => return Err(ApiError::new(ErrorKind::Internal, "the statement stopped")),
    };
    let gzip = reply.gzip();
    let encoder = gzip.then(reply::encoder);
    let (sender, mut receiver) = mpsc::channel(PIECES_AHEAD);
    // The task ends with the receiver, which the connection owns.
    drop(work.spawn(send_all(answer, piece, encoder, sender)));
    let frames = futures::stream::poll_fn(move |cx| {
        let next = receiver.poll_recv(cx);
        next.map(|piece| piece.map(|piece: io::Result<Bytes>| piece.map(Frame::data)))
    });
    Ok(reply::response(
        format.content_type(),
        gzip,
        Body::new(StreamBody::new(frames)),
    ))
}

/// A result on its way out.
struct Answer {
    result: SqlResult,
    writer: SqlWriter,
    bytes_max: usize,
    /// Written so far.
    n_bytes: usize,
    is_over: bool,
}

impl Answer {
    /// The next piece: about [`PIECE_BYTES`], or all that is left.
    async fn piece(&mut self) -> Result<Vec<u8>, ApiError> {
        let mut piece = self.writer.take();
        while !self.is_over && piece.len() < PIECE_BYTES {
            match self.result.next().await {
                Some(batch) => self.writer.push(&batch?).map_err(|error| unwritable(&error))?,
                None => {
                    self.is_over = true;
                    let (stats, warnings) = (self.result.stats(), self.result.warnings());
                    self.writer
                        .finish(stats, &warnings)
                        .map_err(|error| unwritable(&error))?;
                }
            }
            piece.append(&mut self.writer.take());
        }
        self.n_bytes += piece.len();
        if self.n_bytes > self.bytes_max {
            return Err(ApiError::from(QueryError::ResultTooLarge {
                what: "bytes",
                limit: self.bytes_max as u64,
            }));
        }
        Ok(piece)
    }
}

async fn send_all(
    mut answer: Answer,
    first: Vec<u8>,
    mut encoder: Option<Encoder>,
    sender: mpsc::Sender<io::Result<Bytes>>,
) {
    let mut piece = first;
    loop {
        let ready = match &mut encoder {
            None => Bytes::from(std::mem::take(&mut piece)),
            Some(encoder) => {
                encoder.push(&piece);
                encoder.take()
            }
        };
        if !ready.is_empty() && sender.send(Ok(ready)).await.is_err() {
            return;
        }
        if answer.is_over {
            break;
        }
        // A reader that went away is noticed while the statement computes, too.
        let next = tokio::select! {
            next = answer.piece() => next,
            () = sender.closed() => return,
        };
        piece = match next {
            Ok(piece) => piece,
            Err(error) => {
                answer.is_over = true;
                if !answer.writer.fail(&error) {
                    drop(sender.send(Err(io::Error::other(error.message))).await);
                    return;
                }
                answer.writer.take()
            }
        };
    }
    if let Some(encoder) = encoder {
        // Whether the reader is still there no longer matters.
        drop(sender.send(Ok(encoder.finish())).await);
    }
}
