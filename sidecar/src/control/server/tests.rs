use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use std::net::SocketAddr;
use std::path::Path;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::*;
use crate::control::protocol::{PeerPod, SIDECAR_NAME};
use crate::tls::peer_name;

fn authority() -> Issuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    Issuer::new(params, KeyPair::generate().unwrap())
}

/// Files of `--tls-dir` with a leaf of this name.
fn files(ca: &Issuer<'static, KeyPair>, name: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    let leaf = params.signed_by(&key, ca).unwrap();
    let write = |file: &str, text: String| std::fs::write(dir.path().join(file), text).unwrap();
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    write("ca.crt", authority.self_signed(ca.key()).unwrap().pem());
    write("tls.crt", leaf.pem());
    write("tls.key", key.serialize_pem());
    dir
}

fn load(dir: &Path) -> Arc<Tls> {
    Arc::new(Tls::load(dir).unwrap())
}

/// A control port whose link thread does what it is told, and says so.
struct Served {
    at: SocketAddr,
    told: mpsc::UnboundedReceiver<&'static str>,
    events: mpsc::UnboundedReceiver<Event>,
    discovery: Arc<Discovery>,
}

async fn start(tls: Arc<Tls>) -> Served {
    let arguments = ["--memcached=unix:/m", "--pair-id=pair", "--replica-id=1", "--tls-dir=/t"];
    let config = Config::read(arguments.map(Into::into), |_| None).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let ((link, mut commands), (sender, events)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
    let (say, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(command) = commands.recv().await {
            let name = match command {
                ToLink::Report { done } => {
                    let linked = Some((2, 3, true));
                    let _ = done.send(LinkReport { incarnation: 1, synced: true, cold: false, linked });
                    "report"
                }
                ToLink::Wire { done, .. } => {
                    let _ = done.send(());
                    "wire"
                }
                ToLink::Resync { done } => {
                    let _ = done.send(false);
                    "resync"
                }
                _ => "other",
            };
            let _ = say.send(name);
        }
    });
    let discovery = Arc::<Discovery>::default();
    let control = Control {
        config: Arc::new(config),
        boot: 0xb007,
        stats: Arc::new(Stats::new(1)),
        tls,
        link,
        events: sender,
        told: Mutex::new(None),
        cluster: Mutex::new(None),
        discovery: Arc::clone(&discovery),
    };
    tokio::spawn(serve(listener, Arc::new(control)));
    Served { at, told, events, discovery }
}

/// What comes back for a request, as far as anything does.
async fn exchange(at: SocketAddr, tls: &Tls, request: &str) -> String {
    let stream = TcpStream::connect(at).await.unwrap();
    let mut answer = String::new();
    if let Ok(mut stream) = TlsConnector::from(tls.client()).connect(peer_name(), stream).await {
        let _ = stream.write_all(request.as_bytes()).await;
        let _ = stream.read_to_string(&mut answer).await;
    }
    answer
}

