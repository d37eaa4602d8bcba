//! The meta commands.

use super::{
    Server, Version, base64,
    classic::{self, NON_NUMERIC},
    commands::{BAD_FORMAT, Outcome, Tokens},
    conn::{Conn, Outbox},
    meta_flags::{self, FlagError, MetaFlags},
    store::{AllocError, CountError, Mode, Slot},
    upload::{self, Style, Upload},
};

const OPAQUE_TOO_LONG: &str = "CLIENT_ERROR opaque token too long";
const BAD_FLAG: &str = "CLIENT_ERROR invalid or duplicate flag";

/// Answers with the flags that need no item: opaque and key.
fn echo(out: &mut Outbox, flags: &MetaFlags<'_>) {
    for word in flags.words {
        match word.first() {
            Some(b'O') => {
                out.bytes(b" ");
                out.bytes(word);
            }
            Some(b'k') => {
                out.bytes(b" k");
                upload::write_key(&mut out.pending, flags.key.bytes(), flags.key.is_binary());
            }
            _ => {}
        }
    }
}

/// Remaining life in seconds, as the `t` flag shows it.
fn ttl(out: &mut Outbox, exptime: u32, now: u32) {
    if exptime == 0 {
        out.bytes(b" t-1");
    } else {
        out.bytes(b" t");
        out.number(u64::from(exptime.wrapping_sub(now)));
    }
}

/// `mg`.
pub(super) fn get(server: &mut Server, out: &mut Outbox, tokens: &Tokens<'_>) {
    let version = server.config.version;
    let store = &mut server.store;
    let flags = match MetaFlags::parse(version, &store.clock, tokens, 1) {
        Ok(flags) => flags,
        Err(FlagError::Line(text) | FlagError::Flags(text)) => return out.line(text),
    };
    let mut found = store.find(flags.key.bytes());
    if let Some(slot) = found
        && !flags.locked
        && !flags.no_update
    {
        store.bump(slot);
    }
    let mut won = false;
    let created = found.is_none() && flags.vivify;
    if created && let Ok(item) = store.allocate(flags.key.bytes(), 0, 0, 0) {
        let cas = match flags.new_cas {
            Some(cas) => cas,
            None => store.next_cas(),
        };
        found = Some(store.link(item, cas));
        won = true;
    }
    let Some(slot) = found else {
        if flags.opaque_too_long() {
            return out.line(OPAQUE_TOO_LONG);
        }
        if !flags.quiet {
            out.bytes(b"EN");
            echo(out, &flags);
            out.line("");
        }
        return;
    };
    let start = out.pending.len();
    let matches = version == Version::V1_6_45 && flags.compare == Some(store.item(slot).cas);
    let with_value = flags.value && !matches;
    if with_value {
        out.bytes(b"VA ");
        out.number(store.item(slot).value.len() as u64);
    } else {
        out.bytes(b"HD");
    }
    let now = store.clock.now;
    let item = store.item_mut(slot);
    for word in flags.words {
        match word.first() {
            Some(b'T') => item.exptime = flags.exptime,
            Some(b'N') if created => item.exptime = flags.vivify_exptime,
            Some(b'R') => {
                let soon = item.exptime != 0 && item.exptime < flags.recache;
                won |= soon && !item.token_sent && !created;
            }
            Some(b's') => {
                out.bytes(b" s");
                out.number(item.value.len() as u64);
            }
            Some(b't') => ttl(out, item.exptime, now),
            Some(b'c') => {
                out.bytes(b" c");
                out.number(item.cas);
            }
            Some(b'f') => {
                out.bytes(b" f");
                out.number(u64::from(item.flags));
            }
            Some(b'l') => {
                out.bytes(b" l");
                out.number(u64::from(now - item.time));
            }
            Some(b'h') => out.bytes(if item.fetched { b" h1" } else { b" h0" }),
            Some(b'O') if flags.opaque_too_long() => {
                // what the flags before it have changed stays changed
                out.pending.truncate(start);
                return out.line(OPAQUE_TOO_LONG);
            }
            Some(b'O') => {
                out.bytes(b" ");
                out.bytes(word);
            }
            Some(b'k') => {
                out.bytes(b" k");
                upload::write_key(&mut out.pending, &item.key, item.key_binary);
            }
            _ => {}
        }
    }
    if item.token_sent {
        out.bytes(b" Z");
    }
    if item.stale {
        out.bytes(b" X");
        won |= !item.token_sent;
    }
    if won {
        out.bytes(b" W");
        item.token_sent = true;
    }
    out.line("");
    if with_value {
        out.line(&item.value);
    }
    if flags.locked && !flags.no_update {
        store.bump(slot);
    }
    out.hold(store, slot);
}

