//! The admin port: `/livez`, `/readyz` and `/metrics` over plain HTTP/1.
//!
//! `/livez` only says that this thread still runs; it never depends on memcached.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use hyper::{Method, Response, StatusCode};
use std::io;
use std::sync::Arc;
use tokio::net::TcpListener;

use crate::config::HostPort;
use crate::metrics::{self, Metrics};
use crate::net::http;
use crate::stats::Stats;

/// What the admin port tells of.
#[derive(Debug)]
pub struct Admin {
    stats: Arc<Stats>,
    metrics: Metrics,
}

impl Admin {
    /// Tells of `stats`.
    #[must_use]
    pub fn new(stats: Arc<Stats>) -> Self {
        let metrics = Metrics::new(Arc::clone(&stats));
        Self { stats, metrics }
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            let allow = hyper::header::HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(ALLOW, allow);
            return response;
        }
        match path {
            "/livez" => text(StatusCode::OK, "alive\n"),
            "/readyz" => {
                let phase = self.stats.readiness.phase();
                let code = match phase.is_ready() {
                    true => StatusCode::OK,
                    false => StatusCode::SERVICE_UNAVAILABLE,
                };
                text(code, format!("{}\n", phase.reason()))
            }
            "/metrics" => body(StatusCode::OK, metrics::CONTENT_TYPE, self.metrics.text().into()),
            _ => text(StatusCode::NOT_FOUND, "there are /livez, /readyz and /metrics\n"),
        }
    }
}

fn text(code: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    body(code, "text/plain; charset=utf-8", text.into())
}

fn body(code: StatusCode, kind: &'static str, bytes: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(bytes));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-store"));
    response
}

/// Listens at the first address of `at` that works.
///
/// # Errors
/// Why the last address did not work.
pub async fn bind(at: &HostPort) -> io::Result<TcpListener> {
    TcpListener::bind(at.listening()?.as_slice()).await
}

/// Serves for ever. Dropping the future closes every connection.
pub async fn serve(listener: TcpListener, admin: Arc<Admin>) {
    http::serve(listener, "admin port", move |method, path| admin.answer(method, path)).await;
}

#[cfg(test)]
mod tests;
