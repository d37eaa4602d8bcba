//! The admin port: `/livez`, `/readyz` and `/metrics` over plain HTTP/1.
//!
//! One request per connection, and bounds on everything: whoever reaches this port must not be able to disturb the
//! cache. `/livez` only says that this thread still runs; it never depends on memcached.

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::config::HostPort;
use crate::metrics::{self, Metrics};
use crate::stats::Stats;

/// Connections at once; one more is closed unanswered. Probes and a scraper need two or three.
pub const CONNECTIONS_MAX: usize = 64;
/// A request's head must be complete within this.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection ends after this, whatever it does.
pub const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// Buffer of one connection, bytes; a longer head is refused.
const BUFFER_MAX: usize = 16 << 10;
/// Pause after accept() failed for want of file descriptors, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
    let mut connections = JoinSet::new();
    loop {
        let accepted = listener.accept().await;
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) if connections.len() < CONNECTIONS_MAX => {
                connections.spawn(converse(stream, Arc::clone(&admin)));
            }
            Ok((stream, _)) => drop(stream),
            Err(error) => {
                tracing::warn!("admin port: accept failed: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, admin: Arc<Admin>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = admin.answer(request.method(), request.uri().path());
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(BUFFER_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // a caller that breaks off, or is too slow, is its own affair
    let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
}

#[cfg(test)]
mod tests;