fn request(method: &str, path: &str, body: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

#[tokio::test]
async fn only_the_operator_of_this_pair_is_answered() {
    let ca = authority();
    let sidecar = files(&ca, SIDECAR_NAME);
    let mut served = start(load(sidecar.path())).await;
    let get = request("GET", STATUS, "");
    let (stranger, operator) = (files(&authority(), OPERATOR_NAME), files(&ca, OPERATOR_NAME));
    // The stranger trusts the pair's CA, but is not of it.
    std::fs::copy(sidecar.path().join("ca.crt"), stranger.path().join("ca.crt")).unwrap();
    for other in [&stranger, &sidecar] {
        assert_eq!(exchange(served.at, &load(other.path()), &get).await, "");
    }
    assert!(served.told.try_recv().is_err());

    let answer = exchange(served.at, &load(operator.path()), &get).await;
    let status: Status = serde_json::from_str(body(&answer)).unwrap();
    assert_eq!((status.pair.as_str(), status.replica, status.boot), ("pair", 1, Id(0xb007)));
    assert_eq!(status.linked, Some(Linked { boot: Id(2), incarnation: Id(3), filled: true }));
    assert_eq!(status.certificates, load(sidecar.path()).fingerprints());
}

#[tokio::test]
async fn the_sidecar_remembers_what_it_was_told_and_refuses_what_is_not_for_it() {
    let ca = authority();
    let (sidecar, operator) = (files(&ca, SIDECAR_NAME), files(&ca, OPERATOR_NAME));
    let mut served = start(load(sidecar.path())).await;
    let tls = load(operator.path());
    let peer = |addresses: usize| Peer {
        pod: Some(PeerPod {
            uid: "u".to_owned(),
            addresses: vec!["10.0.0.1".parse().unwrap(); addresses],
            port: 11212,
        }),
    };
    let put = |peer: &Peer| request("PUT", PEER, &serde_json::to_string(peer).unwrap());
    assert!(exchange(served.at, &tls, &put(&peer(1))).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(served.told.recv().await, Some("wire"));
    let answer = exchange(served.at, &tls, &request("GET", STATUS, "")).await;
    assert_eq!(serde_json::from_str::<Status>(body(&answer)).unwrap().told, Some(peer(1)));
    assert_eq!(served.told.recv().await, Some("report"));

    let long = format!("{{\"pod\": null, \"more\": \"{}\"}}", "x".repeat(BODY_MAX));
    for (request, code) in [
        (put(&peer(9)), 400),
        (request("PUT", PEER, "{"), 400),
        (request("PUT", PEER, &long), 413),
        (request("GET", "/", ""), 404),
        (request("POST", STATUS, ""), 404),
        (request("POST", RESYNC, ""), 409),
        (request("POST", FENCE, r#"{"boot": "1"}"#), 409),
    ] {
        let answer = exchange(served.at, &tls, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{answer}");
        assert!(body(&answer).contains("error"), "{answer}");
    }
    assert_eq!(served.told.try_recv(), Ok("resync"));
    assert!(served.told.try_recv().is_err() && served.events.try_recv().is_err());

    let fence = request("POST", FENCE, r#"{"boot": "b007"}"#);
    assert!(exchange(served.at, &tls, &fence).await.starts_with("HTTP/1.1 200 "));
    assert!(matches!(served.events.try_recv(), Ok(Event::Fence)));
}

#[tokio::test]
async fn clients_are_told_where_the_pair_is() {
    let ca = authority();
    let (sidecar, operator) = (files(&ca, SIDECAR_NAME), files(&ca, OPERATOR_NAME));
    let served = start(load(sidecar.path())).await;
    let tls = load(operator.path());
    let cluster = |host: &str, nodes: usize| {
        let node = format!(r#"{{"host": "{host}", "address": "fd00::1", "port": 11211}}"#);
        request("PUT", CLUSTER, &format!(r#"{{"version": 7, "nodes": [{}]}}"#, vec![node; nodes].join(",")))
    };
    for bad in [cluster("", 1), cluster("a b", 1), cluster("a|b", 1), cluster("a\\n", 1), cluster("a", 9)] {
        assert!(exchange(served.at, &tls, &bad).await.starts_with("HTTP/1.1 400 "));
    }
    assert!(served.discovery.answer().is_none());
    assert!(exchange(served.at, &tls, &cluster("web-0", 1)).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(&*served.discovery.answer().unwrap(), b"CONFIG cluster 0 22\r\n7\nweb-0|fd00::1|11211\n\r\nEND\r\n");
    let answer = exchange(served.at, &tls, &request("GET", STATUS, "")).await;
    let told = serde_json::from_str::<Status>(body(&answer)).unwrap().cluster.unwrap();
    assert_eq!((told.version, told.nodes.len()), (7, 1));
    assert!(exchange(served.at, &tls, &cluster("web-0", 0)).await.starts_with("HTTP/1.1 200 "));
    assert!(served.discovery.answer().is_none());
}