/// `ms`.
pub(super) fn store(server: &mut Server, conn: &mut Conn, tokens: &Tokens<'_>) -> Outcome {
    let version = server.config.version;
    let store = &mut server.store;
    let out = &mut conn.out;
    let len = tokens.argument(1).and_then(|len| version.i32(len));
    let Some(value_len) = len.filter(|&len| (0..=i32::MAX - 2).contains(&len)) else {
        out.line(BAD_FORMAT);
        return Outcome::Done;
    };
    let value_len = value_len as usize;
    let swallow = Outcome::Swallow(value_len + 2);
    let flags = match MetaFlags::parse(version, &store.clock, tokens, 2) {
        Ok(flags) => flags,
        Err(FlagError::Line(text)) => {
            out.line(text);
            return Outcome::Done;
        }
        Err(FlagError::Flags(text)) => {
            out.line(text);
            return swallow;
        }
    };
    // The versions differ in when they note the new CAS for the connection, where errors leave it behind.
    let new_cas = |store: &mut super::store::Store| match flags.new_cas {
        Some(cas) => cas,
        None => store.next_cas(),
    };
    if version == Version::V1_6_38 {
        conn.leftover_cas = new_cas(store);
    }
    let (mode, exptime) = match flags.mode {
        None | Some(b'S') => (Mode::Set, flags.exptime),
        Some(b'E') => (Mode::Add, flags.exptime),
        Some(b'R') => (Mode::Replace, flags.exptime),
        Some(mode @ (b'A' | b'P')) => {
            let vivify = flags.vivify;
            let exptime = if vivify { flags.vivify_exptime } else { flags.exptime };
            let mode = if mode == b'A' { Mode::Append { vivify } } else { Mode::Prepend { vivify } };
            (mode, exptime)
        }
        Some(_) => {
            out.line("CLIENT_ERROR invalid mode for ms M token");
            return swallow;
        }
    };
    let mode = match mode {
        Mode::Set | Mode::Replace if flags.compare.is_some() => Mode::Cas,
        mode => mode,
    };
    if version == Version::V1_6_38 && flags.opaque_too_long() {
        out.line(OPAQUE_TOO_LONG);
        return swallow;
    }
    let key = flags.key.bytes();
    let mut item = match store.allocate(key, flags.client_flags, exptime, value_len) {
        Ok(item) => item,
        Err(error) => {
            // of every mode: the old value is dropped
            if let Some(slot) = store.find(key) {
                store.unlink(slot);
            }
            out.line(match error {
                AllocError::TooLarge => classic::TOO_LARGE,
                AllocError::OutOfMemory => classic::NO_MEMORY,
            });
            return swallow;
        }
    };
    if version == Version::V1_6_45 {
        conn.leftover_cas = new_cas(store);
        if flags.opaque_too_long() {
            out.line(OPAQUE_TOO_LONG);
            return swallow;
        }
    }
    item.cas = flags.compare.unwrap_or(0);
    item.key_binary = flags.key.is_binary();
    let echoed = |word: &&&[u8]| matches!(word.first(), Some(b'O' | b'k' | b'c' | b's'));
    let mut echo = Vec::new();
    for word in flags.words.iter().filter(echoed) {
        echo.push(b' ');
        // only the opaque token is echoed with its argument
        let shown = if word.first() == Some(&b'O') { word.len() } else { 1 };
        echo.extend_from_slice(&word[..shown]);
    }
    Outcome::Upload(Upload {
        item,
        mode,
        value_len,
        style: Style::Meta { quiet: flags.quiet, allow_stale: flags.invalidate && mode == Mode::Cas, echo },
    })
}

