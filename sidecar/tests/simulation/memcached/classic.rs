//! The classic text commands.

use super::{
    Server, Version,
    commands::{self, BAD_FORMAT, Outcome, Tokens},
    conn::{Conn, Outbox},
    numbers,
    store::{AllocError, CountError, Mode},
    upload::{Style, Upload},
};

pub(super) const MAX_KEY: usize = 250;
pub(super) const TOO_LARGE: &str = "SERVER_ERROR object too large for cache";
pub(super) const NO_MEMORY: &str = "SERVER_ERROR out of memory storing object";
pub(super) const NON_NUMERIC: &str = "CLIENT_ERROR cannot increment or decrement non-numeric value";
const BAD_EXPTIME: &str = "CLIENT_ERROR invalid exptime argument";

/// `get` and `gets`.
pub(super) fn get(server: &mut Server, out: &mut Outbox, keys: &[u8], with_cas: bool) {
    if commands::split(keys).next().is_none() {
        return out.line(match server.config.version {
            Version::V1_6_38 => "ERROR",
            Version::V1_6_45 => BAD_FORMAT,
        });
    }
    read(server, out, commands::split(keys), with_cas, None);
}

/// `gat` and `gats`.
pub(super) fn get_and_touch(server: &mut Server, out: &mut Outbox, arguments: &[u8], with_cas: bool) {
    let version = server.config.version;
    let mut words = commands::split(arguments);
    let exptime = words.next();
    let mut keys = words.peekable();
    let Some(exptime) = exptime.filter(|_| keys.peek().is_some() || version == Version::V1_6_38) else {
        return out.line(match version {
            Version::V1_6_38 => "ERROR",
            Version::V1_6_45 => BAD_FORMAT,
        });
    };
    let Some(exptime) = version.i32(exptime) else {
        return out.line(BAD_EXPTIME);
    };
    let exptime = server.store.clock.deadline(exptime);
    read(server, out, keys, with_cas, Some(exptime));
}

fn read<'a>(
    server: &mut Server,
    out: &mut Outbox,
    keys: impl Iterator<Item = &'a [u8]>,
    with_cas: bool,
    exptime: Option<u32>,
) {
    let store = &mut server.store;
    for key in keys {
        if key.len() > MAX_KEY {
            // everything that has not been sent is lost, answers of earlier commands included
            out.start_over(store);
            out.line(BAD_FORMAT);
            if server.config.version == Version::V1_6_45 {
                out.line("");
            }
            return;
        }
        let Some(slot) = store.find(key) else {
            continue;
        };
        store.bump(slot);
        if let Some(exptime) = exptime {
            store.item_mut(slot).exptime = exptime;
        }
        let item = store.item(slot);
        out.bytes(b"VALUE ");
        out.bytes(key);
        out.bytes(b" ");
        out.number(u64::from(item.flags));
        out.bytes(b" ");
        out.number(item.value.len() as u64);
        if with_cas {
            out.bytes(b" ");
            out.number(item.cas);
        }
        out.line("");
        out.line(&item.value);
        out.hold(store, slot);
    }
    out.line("END");
}

/// `set`, `add`, `replace`, `append`, `prepend`, `cas`.
pub(super) fn store(server: &mut Server, conn: &mut Conn, tokens: &Tokens<'_>, mode: Mode, noreply: bool) -> Outcome {
    let version = server.config.version;
    let out = &mut conn.out;
    let &[key, flags, exptime, len, ..] = tokens.arguments() else {
        out.line(BAD_FORMAT);
        return Outcome::Done;
    };
    let len = version.i32(len).filter(|&len| (0..=i32::MAX - 2).contains(&len));
    let cas = match mode {
        Mode::Cas => tokens.argument(4).and_then(|cas| version.u64(cas)),
        _ => Some(0),
    };
    let numbers = (key.len() <= MAX_KEY)
        .then_some(())
        .and_then(|()| Some((numbers::client_flags(flags)?, exptime_i32(exptime)?, cas?)));
    let (Some(len), Some((flags, exptime, cas))) = (len, numbers) else {
        // the newer version knows the length, and skips the value, whatever else is wrong
        let (silent, outcome) = match (version, len) {
            (Version::V1_6_45, Some(len)) => (noreply, Outcome::Swallow(len as usize + 2)),
            (Version::V1_6_45, None) => (false, Outcome::Done),
            (Version::V1_6_38, _) => (noreply, Outcome::Done),
        };
        out.line_unless(silent, BAD_FORMAT);
        return outcome;
    };
    let value_len = len as usize;
    let deadline = server.store.clock.deadline(exptime);
    match server.store.allocate(key, flags, deadline, value_len) {
        Ok(mut item) => {
            item.cas = cas;
            Outcome::Upload(Upload { item, mode, value_len, style: Style::Classic { noreply } })
        }
        Err(error) => {
            out.line_unless(
                noreply,
                match error {
                    AllocError::TooLarge => TOO_LARGE,
                    AllocError::OutOfMemory => NO_MEMORY,
                },
            );
            if mode == Mode::Set
                && let Some(slot) = server.store.find(key)
            {
                server.store.unlink(slot);
            }
            Outcome::Swallow(value_len + 2)
        }
    }
}

