//! Metrics of this side: the life cycle, the clients, the memcached behind.

use std::fmt;

use super::table::{Table, Unit};
use crate::stats::{CommandLabel, FilesLabel, ProtocolLabel, Stats};

pub(super) fn life(table: &mut Table<'_>, stats: &Stats) -> fmt::Result {
    let phase = stats.readiness.phase();
    table.gauge("ready", "1 if clients are served", Unit::None, u64::from(phase.is_ready()))?;
    table.one_of(
        "state",
        "1 for the state of the life cycle that holds",
        "state",
        ["starting", "syncing", "ready", "draining", "fenced"],
        phase.state(),
    )?;
    table.counter(
        "cold_starts",
        "Times clients were let in without a first sync",
        Unit::None,
        stats.replication.cold_starts.get(),
    )
}

pub(super) fn clients(table: &mut Table<'_>, stats: &Stats) -> fmt::Result {
    let commands = ProtocolLabel::ALL.into_iter().flat_map(|protocol| {
        CommandLabel::ALL.into_iter().filter_map(move |command| {
            let count = stats.sum(|w| w.commands[protocol as usize][command as usize].get());
            // classic is always told, so that rates begin at zero; of the others what is spoken
            (count > 0 || protocol == ProtocolLabel::Classic)
                .then_some(([("command", command.as_str()), ("protocol", protocol.as_str())], count))
        })
    });
    table.counters("commands", "Requests of clients", commands)?;
    table.gauge(
        "client_connections",
        "Client connections that are open",
        Unit::None,
        stats.sum(|w| w.connections.get()),
    )?;
    for (name, help, unit, value) in [
        (
            "client_connections_accepted",
            "Client connections accepted",
            Unit::None,
            stats.sum(|w| w.connections_accepted.get()),
        ),
        (
            "client_connections_refused",
            "Client connections turned away at --max-connections",
            Unit::None,
            stats.sum(|w| w.connections_refused.get()),
        ),
        (
            "client_connections_cut",
            "Client connections closed by the sidecar: a bound was reached, or it was not ready",
            Unit::None,
            stats.sum(|w| w.connections_cut.get()),
        ),
        ("client_received", "Bytes from clients", Unit::Bytes, stats.sum(|w| w.client_bytes_received.get())),
        ("client_sent", "Bytes to clients", Unit::Bytes, stats.sum(|w| w.client_bytes_sent.get())),
    ] {
        table.counter(name, help, unit, value)?;
    }
    Ok(())
}

/// Who is let in, and the files that say so.
pub(super) fn access(table: &mut Table<'_>, stats: &Stats) -> fmt::Result {
    let results = |accepted: u64, refused: u64| {
        [([("result", "accepted")], accepted), ([("result", "refused")], refused)].into_iter()
    };
    let logins = results(stats.sum(|w| w.logins_accepted.get()), stats.sum(|w| w.logins_refused.get()));
    table.counters("logins", "Attempts of clients to say who they are (--auth-file)", logins)?;
    let handshakes = results(stats.sum(|w| w.tls_accepted.get()), stats.sum(|w| w.tls_refused.get()));
    table.counters("client_tls_handshakes", "TLS handshakes of clients (--client-tls-dir)", handshakes)?;
    let files = FilesLabel::ALL.into_iter().zip(&stats.files);
    let reloaded = files.clone().map(|(label, files)| ([("flag", label.as_str())], files.reloaded.get()));
    table.counters("files_reloaded", "Times that changed files were taken over", reloaded)?;
    let bad = files.map(|(label, files)| ([("flag", label.as_str())], files.bad.get()));
    table.gauges("files_bad", "1 while changed files cannot be used and the last good ones are", bad)
}

pub(super) fn upstream(table: &mut Table<'_>, stats: &Stats) -> fmt::Result {
    let help = "Memory that the sidecar takes at the worst: the sum of all its bounds";
    table.gauge("memory_bound", help, Unit::Bytes, stats.memory_bound.get())?;
    let memcached = &stats.memcached;
    for (name, help, value) in [
        ("memcached_up", "1 if memcached answers", memcached.up.get()),
        ("memcached_incarnation", "Number of the content that memcached holds", memcached.incarnation.get()),
        ("memcached_connections", "Connections to memcached", stats.sum(|w| w.upstream_connections.get())),
    ] {
        table.gauge(name, help, Unit::None, value)?;
    }
    for (name, help, unit, value) in [
        ("memcached_content_lost", "Times memcached lost its content", Unit::None, memcached.restarts.get()),
        (
            "memcached_connections_lost",
            "Connections to memcached that broke",
            Unit::None,
            stats.sum(|w| w.upstream_lost.get()),
        ),
        ("memcached_received", "Bytes from memcached", Unit::Bytes, stats.sum(|w| w.upstream_bytes_received.get())),
        ("memcached_sent", "Bytes to memcached", Unit::Bytes, stats.sum(|w| w.upstream_bytes_sent.get())),
        (
            "values_refused",
            "Values of clients that memcached refused: too large, or out of memory",
            Unit::None,
            stats.sum(|w| w.values_refused.get()),
        ),
        (
            "stripe_waits",
            "Writes that waited for another worker's write of the same stripe",
            Unit::None,
            stats.sum(|w| w.stripe_waits.get()),
        ),
    ] {
        table.counter(name, help, unit, value)?;
    }
    Ok(())
}