/// `md`.
pub(super) fn delete(server: &mut Server, out: &mut Outbox, tokens: &Tokens<'_>) {
    let version = server.config.version;
    let store = &mut server.store;
    let flags = match MetaFlags::parse(version, &store.clock, tokens, 1) {
        Ok(flags) => flags,
        Err(FlagError::Flags(_)) if version == Version::V1_6_38 => return out.line(BAD_FLAG),
        Err(FlagError::Line(text) | FlagError::Flags(text)) => {
            return out.line(md_text(version, text));
        }
    };
    if flags.opaque_too_long() {
        return out.line(OPAQUE_TOO_LONG);
    }
    let key = flags.key.bytes();
    let (code, quiet) = match store.find(key) {
        None => ("NF", false),
        Some(slot) if flags.compare.is_some_and(|cas| cas != store.item(slot).cas) => ("EX", false),
        Some(mut slot) => {
            if flags.remove_value {
                let cas = flags.new_cas.unwrap_or(store.item(slot).cas);
                let Ok(empty) = store.allocate(key, flags.client_flags, flags.exptime, 0) else {
                    return out.line("SERVER_ERROR out of memory");
                };
                store.unlink(slot);
                slot = store.link(empty, cas);
            }
            if flags.invalidate {
                let cas = match flags.new_cas {
                    Some(cas) => cas,
                    None => store.next_cas(),
                };
                let item = store.item_mut(slot);
                if flags.new_ttl {
                    item.exptime = flags.exptime;
                }
                item.stale = true;
                item.token_sent = false;
                item.cas = cas;
            } else if !flags.remove_value {
                store.unlink(slot);
            }
            ("HD", flags.quiet)
        }
    };
    if !quiet {
        out.bytes(code.as_bytes());
        echo(out, &flags);
        out.line("");
    }
}

