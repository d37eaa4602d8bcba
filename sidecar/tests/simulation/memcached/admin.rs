//! `stats`, `flush_all`, `verbosity`.

use super::{Server, Version, commands::Tokens, conn::Outbox};

pub(super) fn version_text(version: Version) -> &'static str {
    match version {
        Version::V1_6_38 => "1.6.38",
        Version::V1_6_45 => "1.6.45",
    }
}

/// `flush_all [delay] [noreply]`.
pub(super) fn flush_all(server: &mut Server, out: &mut Outbox, tokens: &Tokens<'_>, noreply: bool) {
    let delay = match tokens.arguments() {
        [] => Some(0),
        [_] if noreply => Some(0),
        [delay, ..] => server.config.version.i32(delay),
    };
    match delay {
        Some(delay) => {
            server.store.flush_all(delay);
            out.line_unless(noreply, "OK");
        }
        None => out.line_unless(noreply, "CLIENT_ERROR invalid exptime argument"),
    }
}

/// `verbosity <level>`.
pub(super) fn verbosity(server: &Server, out: &mut Outbox, tokens: &Tokens<'_>, noreply: bool) {
    let level = tokens.argument(0).and_then(|level| server.config.version.u32(level));
    out.line_unless(noreply, if level.is_some() { "OK" } else { "CLIENT_ERROR bad command line format" });
}

/// `stats [reset|settings|detail ...]`: the lines that a sidecar can have a use for.
pub(super) fn stats(server: &Server, out: &mut Outbox, tokens: &Tokens<'_>) {
    let (store, config) = (&server.store, &server.config);
    let mut stat = |name: &str, value: &dyn std::fmt::Display| out.line(format!("STAT {name} {value}"));
    match tokens.arguments() {
        [] => {
            stat("pid", &config.pid);
            stat("uptime", &store.clock.uptime());
            stat("time", &store.clock.unix());
            stat("version", &version_text(config.version));
            stat("pointer_size", &64);
            stat("curr_items", &store.count);
            stat("total_items", &store.total);
        }
        [b"settings", ..] => {
            stat("maxbytes", &67_108_864);
            stat("evictions", &"on");
            stat("cas_enabled", &"yes");
            stat("item_size_max", &config.item_size_max);
            stat("slab_chunk_max", &config.slab_chunk_max);
            stat("flush_enabled", &"yes");
            stat("dump_enabled", &"yes");
        }
        [b"reset", ..] => return out.line("RESET"),
        [b"detail", ..] => return out.line("CLIENT_ERROR usage: stats detail on|off|dump"),
        _ => return out.line("ERROR"),
    }
    out.line("END");
}
