//! Ports with few callers: connections up to a bound, and on each of them one request of plain HTTP/1.
//!
//! Bounds on everything: whoever reaches such a port must not be able to disturb the program.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Connections at once to a port of [`serve`]; one more is closed unanswered. Probes and a scraper need two or three.
pub const CONNECTIONS_MAX: usize = 64;
/// A request's head must be complete within this.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection of [`serve`] ends after this, whatever it does.
pub const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// Buffer of one connection of [`serve`], bytes; a longer head is refused.
pub const BUFFER_MAX: usize = 16 << 10;
/// Pause after accept() failed for want of file descriptors, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts for ever and has `converse` talk with whoever comes, `most` at once; one more is closed unanswered. `port` is
/// what the log calls it. Dropping the future closes every connection.
pub async fn accept<F: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    port: &str,
    most: usize,
    converse: impl Fn(TcpStream, SocketAddr) -> F,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = listener.accept().await;
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, address)) if connections.len() < most => {
                connections.spawn(converse(stream, address));
            }
            Ok((stream, _)) => drop(stream),
            Err(error) => {
                tracing::warn!("{port}: accept failed: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves for ever, one request per connection. Dropping the future closes every connection.
pub async fn serve(
    listener: TcpListener,
    port: &str,
    answer: impl Fn(&Method, &str) -> Response<Full<Bytes>> + Clone + Send + Sync + 'static,
) {
    accept(listener, port, CONNECTIONS_MAX, |stream, _| converse(stream, answer.clone())).await;
}

async fn converse(stream: TcpStream, answer: impl Fn(&Method, &str) -> Response<Full<Bytes>> + Send + Sync) {
    let service = service_fn(|request: Request<Incoming>| {
        std::future::ready(Ok::<_, Infallible>(answer(request.method(), request.uri().path())))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(BUFFER_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // a caller that breaks off, or is too slow, is its own affair
    let _ = timeout(CONNECTION_TIMEOUT, connection).await;
}
