//! Who may not connect to the replication port: refused before one byte of cache data.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::admin::metric_sum;
use e2e::process::{Authority, Memcached, Pair, Sidecar, SidecarOptions};
use e2e::wait::wait_for;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::options;

const SECRET: &str = "the secret in the cache";

fn tls_pair(name: &str) -> Result<Pair> {
    let pair = Pair::start(&options(name)?.with_tls())?;
    pair.a.client()?.set("key", SECRET)?;
    pair.wait_equal()?;
    Ok(pair)
}

/// Everything the sidecar sends to somebody who connects like this, until it closes.
fn received(mut stream: impl Read + Write, says: &[u8]) -> Vec<u8> {
    // The other side may have closed already, which is what is wanted.
    let _ = stream.write_all(says).and_then(|()| stream.flush());
    let (mut all, mut chunk) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = stream.read(&mut chunk) {
        all.extend_from_slice(&chunk[..count]);
    }
    all
}

fn connect(pair: &Pair) -> Result<TcpStream> {
    let stream = TcpStream::connect(pair.a.sidecar.replication())?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    Ok(stream)
}

/// A TLS connection with a certificate, or with none; the sidecar's own is not checked.
fn tls(pair: &Pair, identity: Option<(String, String)>) -> Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter(pair.directory().join("a/tls/ca.crt"))? {
        roots.add(authority?)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let config = match identity {
        Some((certificate, key)) => {
            let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<_, _>>()?;
            config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes())?)?
        }
        None => config.with_no_client_auth(),
    };
    let connection = ClientConnection::new(Arc::new(config), ServerName::try_from("a")?)?;
    Ok(StreamOwned::new(connection, connect(pair)?))
}

fn refused(pair: &Pair) -> f64 {
    pair.a.sidecar.metrics().map_or(0.0, |text| metric_sum(&text, "rmc_handshakes_refused_total"))
}

/// Tries to get something out of the replication port; returns what came.
type Attempt<'a> = &'a dyn Fn() -> Result<Vec<u8>>;

#[test]
fn strangers_are_refused() -> Result<()> {
    let pair = tls_pair("strangers")?;
    let hello: Vec<u8> = (0..200).collect();
    let foreign = Authority::new("e2e")?.leaf("stranger")?;
    let attempts: [(&str, Attempt<'_>); 4] = [
        ("plain TCP", &|| Ok(received(connect(&pair)?, &hello))),
        ("plain memcached", &|| Ok(received(connect(&pair)?, b"get key\r\nlru_crawler metadump all\r\n"))),
        ("TLS without a certificate", &|| Ok(received(tls(&pair, None)?, &hello))),
        ("TLS with another CA", &|| Ok(received(tls(&pair, Some(foreign.clone()))?, &hello))),
    ];
    for (name, attempt) in attempts {
        let before = refused(&pair);
        let bytes = attempt().context(name)?;
        ensure!(!contains(&bytes, SECRET.as_bytes()), "{name}: cache data was sent");
        // A TLS alert at most.
        ensure!(bytes.len() < 100, "{name}: {} bytes were sent", bytes.len());
        wait_for(&format!("{name} to be counted"), Duration::from_secs(10), || {
            (refused(&pair) > before).then_some(())
        })?;
    }
    ensure!(pair.a.sidecar.is_ready() && pair.b.sidecar.is_ready());
    pair.a.wait_linked(true)?;
    pair.a.client()?.set("key", "still replicating")?;
    pair.b.wait_value("key", Some("still replicating"))
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

/// The right certificate, but another pair, or the same replica id.
#[test]
fn the_wrong_pair_is_refused() -> Result<()> {
    let pair = tls_pair("wrong-pair")?;
    let executable = e2e::memcached::find(e2e::memcached::Suite::Trixie)?;
    for (number, arguments) in [["--pair-id", "other"], ["--replica-id", "0"]].iter().enumerate() {
        let home = pair.directory().join(format!("other{number}"));
        std::fs::create_dir_all(&home)?;
        let socket = home.join("memcached.sock");
        let memcached = Memcached::on_socket(&executable, &socket, &[], &pair.logs().join("other-memcached.log"))?;
        let mut options = SidecarOptions {
            memcached: memcached.address().clone(),
            peer: Some(pair.a.sidecar.replication().to_string()),
            replica_id: 1,
            pair_id: "e2e".to_owned(),
            state_dir: None,
            tls_dir: Some(pair.directory().join("b/tls")),
            arguments: ["--warmup-deadline", "0"].map(String::from).to_vec(),
            environment: Vec::new(),
        };
        match arguments {
            ["--pair-id", id] => options.pair_id = (*id).to_owned(),
            _ => options.replica_id = 0,
        }
        let before = refused(&pair);
        let mut sidecar = Sidecar::prepare(options, &pair.logs().join("other-sidecar.log"))?;
        sidecar.start()?;
        sidecar.wait_ready(Duration::from_secs(20))?;
        wait_for("the wrong peer to be refused", Duration::from_secs(20), || (refused(&pair) > before).then_some(()))?;
        let found = e2e::contents::read(&mut memcached.client()?)?.len();
        ensure!(found == 0, "{arguments:?}: {found} items went to a stranger");
    }
    pair.a.wait_linked(true)
}

/// Anything at all on the replication port, with TLS and without: the pair goes on.
#[test]
fn garbage_on_the_replication_port() -> Result<()> {
    for tls in [true, false] {
        let mut options = options(if tls { "garbage-tls" } else { "garbage" })?;
        options.tls = tls;
        let pair = Pair::start(&options)?;
        let mut random = 7_u64;
        for number in 0..200_u32 {
            let mut byte = || {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (random >> 56) as u8
            };
            let length = u16::from(byte()) * 4;
            let mut bytes: Vec<u8> = (0..length).map(|_| byte()).collect();
            if number.is_multiple_of(3) {
                // A length prefix that promises a lot.
                bytes.splice(0..0, [0xff, 0xff, 0xff, 0x7f]);
            }
            let mut stream = connect(&pair)?;
            // Refusing early is right.
            let _ = stream.write_all(&bytes);
        }
        // One that says nothing must not be in the way for ever either.
        let silent = connect(&pair)?;
        pair.a.wait_linked(true)?;
        pair.a.client()?.set("key", "value")?;
        pair.b.wait_value("key", Some("value"))?;
        drop(silent);
        pair.wait_equal()?;
    }
    Ok(())
}
