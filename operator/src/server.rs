//! `/metrics`, `/livez` and `/readyz` of the operator.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::metrics::Metrics;

/// Connections at once; one more is closed unanswered.
const CONNECTIONS_MAX: usize = 64;
/// A request's head must be complete within this.
const HEADER_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection ends after this.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after accept failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
    let mut connections = JoinSet::new();
    loop {
        let accepted = listener.accept().await;
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) if connections.len() < CONNECTIONS_MAX => {
                connections.spawn(converse(stream, Arc::clone(&health)));
            }
            Ok((stream, _)) => drop(stream),
            Err(error) => {
                tracing::warn!("metrics and probes: accept failed: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, health: Arc<Health>) {
    let service = service_fn(move |request: Request<Incoming>| {
        std::future::ready(Ok::<_, Infallible>(health.answer(request.uri().path())))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // a caller that breaks off is its own affair
    let _ = timeout(CONNECTION_TIMEOUT, connection).await;
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
