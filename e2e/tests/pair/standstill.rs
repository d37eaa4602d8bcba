//! A sidecar that stood still (SIGSTOP here; a frozen cgroup or a paused node is the same to it) serves nobody before it
//! knows that no other process has taken its place.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::client::Client;
use e2e::process::{Memcached, Pair, Sidecar, SidecarOptions};
use e2e::wait::wait_for;
use rustix::process::Signal;

use crate::options;

/// Longer than what a sidecar takes for a standstill, and than its peer waits for it.
const LONG: Duration = Duration::from_secs(7);
/// Shorter than that.
const SHORT: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(30);

/// Stops the first sidecar; a client asks for something meanwhile. Returns what it was sent.
fn stop(pair: &Pair, meanwhile: impl FnOnce() -> Result<()>) -> Result<Client> {
    let mut client = pair.a.client()?;
    client.get("key")?;
    pair.a.sidecar.suspend()?;
    client.send(b"get key\r\n")?;
    meanwhile()?;
    pair.a.sidecar.signal(Signal::CONT)?;
    Ok(client)
}

/// Whatever came on a connection until it ended.
fn rest(client: &mut Client) -> Vec<u8> {
    // It may have been reset.
    client.read_to_end().unwrap_or_default()
}

#[test]
fn a_short_stop_disturbs_nobody() -> Result<()> {
    let pair = crate::pair("stop-short")?;
    pair.a.client()?.set("key", "value")?;
    let mut client = stop(&pair, || {
        std::thread::sleep(SHORT);
        Ok(())
    })?;
    ensure!(client.line()?.starts_with("VALUE key"), "not answered");
    ensure!(!pair.a.sidecar.output().contains("stood still"));
    Ok(())
}

/// Clients are closed unanswered; what the other side took meanwhile is there when new ones are let in.
#[test]
fn a_long_stop_closes_clients_and_is_over_soon() -> Result<()> {
    let mut pair = crate::pair("stop-long")?;
    pair.a.client()?.set("key", "old")?;
    pair.b.wait_value("key", Some("old"))?;
    let mut client = stop(&pair, || {
        pair.b.client()?.set("key", "new")?;
        std::thread::sleep(LONG);
        Ok(())
    })?;
    let answered = rest(&mut client);
    ensure!(answered.is_empty(), "answered: {}", String::from_utf8_lossy(&answered));
    pair.wait_up()?;
    pair.a.wait_value("key", Some("new"))?;
    let log = pair.a.sidecar.output();
    ensure!(log.contains("stood still for") && log.contains("the peer knows no newer process"), "{log}");
    pair.wait_equal()
}

/// Both were stopped, such as with the machine under them.
#[test]
fn both_stopped_at_once_find_each_other_again() -> Result<()> {
    let mut pair = crate::pair("stop-both")?;
    pair.a.client()?.set("key", "value")?;
    pair.b.wait_value("key", Some("value"))?;
    let mut other = pair.b.client()?;
    let mut client = stop(&pair, || {
        pair.b.sidecar.suspend()?;
        other.send(b"get key\r\n")?;
        std::thread::sleep(LONG);
        pair.b.sidecar.signal(Signal::CONT)
    })?;
    ensure!(rest(&mut client).is_empty() && rest(&mut other).is_empty(), "a client was answered");
    pair.wait_up()?;
    pair.a.wait_value("key", Some("value"))?;
    pair.b.wait_value("key", Some("value"))
}

/// The peer is gone for good: nobody can say anything, so after a while it goes on alone.
#[test]
fn without_a_peer_it_goes_on_after_a_while() -> Result<()> {
    let mut pair = crate::pair("stop-alone")?;
    pair.a.client()?.set("key", "value")?;
    pair.b.kill();
    let mut client = stop(&pair, || {
        std::thread::sleep(LONG);
        Ok(())
    })?;
    ensure!(rest(&mut client).is_empty(), "a client was answered");
    pair.a.wait_ready()?;
    pair.a.wait_value("key", Some("value"))
}

/// Another process got the same replica id while this one was stopped, as when a pod is replaced whose node is paused.
#[test]
fn one_that_was_replaced_meanwhile_never_serves_again() -> Result<()> {
    let mut pair = Pair::start(&options("stop-replaced")?.with_tls())?;
    pair.a.client()?.set("key", "old")?;
    pair.b.wait_value("key", Some("old"))?;
    let home = pair.directory().join("new");
    std::fs::create_dir_all(&home)?;
    let executable = e2e::memcached::find(e2e::memcached::Suite::Trixie)?;
    let memcached =
        Memcached::on_socket(&executable, &home.join("memcached.sock"), &[], &pair.logs().join("new-memcached.log"))?;
    let mut new = Sidecar::prepare(
        SidecarOptions {
            memcached: memcached.address().clone(),
            peer: Some(pair.b.sidecar.replication().to_string()),
            replica_id: 0,
            pair_id: "e2e".to_owned(),
            state_dir: None,
            tls_dir: Some(pair.directory().join("a/tls")),
            arguments: Vec::new(),
            environment: Vec::new(),
        },
        &pair.logs().join("new-sidecar.log"),
    )?;
    let mut client = stop(&pair, || {
        std::thread::sleep(LONG);
        new.start()?;
        new.wait_ready(PATIENCE)?;
        new.client()?.set("key", "new")?;
        pair.b.wait_value("key", Some("new"))
    })?;
    let answered = rest(&mut client);
    ensure!(answered.is_empty(), "answered: {}", String::from_utf8_lossy(&answered));
    // From the end of the stop on, whoever connects gets nothing.
    let nothing = || -> Result<()> {
        let Ok(mut client) = pair.a.client() else { return Ok(()) };
        // It may be closed already.
        let _ = client.send(b"get key\r\n");
        let answered = rest(&mut client);
        ensure!(answered.is_empty(), "answered: {}", String::from_utf8_lossy(&answered));
        Ok(())
    };
    let fenced = || pair.a.sidecar.readyz().is_ok_and(|(code, text)| code == 503 && text.starts_with("fenced"));
    let mut wrong = Ok(());
    wait_for("/readyz to say that it is fenced", PATIENCE, || {
        wrong = nothing();
        (wrong.is_err() || fenced()).then_some(())
    })?;
    wrong.context("after the stop")?;
    ensure!(pair.a.sidecar.output().contains("fenced: a newer process has this replica id"));
    // Not even when the peer is a new process, too, which knows nothing of all that.
    pair.b.sidecar.terminate(PATIENCE)?;
    pair.b.sidecar.start()?;
    pair.b.wait_ready()?;
    wait_for("the new one to be linked again", PATIENCE, || {
        e2e::admin::metric(&new.metrics().ok()?, "rmc_peer_connected").filter(|linked| *linked == 1.0)
    })?;
    ensure!(fenced(), "not fenced any more");
    let none = pair.a.client().is_err();
    ensure!(none, "its client port is open");
    new.client()?.set("key", "newer")?;
    pair.b.wait_value("key", Some("newer"))
}
