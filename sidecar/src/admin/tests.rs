use super::*;
use crate::net::http::{BUFFER_MAX, CONNECTIONS_MAX, HEADER_TIMEOUT};
use crate::stats::Phase;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn start() -> (SocketAddr, Arc<Stats>) {
    let stats = Arc::new(Stats::new(1));
    let at = "127.0.0.1:0".parse().unwrap();
    let listener = bind(&at).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, Arc::new(Admin::new(Arc::clone(&stats)))));
    (address, stats)
}

/// Everything that comes back for `request`, until the other side closes.
async fn exchange(at: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // a reset ends it as well as a close
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

async fn get(at: SocketAddr, path: &str) -> String {
    exchange(at, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await
}

#[tokio::test]
async fn livez_does_not_ask_whether_the_cache_is_there() {
    let (at, stats) = start().await;
    for phase in [Phase::Starting, Phase::MemcachedDown, Phase::Fenced, Phase::Ready] {
        stats.readiness.enter(phase);
        assert!(get(at, "/livez").await.starts_with("HTTP/1.1 200 "));
    }
}

#[tokio::test]
async fn readyz_follows_the_phase_and_says_why_not() {
    let (at, stats) = start().await;
    for (phase, code, reason) in [
        (Phase::Starting, 503, "memcached has not answered yet"),
        (Phase::Syncing, 503, "first sync"),
        (Phase::Ready, 200, "ready"),
        (Phase::Draining, 200, "draining"),
        (Phase::MemcachedDown, 503, "memcached does not answer"),
        (Phase::Stopping, 503, "stopping"),
    ] {
        stats.readiness.enter(phase);
        let answer = get(at, "/readyz").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{answer}");
        assert!(answer.split("\r\n\r\n").nth(1).unwrap().contains(reason), "{answer}");
    }
}

#[tokio::test]
async fn metrics_are_open_metrics() {
    let (at, _) = start().await;
    let answer = get(at, "/metrics").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains(&format!("content-type: {}\r\n", metrics::CONTENT_TYPE)), "{answer}");
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("# EOF\n"), "{answer}");
}

#[tokio::test]
async fn other_requests_are_refused() {
    let (at, _) = start().await;
    assert!(get(at, "/").await.starts_with("HTTP/1.1 404 "));
    let post = exchange(at, "POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").await;
    assert!(post.starts_with("HTTP/1.1 405 ") && post.contains("allow: GET, HEAD"), "{post}");
    let head = exchange(at, "HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(exchange(at, "set foo 0 0 3\r\nbar\r\n").await.starts_with("HTTP/1.1 400 "));
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(BUFFER_MAX));
    let answer = exchange(at, &long).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
}

#[tokio::test]
async fn connections_are_bounded_and_silent_ones_end() {
    let (at, _) = start().await;
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        silent.push(TcpStream::connect(at).await.unwrap());
    }
    assert_eq!(get(at, "/livez").await, "", "one more than the bound was answered");

    // they lose their places when the time for the head is over
    let mut buffer = [0; 64];
    let read = silent[0].read(&mut buffer);
    let read = tokio::time::timeout(HEADER_TIMEOUT + Duration::from_secs(5), read).await;
    assert!(read.is_ok(), "a silent connection stays");
    for stream in &mut silent {
        let _ = stream.read(&mut buffer).await;
    }
    assert!(get(at, "/livez").await.starts_with("HTTP/1.1 200 "));
}
