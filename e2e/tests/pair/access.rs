//! Who may use the cache: users and passwords, TLS for clients, and the files of both, which change while they are in use.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use e2e::admin::{metric, metric_sum};
use e2e::client::{Address, Client};
use e2e::process::{Authority, Pair, Process, Replica, TempDir};
use e2e::wait::{wait_for, wait_until};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::clients::tcp;
use crate::options;

/// The files are looked at every five seconds.
const RELOAD: Duration = Duration::from_secs(30);

type Tls = StreamOwned<ClientConnection, TcpStream>;

fn config(authority: &Authority, own: Option<&Authority>) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.certificate().as_bytes()) {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    Ok(Arc::new(match own {
        None => config.with_no_client_auth(),
        Some(own) => {
            let (certificate, key) = own.leaf("client")?;
            let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<_, _>>()?;
            config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes())?)?
        }
    }))
}

/// A connection whose handshake is done with the first exchange.
fn dial(replica: &Replica, config: &Arc<ClientConfig>) -> Result<Tls> {
    let socket = tcp(replica)?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    socket.set_write_timeout(Some(Duration::from_secs(20)))?;
    let session = ClientConnection::new(Arc::clone(config), ServerName::try_from("cache")?)?;
    Ok(StreamOwned::new(session, socket))
}

fn exchange(stream: &mut Tls, request: &str, end: &str) -> Result<String> {
    stream.write_all(request.as_bytes())?;
    let (mut all, mut chunk) = (Vec::new(), vec![0; 65536]);
    while !all.ends_with(end.as_bytes()) {
        match stream.read(&mut chunk).with_context(|| format!("received so far: {} bytes", all.len()))? {
            0 => bail!("closed after {:?}", String::from_utf8_lossy(&all)),
            len => all.extend_from_slice(&chunk[..len]),
        }
    }
    Ok(String::from_utf8(all)?)
}

fn served(replica: &Replica, config: &Arc<ClientConfig>) -> bool {
    dial(replica, config).and_then(|mut tls| exchange(&mut tls, "get none\r\n", "END\r\n")).is_ok()
}

/// A pair whose clients speak TLS, with what is in `authority`.
fn tls_pair(name: &str, authority: &Authority, more: &[&str]) -> Result<(Pair, TempDir)> {
    let dir = TempDir::new()?;
    authority.write_dir(dir.path(), "cache")?;
    let path = dir.path().display().to_string();
    let pair = Pair::start(&options(name)?.sidecar(&["--client-tls-dir", &path]).sidecar(more))?;
    Ok((pair, dir))
}

#[test]
fn over_tls_everything_is_as_it_is_without() -> Result<()> {
    let authority = Authority::new("clients")?;
    let sockets = TempDir::new()?;
    let (mut pair, _dir) = tls_pair("client-tls", &authority, &[])?;
    let config = config(&authority, None)?;
    let mut one = dial(&pair.a, &config)?;
    let value = "0123456789".repeat(100_000);
    for key in ["small", "large", "large2"] {
        let value = if key == "small" { "v" } else { &value };
        let request = format!("set {key} 0 0 {}\r\n{value}\r\n", value.len());
        ensure!(exchange(&mut one, &request, "\r\n")? == "STORED\r\n");
    }
    let mut other = dial(&pair.b, &config)?;
    wait_until("the values on the other side", Duration::from_secs(20), || {
        let got =
            exchange(&mut other, "get small large large2\r\n", "END\r\n").map_err(|error| format!("{error:#}"))?;
        if got.len() > 2 * value.len() && got.matches(&value).count() == 2 {
            Ok(())
        } else {
            Err(got.len().to_string())
        }
    })?;
    // many in one piece, and answers that are more than any socket takes
    let pipeline = "get large\r\n".repeat(50) + "mn\r\nversion\r\n";
    one.write_all(pipeline.as_bytes())?;
    let got = exchange(&mut one, "", "VERSION 1.6.38\r\n")?;
    ensure!(got.matches("END\r\n").count() == 50, "{} answers", got.matches("END\r\n").count());

    // who does not speak TLS is not understood, and disturbs nobody
    let mut plain = tcp(&pair.a)?;
    plain.set_read_timeout(Some(Duration::from_secs(20)))?;
    plain.write_all(b"get small\r\nget small\r\n")?;
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    ensure!(!answer.windows(5).any(|window| window == b"VALUE" || window == b"ERROR"), "{answer:?}");
    ensure!(exchange(&mut one, "get small\r\n", "END\r\n")?.contains("\r\nv\r\n"));
    wait_for("the refusal to be counted", Duration::from_secs(10), || {
        let text = pair.a.sidecar.metrics().ok()?;
        (metric(&text, "rmc_client_tls_handshakes_total{result=\"refused\"}") == Some(1.0)).then_some(())
    })?;

    // unix sockets stay plain
    let path = sockets.path().join("clients.sock");
    pair.a.sidecar.options.arguments.extend(["--listen".to_owned(), format!("unix:{}", path.display())]);
    pair.a.sidecar.start()?;
    pair.a.wait_ready()?;
    ensure!(Client::connect(&Address::Unix(path))?.get("small")?.as_deref() == Some("v"));
    // the client that was connected sees an end, and connects again
    ensure!(exchange(&mut one, "get small\r\n", "END\r\n").is_err());
    ensure!(served(&pair.a, &config));

    // on the way out everybody is told
    let mut last = dial(&pair.a, &config)?;
    ensure!(exchange(&mut last, "get small\r\n", "END\r\n")?.contains("v"));
    ensure!(exchange(&mut last, "quit\r\n", "never").is_err_and(|error| error.to_string().starts_with("closed")));
    Ok(())
}

