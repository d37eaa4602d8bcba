//! `/metrics`, `/livez` and `/readyz` of the operator.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{Response, StatusCode};
use sidecar::net::http;
use tokio::net::TcpListener;

use crate::metrics::Metrics;

/// What is told.
#[derive(Debug, Default)]
pub struct Health {
    /// The API server was reached, and this process works or waits for its turn.
    pub ready: AtomicBool,
    /// The numbers.
    pub metrics: Metrics,
}

/// Serves for ever.
pub async fn serve(listener: TcpListener, health: Arc<Health>) {
    http::serve(listener, "metrics and probes", move |_, path| health.answer(path)).await;
}

impl Health {
    fn answer(&self, path: &str) -> Response<Full<Bytes>> {
        let text = "text/plain; charset=utf-8";
        let (code, kind, body) = match path {
            "/livez" => (StatusCode::OK, text, "alive\n".to_owned()),
            "/readyz" if self.ready.load(Ordering::Acquire) => (StatusCode::OK, text, "ready\n".to_owned()),
            "/readyz" => (StatusCode::SERVICE_UNAVAILABLE, text, "the API server has not answered yet\n".to_owned()),
            "/metrics" => (StatusCode::OK, sidecar::metrics::CONTENT_TYPE, self.metrics.text()),
            _ => (StatusCode::NOT_FOUND, text, "there are /livez, /readyz and /metrics\n".to_owned()),
        };
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = code;
        response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
        response
    }
}
