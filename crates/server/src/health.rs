//! Probes: `/-/healthy` and `/-/ready`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};

use crate::app::App;

/// The process answers.
pub(crate) async fn healthy() -> &'static str {
    "Meshtide is Healthy.\n"
}

/// The log has been replayed and the server is not about to end.
pub(crate) async fn ready(State(app): State<App>) -> Response {
    if app.ready().is_none() || app.is_stopping() {
        return app.not_ready();
    }
    "Meshtide is Ready.\n".into_response()
}
