//! I/O: the server's side of the control port.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::ParsedCertificate;
use serde::de::DeserializeOwned;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::protocol::{
    BODY_MAX, CLUSTER, Cluster, FENCE, Fence, Id, Linked, OPERATOR_NAME, PEER, Peer, RESYNC, Resync, STATUS, Status,
    VERSION,
};
use crate::config::Config;
use crate::dataplane::discovery::{Discovery, Node};
use crate::life::messages::{Event, LinkReport, ToLink};
use crate::logging::Repeats;
use crate::net::http::{self, HEADER_TIMEOUT};
use crate::peer::transport::HANDSHAKE;
use crate::stats::{ResyncKind, Stats};
use crate::tls::Tls;

/// Connections at once; one more is closed unanswered. The operator needs one.
const CONNECTIONS_MAX: usize = 16;
/// A connection ends after this, whatever it does.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// Buffer of one connection, bytes.
const BUFFER_MAX: usize = 32 << 10;
/// How long the link thread may take to answer.
const LINK_TIMEOUT: Duration = Duration::from_secs(2);

/// What the control port tells of and steers.
#[derive(Debug)]
pub struct Control {
    /// What the program was told.
    pub config: Arc<Config>,
    /// This process.
    pub boot: u64,
    /// What is counted.
    pub stats: Arc<Stats>,
    /// Certificates.
    pub tls: Arc<Tls>,
    /// The link thread.
    pub link: mpsc::UnboundedSender<ToLink>,
    /// The main thread.
    pub events: mpsc::UnboundedSender<Event>,
    /// What the operator said last.
    pub told: Mutex<Option<Peer>>,
    /// What it said last of where clients reach the pair.
    pub cluster: Mutex<Option<Cluster>>,
    /// What the workers answer to clients that ask for that.
    pub discovery: Arc<Discovery>,
}

/// Why a request is not followed.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("there are GET {STATUS}, PUT {PEER}, PUT {CLUSTER}, POST {RESYNC} and POST {FENCE}")]
    Unknown,
    #[error("the body is longer than {BODY_MAX} bytes, or was cut off")]
    Body,
    #[error("not understood: {0}")]
    Json(#[from] serde_json::Error),
    #[error("too many addresses, or too long a UID or a name")]
    Bounds,
    #[error("this is process {0}")]
    OtherProcess(Id),
    #[error("there is no link")]
    NoLink,
    #[error("the link thread does not answer")]
    Stuck,
}