/// Both versions read the expiry of storage commands leniently.
fn exptime_i32(token: &[u8]) -> Option<i32> {
    Version::V1_6_38.i32(token)
}

/// `incr` and `decr`.
pub(super) fn arithmetic(server: &mut Server, out: &mut Outbox, tokens: &Tokens<'_>, increment: bool, noreply: bool) {
    let &[key, delta, ..] = tokens.arguments() else {
        return out.line(BAD_FORMAT);
    };
    if key.len() > MAX_KEY {
        return out.line_unless(noreply, BAD_FORMAT);
    }
    let Some(delta) = server.config.version.u64(delta) else {
        return out.line_unless(noreply, "CLIENT_ERROR invalid numeric delta argument");
    };
    match server.store.count(key, increment, delta, 0) {
        Ok(counted) => out.line_unless(noreply, counted.value.to_string()),
        Err(CountError::NonNumeric) => out.line_unless(noreply, NON_NUMERIC),
        Err(CountError::OutOfMemory) => out.line_unless(noreply, "SERVER_ERROR out of memory"),
        Err(CountError::NotFound | CountError::CasMismatch) => out.line_unless(noreply, "NOT_FOUND"),
    }
}

/// `delete`.
pub(super) fn delete(server: &mut Server, out: &mut Outbox, tokens: &Tokens<'_>, noreply: bool) {
    let arguments = tokens.arguments();
    let Some(&key) = arguments.first() else {
        return out.line(BAD_FORMAT);
    };
    if server.config.version == Version::V1_6_38 && arguments.len() > 1 {
        let zero = arguments.get(1) == Some(&&b"0"[..]);
        let valid = match arguments.len() {
            2 => zero || noreply,
            _ => zero && noreply,
        };
        if !valid {
            let usage = "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]";
            return out.line_unless(noreply, usage);
        }
    }
    // a lone key may be called "noreply"
    let noreply = noreply && (arguments.len() > 1 || server.config.version == Version::V1_6_45);
    if key.len() > MAX_KEY {
        return out.line_unless(noreply, BAD_FORMAT);
    }
    match server.store.find(key) {
        Some(slot) => {
            server.store.unlink(slot);
            out.line_unless(noreply, "DELETED");
        }
        None => out.line_unless(noreply, "NOT_FOUND"),
    }
}

/// `touch`.
pub(super) fn touch(server: &mut Server, out: &mut Outbox, tokens: &Tokens<'_>, noreply: bool) {
    let &[key, exptime, ..] = tokens.arguments() else {
        return out.line(BAD_FORMAT);
    };
    if key.len() > MAX_KEY {
        return out.line_unless(noreply, BAD_FORMAT);
    }
    let Some(exptime) = server.config.version.i32(exptime) else {
        return out.line_unless(noreply, BAD_EXPTIME);
    };
    let store = &mut server.store;
    let exptime = store.clock.deadline(exptime);
    match store.find(key) {
        Some(slot) => {
            store.bump(slot);
            store.item_mut(slot).exptime = exptime;
            out.line_unless(noreply, "TOUCHED");
        }
        None => out.line_unless(noreply, "NOT_FOUND"),
    }
}