#[test]
fn certificates_of_clients_and_a_new_one_of_ours() -> Result<()> {
    let (authority, stranger) = (Authority::new("clients")?, Authority::new("strangers")?);
    let (pair, dir) = tls_pair("client-certificates", &authority, &["--client-tls-verify", "require"])?;
    let good = config(&authority, Some(&authority))?;
    ensure!(served(&pair.a, &good), "a client of the CA");
    ensure!(!served(&pair.a, &config(&authority, None)?), "a client without a certificate");
    ensure!(!served(&pair.a, &config(&authority, Some(&stranger))?), "a client of another CA");
    let mut open = dial(&pair.a, &good)?;
    exchange(&mut open, "set k 0 0 1\r\nv\r\n", "STORED\r\n")?;

    // half of a change is none
    fs::write(dir.path().join("tls.key"), stranger.leaf("cache")?.1)?;
    wait_for("the bad key to be noticed", RELOAD, || {
        let text = pair.a.sidecar.metrics().ok()?;
        text.contains("rmc_files_bad{flag=\"client-tls-dir\"} 1\n").then_some(())
    })?;
    ensure!(served(&pair.a, &good), "the last good certificate is in use");
    ensure!(pair.a.sidecar.output().contains("tls.key is not the key of tls.crt"));

    // a new CA altogether
    stranger.write_dir(dir.path(), "cache")?;
    let new = config(&stranger, Some(&stranger))?;
    wait_for("the new certificate", RELOAD, || served(&pair.a, &new).then_some(()))?;
    ensure!(!served(&pair.a, &good), "the old one is gone");
    ensure!(exchange(&mut open, "get k\r\n", "END\r\n")?.contains("v"), "who is connected stays");
    Ok(())
}

/// Clients that connect and say nothing neither stay nor keep others out, and those that are connected do not notice.
#[test]
fn half_open_handshakes_are_bounded() -> Result<()> {
    let authority = Authority::new("clients")?;
    let (pair, _dir) = tls_pair("half-open", &authority, &["--max-connections", "1000"])?;
    let config = config(&authority, None)?;
    let mut open = dial(&pair.a, &config)?;
    exchange(&mut open, "set k 0 0 1\r\nv\r\n", "STORED\r\n")?;
    let silent: Vec<TcpStream> = (0..900).map(|_| tcp(&pair.a)).collect::<Result<_>>()?;
    let mut slowest = Duration::ZERO;
    for _ in 0..300 {
        let start = Instant::now();
        exchange(&mut open, "get k\r\n", "END\r\n")?;
        slowest = slowest.max(start.elapsed());
    }
    ensure!(slowest < Duration::from_millis(500), "a client that is connected waited {slowest:?}");
    // each of the places is free again within a second or so
    ensure!(served(&pair.a, &config), "a new client");
    wait_for("the silent ones to be given up", Duration::from_secs(40), || {
        let text = pair.a.sidecar.metrics().ok()?;
        text.contains("rmc_client_tls_handshakes_total{result=\"refused\"} 900\n").then_some(())
    })?;
    drop(silent);
    Ok(())
}