impl Refused {
    fn code(&self) -> StatusCode {
        match self {
            Self::Unknown => StatusCode::NOT_FOUND,
            Self::Body => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Json(_) | Self::Bounds => StatusCode::BAD_REQUEST,
            Self::OtherProcess(_) | Self::NoLink => StatusCode::CONFLICT,
            Self::Stuck => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Serves for ever. Dropping the future closes every connection.
pub async fn serve(listener: TcpListener, control: Arc<Control>) {
    let problems = Arc::new(Mutex::new(Repeats::default()));
    http::accept(listener, "control port", CONNECTIONS_MAX, |stream, address| {
        let (control, problems) = (Arc::clone(&control), Arc::clone(&problems));
        async move {
            if let Err(error) = converse(stream, control).await {
                let mut problems = problems.lock().unwrap_or_else(PoisonError::into_inner);
                if problems.is_news(&format!("{} {error}", address.ip())) {
                    tracing::warn!(%address, "refused at the control port: {error}");
                }
            }
        }
    })
    .await;
}

async fn converse(stream: TcpStream, control: Arc<Control>) -> io::Result<()> {
    let handshake = TlsAcceptor::from(control.tls.server()).accept(stream);
    let stream = timeout(HANDSHAKE, handshake).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    is_operator(&stream)?;
    let service = service_fn(move |request: Request<Incoming>| {
        let control = Arc::clone(&control);
        async move { Ok::<_, Infallible>(control.respond(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(BUFFER_MAX)
        .serve_connection(TokioIo::new(stream), service);
    // a caller that breaks off, or is too slow, is its own affair
    let _ = timeout(CONNECTION_TIMEOUT, connection).await;
    Ok(())
}

/// The certificate was found to be of the pair's CA; now its name.
fn is_operator(stream: &TlsStream<TcpStream>) -> io::Result<()> {
    let refused = |why: String| io::Error::new(io::ErrorKind::PermissionDenied, why);
    let (_, connection) = stream.get_ref();
    let leaf = connection.peer_certificates().and_then(<[_]>::first).ok_or_else(|| refused("no certificate".into()))?;
    let leaf = ParsedCertificate::try_from(leaf).map_err(|error| refused(error.to_string()))?;
    let name = ServerName::try_from(OPERATOR_NAME).map_err(|error| refused(error.to_string()))?;
    verify_server_name(&leaf, &name).map_err(|_| refused(format!("the certificate is not for {OPERATOR_NAME}")))
}

impl Control {
    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (code, body) = match self.follow(request).await {
            Ok(body) => (StatusCode::OK, body),
            Err(refused) => (refused.code(), serde_json::json!({"error": refused.to_string()}).to_string()),
        };
        let mut response = Response::new(Full::new(body.into()));
        *response.status_mut() = code;
        response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
        response
    }

    async fn follow(&self, request: Request<Incoming>) -> Result<String, Refused> {
        match (request.method().clone(), request.uri().path()) {
            (Method::GET, STATUS) => Ok(serde_json::to_string(&self.status().await?)?),
            (Method::PUT, PEER) => {
                let peer: Peer = read(request).await?;
                self.tell(peer).await?;
                Ok("{}".to_owned())
            }
            (Method::PUT, CLUSTER) => {
                self.announce(read(request).await?)?;
                Ok("{}".to_owned())
            }
            (Method::POST, RESYNC) => match self.ask(|done| ToLink::Resync { done }).await? {
                true => Ok("{}".to_owned()),
                false => Err(Refused::NoLink),
            },
            (Method::POST, FENCE) => {
                let fence: Fence = read(request).await?;
                if fence.boot != Id(self.boot) {
                    return Err(Refused::OtherProcess(Id(self.boot)));
                }
                tracing::error!("the operator says that another process has this replica id");
                let _ = self.events.send(Event::Fence);
                Ok("{}".to_owned())
            }
            _ => Err(Refused::Unknown),
        }
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> ToLink) -> Result<T, Refused> {
        let (done, answer) = oneshot::channel();
        let _ = self.link.send(question(done));
        match timeout(LINK_TIMEOUT, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(Refused::Stuck),
        }
    }

    async fn tell(&self, peer: Peer) -> Result<(), Refused> {
        if !peer.is_bounded() {
            return Err(Refused::Bounds);
        }
        match &peer.pod {
            Some(pod) => tracing::info!(uid = pod.uid, addresses = ?pod.addresses, "the operator says who the peer is"),
            None => tracing::info!("the operator says that there is no peer"),
        }
        self.ask(|done| ToLink::Wire { peer: peer.clone(), done }).await?;
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(peer);
        Ok(())
    }

    fn announce(&self, cluster: Cluster) -> Result<(), Refused> {
        if !cluster.is_bounded() {
            return Err(Refused::Bounds);
        }
        let addresses: Vec<String> = cluster.nodes.iter().map(|node| node.address.to_string()).collect();
        let nodes: Vec<Node<'_>> = cluster
            .nodes
            .iter()
            .zip(&addresses)
            .map(|(node, address)| Node { host: &node.host, address, port: node.port })
            .collect();
        tracing::info!(version = cluster.version, ?nodes, "the operator says where clients reach the pair");
        self.discovery.set(cluster.version, &nodes);
        *self.cluster.lock().unwrap_or_else(PoisonError::into_inner) = Some(cluster);
        Ok(())
    }

    async fn status(&self) -> Result<Status, Refused> {
        let report: LinkReport = self.ask(|done| ToLink::Report { done }).await?;
        let (link, phase) = (&self.stats.replication, self.stats.readiness.phase());
        let kind = usize::try_from(link.last_resync_kind.get()).unwrap_or_default();
        let kind = ResyncKind::ALL.get(kind).copied().unwrap_or(ResyncKind::None);
        let resync = (kind != ResyncKind::None).then(|| Resync {
            kind: kind.as_str().to_owned(),
            running: link.resync_kind.get() != 0,
            items_done: link.resync_items_done.get(),
            items_total: link.resync_items_total.get(),
            duration_ms: link.resync_duration_ms.get(),
        });
        Ok(Status {
            protocol: VERSION,
            release: env!("CARGO_PKG_VERSION").to_owned(),
            pair: self.config.pair_id.clone(),
            replica: self.config.replica_id,
            boot: Id(self.boot),
            incarnation: Id(report.incarnation),
            phase: phase.state().to_owned(),
            reason: phase.reason().to_owned(),
            ready: phase.is_ready(),
            cold: report.cold,
            synced: report.synced,
            linked: report.linked.map(|(boot, incarnation, filled)| Linked {
                boot: Id(boot),
                incarnation: Id(incarnation),
                filled,
            }),
            told: self.told.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            lag_us: link.lag_us.get(),
            backlog_items: link.backlog_items.get(),
            items: self.stats.memcached.items.get(),
            bytes: self.stats.memcached.bytes.get(),
            cold_starts: link.cold_starts.get(),
            resync,
            certificates: self.tls.fingerprints(),
            cluster: self.cluster.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        })
    }
}

async fn read<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Refused> {
    let body = Limited::new(request.into_body(), BODY_MAX).collect().await.map_err(|_| Refused::Body)?;
    Ok(serde_json::from_slice(&body.to_bytes())?)
}

#[cfg(test)]
mod tests;
