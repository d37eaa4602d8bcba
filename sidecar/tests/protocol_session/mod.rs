//! A client session without sockets: for property tests and for fuzzing.

use sidecar::protocol::binary::sasl::{self, Claim};
use sidecar::protocol::limits::{MAX_KEY, MAX_UNFINISHED_LINE};
use sidecar::protocol::reply::Farewell;
use sidecar::protocol::{Command, Limits, MetaRequest, MetaVerb, Parser, Request, Step, binary};

/// When a session looks at its input again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// After each arrival.
    None,
    /// When the parser said that there is something to see.
    AsTold,
}

/// What a session sees: each step that is not empty, with the place up to which it goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen<'a> {
    Asked(Request<'a>, usize),
    AskedBinary(binary::Request<'a>, usize),
    Answered(&'static [u8], usize),
    Closed(Farewell),
}

/// What a session sees of `input` when it arrives in pieces of these lengths.
pub(crate) fn session<'a>(input: &'a [u8], pieces: &[usize], patience: Patience, limits: &Limits) -> Vec<Seen<'a>> {
    session_of(Parser::new(), input, pieces, patience, limits)
}

/// The same by a parser that knows something already.
pub(crate) fn session_of<'a>(
    mut parser: Parser,
    input: &'a [u8],
    pieces: &[usize],
    patience: Patience,
    limits: &Limits,
) -> Vec<Seen<'a>> {
    let mut seen = Vec::new();
    let mut consumed_in_all = 0;
    let mut arrived = 0;
    let mut wanted = 0;
    let mut lengths = pieces.iter().copied().cycle();
    while arrived < input.len() {
        let length = lengths.next().unwrap_or(1).max(1);
        arrived = (arrived + length).min(input.len());
        if matches!(patience, Patience::AsTold) && arrived - consumed_in_all < wanted {
            continue;
        }
        while consumed_in_all < arrived {
            let buffer = &input[consumed_in_all..arrived];
            let consumed = match parser.step(buffer, limits) {
                Step::Incomplete { need } => {
                    assert!(need > buffer.len(), "more than there is");
                    assert!(need as u64 <= limits.max_input(), "within the bound");
                    wanted = need;
                    break;
                }
                Step::Request { request, consumed } => {
                    check(&request, limits);
                    seen.push(Seen::Asked(request, consumed_in_all + consumed));
                    consumed
                }
                Step::Binary { request, consumed } => {
                    check_binary(&request, limits);
                    seen.push(Seen::AskedBinary(request, consumed_in_all + consumed));
                    consumed
                }
                Step::Answer { reply, consumed } => {
                    // Swallowed bytes: in how many steps does not matter.
                    if !reply.is_empty() {
                        seen.push(Seen::Answered(reply, consumed_in_all + consumed));
                    }
                    consumed
                }
                Step::Close { farewell, consumed } => {
                    assert_eq!(consumed, buffer.len());
                    seen.push(Seen::Closed(farewell));
                    return seen;
                }
            };
            assert!((1..=buffer.len()).contains(&consumed), "{consumed} of {}", buffer.len());
            consumed_in_all += consumed;
            wanted = 0;
        }
    }
    seen
}

/// What must hold for whatever bytes a request was made from.
fn check(request: &Request<'_>, limits: &Limits) {
    let keys: Vec<&[u8]> = match request.command {
        Command::Get { keys, .. } | Command::GetAndTouch { keys, .. } | Command::RefusedGet { keys, .. } => {
            assert!(keys.count() > 0, "a get has a key");
            keys.collect()
        }
        Command::Store { key, flags, value, .. } => {
            assert!(limits.item_fits(key.len(), flags, value.len() as u64));
            vec![key]
        }
        Command::TooLarge { key }
        | Command::Arithmetic { key, .. }
        | Command::Delete { key }
        | Command::Touch { key, .. } => vec![key],
        Command::Meta(meta) => {
            check_meta(&meta, limits);
            Vec::new()
        }
        Command::Forward { line } | Command::Stream { line, .. } => {
            check_admin(line);
            Vec::new()
        }
        Command::FlushAll { .. }
        | Command::ReplicationStats
        | Command::ClusterConfig
        | Command::Version
        | Command::Quit => Vec::new(),
    };
    for key in keys {
        assert!(limits.accepts_key(key), "{}", key.escape_ascii());
    }
}

/// The same for a request of the binary protocol.
fn check_binary(request: &binary::Request<'_>, limits: &Limits) {
    use binary::Command as Binary;
    let key = match request.command {
        Binary::Store { key, flags, value, .. } => {
            assert!(limits.item_fits(key.len(), flags, value.len() as u64));
            key
        }
        Binary::Get { key }
        | Binary::GetAndTouch { key, .. }
        | Binary::Touch { key, .. }
        | Binary::TooLarge { key }
        | Binary::Delete { key, .. }
        | Binary::Arithmetic { key, .. } => key,
        Binary::FlushAll { delay } => return assert!(limits.flush_enabled && delay >= 0),
        Binary::Sasl(Claim::Auth { mechanism, response }) => {
            return assert!(mechanism.len() <= sasl::MAX_MECHANISM && response.len() <= sasl::MAX_RESPONSE as usize);
        }
        Binary::Sasl(Claim::Step { response }) => return assert!(response.len() <= sasl::MAX_RESPONSE as usize),
        Binary::Noop | Binary::Version | Binary::Quit | Binary::Stats(_) | Binary::SaslList | Binary::Refused(_) => {
            return;
        }
    };
    assert!((1..=250).contains(&key.len()), "{}", key.escape_ascii());
}

/// A meta command goes to memcached as one line that it does not cut, and that names the key of the request.
fn check_meta(meta: &MetaRequest<'_>, limits: &Limits) {
    let mut buffer = [0; MAX_KEY];
    let key = meta.key(&mut buffer);
    assert!((1..=MAX_KEY).contains(&key.len()), "{meta:?}");
    assert!(meta.is_binary() || limits.accepts_key(key), "{meta:?}");
    if meta.verb == MetaVerb::Set {
        assert!(limits.item_fits(key.len(), meta.client_flags(), meta.value.len() as u64), "{meta:?}");
    }
    if meta.verb != MetaVerb::TooLarge {
        let mut line = Vec::new();
        meta.write_to(&mut line, Some(u64::MAX), true);
        let end = line.iter().position(|byte| *byte == b'\n').expect("a line");
        let value = if meta.verb == MetaVerb::Set { meta.value.len() + 2 } else { 0 };
        assert_eq!(line.len(), end + 1 + value, "{meta:?}");
        assert!(end < MAX_UNFINISHED_LINE, "{meta:?}");
        let words = line[..end].split(|byte| *byte == b' ').filter(|word| !word.is_empty()).count();
        assert!(words < 20, "{meta:?}");
    }
}

/// What goes to memcached as it came must not be able to change an item.
fn check_admin(line: &[u8]) {
    const ADMIN: [&str; 14] = [
        "stats",
        "slabs",
        "lru",
        "lru_crawler",
        "verbosity",
        "cache_memlimit",
        "shutdown",
        "extstore",
        "refresh_certs",
        "misbehave",
        "debugtime",
        "debugitem",
        "watch",
        "version",
    ];
    assert!(!line.contains(&b'\n'), "one line");
    let first = line.split(|byte| *byte == b' ').find(|word| !word.is_empty());
    let first = first.unwrap_or_default();
    assert!(ADMIN.iter().any(|word| word.as_bytes() == first), "{}", line.escape_ascii());
}