/// The older version words one of its errors differently here.
fn md_text(version: Version, text: &'static str) -> &'static str {
    match version {
        Version::V1_6_38 if text != BAD_FORMAT => "CLIENT_ERROR options flags too long",
        _ => text,
    }
}

/// `ma`.
pub(super) fn arithmetic(server: &mut Server, out: &mut Outbox, tokens: &Tokens<'_>) {
    let version = server.config.version;
    let store = &mut server.store;
    let flags = match MetaFlags::parse(version, &store.clock, tokens, 1) {
        Ok(flags) => flags,
        Err(FlagError::Line(text)) => return out.line(md_text(version, text)),
        Err(FlagError::Flags(_)) => return out.line(BAD_FLAG),
    };
    let increment = match flags.mode {
        None | Some(b'I' | b'+') => true,
        Some(b'D' | b'-') => false,
        Some(_) => return out.line("CLIENT_ERROR invalid mode for ma M token"),
    };
    let key = flags.key.bytes();
    let mut quiet = flags.quiet;
    let mut created = false;
    let counted = match store.count(key, increment, flags.delta, flags.compare.unwrap_or(0)) {
        Ok(mut counted) => {
            if let Some(cas) = flags.new_cas {
                counted.cas = cas;
                // an item that was replaced keeps memcached's own number
                if let Some(slot) = counted.slot {
                    store.item_mut(slot).cas = cas;
                }
            }
            Ok((counted.value, counted.cas, counted.exptime, counted.slot))
        }
        Err(CountError::NonNumeric) => return out.line(NON_NUMERIC),
        Err(CountError::OutOfMemory) => return out.line("SERVER_ERROR out of memory"),
        Err(CountError::CasMismatch) => Err("EX"),
        Err(CountError::NotFound) if !flags.vivify => Err("NF"),
        Err(CountError::NotFound) => {
            let digits = flags.initial.to_string().into_bytes();
            let Ok(mut item) = store.allocate(key, 0, 0, digits.len()) else {
                return out.line("SERVER_ERROR Out of memory allocating new item");
            };
            item.value = digits;
            let cas = match flags.new_cas {
                Some(cas) => cas,
                None => store.next_cas(),
            };
            created = true;
            quiet &= version == Version::V1_6_45;
            Ok((flags.initial, cas, 0, Some(store.link(item, cas))))
        }
    };
    let (value, cas, mut exptime, slot): (u64, u64, u32, Option<Slot>) = match counted {
        Ok(counted) => counted,
        Err(code) => {
            if flags.opaque_too_long() {
                return out.line(OPAQUE_TOO_LONG);
            }
            out.bytes(code.as_bytes());
            echo(out, &flags);
            return out.line("");
        }
    };
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(value).as_bytes();
    let start = out.pending.len();
    if flags.value {
        out.bytes(b"VA ");
        out.number(digits.len() as u64);
    } else {
        out.bytes(b"HD");
    }
    let mut failed = false;
    for word in flags.words {
        match word.first() {
            Some(b'c') => {
                out.bytes(b" c");
                out.number(cas);
            }
            Some(b't') => ttl(out, exptime, store.clock.now),
            Some(b'T') => exptime = flags.exptime,
            Some(b'N') if created => exptime = flags.vivify_exptime,
            Some(b'O') if flags.opaque_too_long() => {
                failed = true;
                break;
            }
            Some(b'O') => {
                out.bytes(b" ");
                out.bytes(word);
            }
            Some(b'k') => {
                out.bytes(b" k");
                upload::write_key(&mut out.pending, key, flags.key.is_binary());
            }
            _ => {}
        }
    }
    if let Some(slot) = slot {
        store.item_mut(slot).exptime = exptime;
    }
    if failed {
        out.pending.truncate(start);
        return out.line(OPAQUE_TOO_LONG);
    }
    if quiet {
        return out.pending.truncate(start);
    }
    out.line("");
    if flags.value {
        out.line(digits);
    }
}

/// `me`.
pub(super) fn debug(server: &mut Server, out: &mut Outbox, tokens: &Tokens<'_>) {
    let version = server.config.version;
    let store = &mut server.store;
    let Some(key) = tokens.argument(0).filter(|key| key.len() <= classic::MAX_KEY) else {
        return out.line(BAD_FORMAT);
    };
    let flags = tokens.arguments().get(1..).unwrap_or_default();
    if version == Version::V1_6_45 && !meta_flags::are_flag_like(flags) {
        return out.line(BAD_FORMAT);
    }
    // the newer version sees the flag only when something follows it
    let encoded = tokens.argument(1) == Some(b"b") && (version == Version::V1_6_38 || tokens.arguments().len() > 2);
    let decoded = if encoded { base64::decode(key) } else { None };
    if encoded && decoded.is_none() {
        return out.line(BAD_FORMAT);
    }
    let Some(slot) = store.find(decoded.as_deref().unwrap_or(key)) else {
        return out.line("EN");
    };
    let now = store.clock.now;
    let item = store.item(slot);
    out.bytes(b"ME ");
    if item.key_binary {
        base64::encode(&mut out.pending, &item.key);
    } else {
        out.bytes(&item.key);
    }
    out.bytes(b" exp=");
    if item.exptime == 0 {
        out.bytes(b"-1");
    } else {
        out.number(u64::from(item.exptime - now));
    }
    out.bytes(b" la=");
    out.number(u64::from(now - item.time));
    out.bytes(b" cas=");
    out.number(item.cas);
    out.bytes(if item.fetched { b" fetch=yes cls=" } else { b" fetch=no cls=" });
    out.number(u64::from(item.class));
    out.bytes(b" size=");
    out.number(item.total_size() as u64);
    out.line("");
}
