//! From a command line to the code that executes it, with each version's idea of a well-formed line.

use super::{
    ConnId, Server, Version, admin, classic,
    conn::Conn,
    dump::{self, Walk},
    meta,
    store::Mode,
    upload::Upload,
};

/// Tokens that memcached looks at; a multi-get has its own way.
const MAX_TOKENS: usize = 23;

/// What remains to be done for a command.
pub(super) enum Outcome {
    Done,
    /// The value comes next.
    Upload(Upload),
    /// So many bytes of a refused value come next.
    Swallow(usize),
    /// All answers are sent at once.
    Send,
    SendAndClose,
    /// The connection is closed without sending what has not been sent.
    Close,
    Dump(Walk),
}

/// The words of a line.
pub(super) struct Tokens<'a> {
    words: [&'a [u8]; MAX_TOKENS],
    len: usize,
}

impl<'a> Tokens<'a> {
    fn new(line: &'a [u8]) -> Self {
        let mut words: [&[u8]; MAX_TOKENS] = [&[]; MAX_TOKENS];
        let mut len = 0;
        for (slot, word) in words.iter_mut().zip(split(line)) {
            *slot = word;
            len += 1;
        }
        Self { words, len }
    }

    /// The words behind the command.
    pub(super) fn arguments(&self) -> &[&'a [u8]] {
        self.words.get(1..self.len).unwrap_or_default()
    }

    /// The n-th argument, or nothing.
    pub(super) fn argument(&self, n: usize) -> Option<&'a [u8]> {
        self.arguments().get(n).copied()
    }

    fn noreply(&self) -> bool {
        self.arguments().last() == Some(&&b"noreply"[..])
    }
}

pub(super) fn split(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|&b| b == b' ').filter(|word| !word.is_empty())
}

pub(super) const BAD_FORMAT: &str = "CLIENT_ERROR bad command line format";

/// Executes one line, given with its line end.
pub(super) fn execute(server: &mut Server, conn: &mut Conn, id: ConnId, raw: &[u8]) -> Outcome {
    let version = server.config.version;
    let line = raw.strip_suffix(b"\n").unwrap_or(raw);
    let line = match line.strip_suffix(b"\r") {
        // the older version keeps the carriage return of an empty line
        Some(line) if version != Version::V1_6_38 || !line.is_empty() => line,
        _ => line,
    };
    let line = match version {
        // a zero byte ends the line there
        Version::V1_6_38 => memchr::memchr(0, line).map_or(line, |end| &line[..end]),
        Version::V1_6_45 if raw.len() < 4 => {
            conn.out.line(BAD_FORMAT);
            return Outcome::Done;
        }
        Version::V1_6_45 => line,
    };
    let spaces = line.iter().take_while(|&&b| b == b' ').count();
    let trimmed = &line[spaces..];
    let name = match trimmed.split(|&b| b == b' ').next().unwrap_or_default() {
        // the newer version finds only these behind spaces
        name @ (b"flush_all" | b"lru_crawler" | b"verbosity" | b"shutdown") => name,
        _ if spaces > 0 && version == Version::V1_6_45 => b"",
        name => name,
    };
    let out = &mut conn.out;
    match name {
        b"get" | b"gets" => {
            let keys = &trimmed[name.len()..];
            classic::get(server, out, keys, name == b"gets")
        }
        b"gat" | b"gats" => {
            let arguments = &trimmed[name.len()..];
            classic::get_and_touch(server, out, arguments, name == b"gats")
        }
        b"mn" => {
            out.line("MN");
            return Outcome::Send;
        }
        _ => return words(server, conn, id, name, &Tokens::new(line)),
    }
    Outcome::Done
}

fn words(server: &mut Server, conn: &mut Conn, id: ConnId, name: &[u8], tokens: &Tokens<'_>) -> Outcome {
    let version = server.config.version;
    let count = tokens.arguments().len();
    let storage = match name {
        b"set" => Some(Mode::Set),
        b"add" => Some(Mode::Add),
        b"replace" => Some(Mode::Replace),
        b"append" => Some(Mode::Append { vivify: false }),
        b"prepend" => Some(Mode::Prepend { vivify: false }),
        b"cas" => Some(Mode::Cas),
        _ => None,
    };
    // how many arguments each version insists on
    let (least, most) = match name {
        b"cas" => (5, 6),
        b"incr" | b"decr" | b"touch" => (2, 3),
        b"delete" => (1, 3),
        b"flush_all" => (0, 2),
        b"verbosity" => (1, 2),
        b"mg" | b"ms" | b"md" | b"ma" => (1, usize::MAX),
        _ if storage.is_some() => (4, 5),
        _ => (0, usize::MAX),
    };
    let out = &mut conn.out;
    match version {
        Version::V1_6_38 if count < least || count > most => {
            out.line("ERROR");
            return Outcome::Done;
        }
        Version::V1_6_45 => {
            let least = match name {
                b"cas" => 4,
                b"ms" => 2,
                b"verbosity" => 0,
                _ => least,
            };
            if count < least {
                let parsed_noreply = false;
                out.line_unless(parsed_noreply, BAD_FORMAT);
                return Outcome::Done;
            }
        }
        Version::V1_6_38 => {}
    }
    let noreply = tokens.noreply();
    if let Some(mode) = storage {
        return classic::store(server, conn, tokens, mode, noreply);
    }
    match name {
        b"ms" => return meta::store(server, conn, tokens),
        b"mg" => meta::get(server, out, tokens),
        b"ma" => meta::arithmetic(server, out, tokens),
        b"md" => meta::delete(server, out, tokens),
        b"me" => meta::debug(server, out, tokens),
        b"incr" | b"decr" => classic::arithmetic(server, out, tokens, name == b"incr", noreply),
        b"delete" => classic::delete(server, out, tokens, noreply),
        b"touch" => classic::touch(server, out, tokens, noreply),
        b"flush_all" => admin::flush_all(server, out, tokens, noreply),
        b"verbosity" => admin::verbosity(server, out, tokens, noreply),
        b"version" => out.line(format!("VERSION {}", admin::version_text(version))),
        b"stats" => admin::stats(server, out, tokens),
        b"shutdown" => match version {
            Version::V1_6_38 => out.line("ERROR: shutdown not enabled"),
            Version::V1_6_45 => out.line("SERVER_ERROR: shutdown not enabled"),
        },
        b"quit" => return Outcome::SendAndClose,
        b"lru_crawler" => return dump::lru_crawler(server, out, id, tokens),
        _ if tokens.arguments().last().is_some_and(|word| word.starts_with(b"HTTP/")) => {
            return Outcome::Close;
        }
        _ => out.line_unless(noreply && version == Version::V1_6_45, "ERROR"),
    }
    Outcome::Done
}