#[test]
fn a_thousand_clients_over_tls() -> Result<()> {
    const CLIENTS: usize = 1000;
    let authority = Authority::new("clients")?;
    let (pair, _dir) = tls_pair("many-tls", &authority, &[])?;
    let config = config(&authority, None)?;
    let resident = || pair.a.sidecar.process().map(Process::resident).context("it does not run")?;
    let warm: Vec<Tls> = (0..50).map(|_| dial(&pair.a, &config)).collect::<Result<_>>()?;
    let before = resident()?;
    let mut idle = Vec::new();
    for number in 0..CLIENTS {
        let mut client = dial(&pair.a, &config)?;
        exchange(&mut client, &format!("set key{number} 0 0 5\r\nvalue\r\n"), "STORED\r\n")?;
        idle.push(client);
    }
    let each = resident()?.saturating_sub(before) / CLIENTS as u64;
    eprintln!("{each} bytes for each client over TLS");
    ensure!(each <= 24 << 10, "{each} bytes for each client");
    for (number, client) in idle.iter_mut().enumerate().step_by(50) {
        ensure!(exchange(client, &format!("get key{number}\r\n"), "END\r\n")?.contains("value"));
    }
    drop(warm);
    Ok(())
}

fn login(client: &mut Client, password: &str) -> Result<String> {
    client.exchange(&format!("set login 0 0 {}\r\nweb {password}", password.len() + 4))
}

fn write(path: &Path, text: &str) -> Result<()> {
    let aside = path.with_extension("new");
    fs::write(&aside, text)?;
    Ok(fs::rename(&aside, path)?)
}

#[test]
fn users_that_change() -> Result<()> {
    let dir = TempDir::new()?;
    let users = dir.path().join("users");
    write(&users, "web:first\n")?;
    let path = users.display().to_string();
    let pair = Pair::start(&options("users")?.sidecar(&["--auth-file", &path]))?;
    let mut open = pair.a.client()?;
    ensure!(open.exchange("get k")? == "CLIENT_ERROR unauthenticated");
    ensure!(login(&mut open, "wrong")? == "CLIENT_ERROR authentication failure");
    ensure!(login(&mut open, "first")? == "STORED");
    open.set("k", "v")?;
    // a write of one who is in replicates, and his login does not
    let mut other = pair.b.client()?;
    ensure!(login(&mut other, "first")? == "STORED");
    wait_for("the write on the other side", Duration::from_secs(20), || {
        (other.get("k").ok()?.as_deref() == Some("v")).then_some(())
    })?;
    ensure!(other.get("login")?.is_none());

    // a file that is no good changes nothing, and is told
    write(&users, "web:first\n\n")?;
    wait_for("the bad file to be noticed", RELOAD, || {
        let text = pair.a.sidecar.metrics().ok()?;
        text.contains("rmc_files_bad{flag=\"auth-file\"} 1\n").then_some(())
    })?;
    ensure!(login(&mut pair.a.client()?, "first")? == "STORED");
    let log = pair.a.sidecar.output();
    ensure!(log.contains("line 2 has no colon") && !log.contains("web:first"), "{log}");

    write(&users, "web:second\n")?;
    wait_for("the new password", RELOAD, || {
        (login(&mut pair.a.client().ok()?, "second").ok()? == "STORED").then_some(())
    })?;
    ensure!(login(&mut pair.a.client()?, "first")? == "CLIENT_ERROR authentication failure");
    ensure!(open.get("k")?.as_deref() == Some("v"), "who is in stays");
    wait_for("the counts", Duration::from_secs(10), || {
        let text = pair.a.sidecar.metrics().ok()?;
        let good = metric(&text, "rmc_files_bad{flag=\"auth-file\"}") == Some(0.0);
        (good && metric_sum(&text, "rmc_logins_total") >= 5.0).then_some(())
    })?;
    Ok(())
}

/// Who has not said who he is takes next to no memory, whatever he sends.
#[test]
fn strangers_take_no_memory() -> Result<()> {
    let dir = TempDir::new()?;
    let users = dir.path().join("users");
    write(&users, "web:first\n")?;
    let path = users.display().to_string();
    let pair = Pair::start(&options("strangers-memory")?.sidecar(&["--auth-file", &path]))?;
    let resident = || pair.a.sidecar.process().map(Process::resident).context("it does not run")?;
    let before = resident()?;
    let mut strangers = Vec::new();
    for _ in 0..500 {
        let mut stranger = tcp(&pair.a)?;
        stranger.write_all(b"set k 0 0 1073741824\r\n")?;
        stranger.write_all(b"set k 0 0 16000\r\n")?;
        stranger.write_all(&[b'x'; 15_000])?;
        strangers.push(stranger);
    }
    let mut known = pair.a.client()?;
    ensure!(login(&mut known, "first")? == "STORED");
    known.set("k", "v")?;
    let each = resident()?.saturating_sub(before) / 500;
    ensure!(each <= 32 << 10, "{each} bytes for each stranger");
    Ok(())
}
