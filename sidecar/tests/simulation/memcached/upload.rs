//! A storage command whose value is on its way.

use super::{
    Server, base64,
    conn::Conn,
    item::Item,
    store::{Mode, Verdict},
};

/// How the command is answered.
pub(super) enum Style {
    Classic {
        noreply: bool,
    },
    Meta {
        quiet: bool,
        allow_stale: bool,
        /// Flags to answer, each behind a space.
        echo: Vec<u8>,
    },
}

pub(super) struct Upload {
    pub(super) item: Item,
    pub(super) mode: Mode,
    /// Announced length of the value without its line end.
    pub(super) value_len: usize,
    pub(super) style: Style,
}

impl Upload {
    /// Bytes of the value and its line end.
    pub(super) fn len(&self) -> usize {
        self.value_len + 2
    }

    /// Stores the value and answers. `data` has the announced length.
    pub(super) fn complete(mut self, server: &mut Server, conn: &mut Conn, data: &[u8]) {
        let out = &mut conn.out;
        let Some(value) = data.strip_suffix(b"\r\n") else {
            // a leftover CAS of `ms` stays for the connection's next storage command
            let noreply = matches!(self.style, Style::Classic { noreply: true });
            return out.line_unless(noreply, "CLIENT_ERROR bad data chunk");
        };
        self.item.value = value.to_vec();
        let store = &mut server.store;
        let cas = match std::mem::take(&mut conn.leftover_cas) {
            0 => store.next_cas(),
            cas => cas,
        };
        match self.style {
            Style::Classic { noreply } => {
                let answer = match store.store(self.item, self.mode, cas, false) {
                    Verdict::Stored { .. } => "STORED",
                    Verdict::NotStored => "NOT_STORED",
                    Verdict::Exists => "EXISTS",
                    Verdict::NotFound => "NOT_FOUND",
                };
                out.line_unless(noreply, answer);
            }
            Style::Meta { quiet, allow_stale, ref echo } => {
                let wants_key = echo.contains(&b'k');
                let key = wants_key.then(|| (self.item.key.clone(), self.item.key_binary));
                let (code, cas, joined) = match store.store(self.item, self.mode, cas, allow_stale) {
                    Verdict::Stored { cas, joined } => ("HD", cas, joined),
                    Verdict::NotStored => ("NS", 0, None),
                    Verdict::Exists => ("EX", 0, None),
                    Verdict::NotFound => ("NF", 0, None),
                };
                if quiet && code == "HD" {
                    return;
                }
                out.bytes(code.as_bytes());
                for flag in echo.split(|&b| b == b' ').filter(|flag| !flag.is_empty()) {
                    out.bytes(b" ");
                    out.bytes(flag);
                    match flag {
                        b"c" => out.number(cas),
                        b"s" => out.number(joined.unwrap_or(self.value_len) as u64),
                        b"k" => {
                            if let Some((key, binary)) = &key {
                                write_key(&mut out.pending, key, *binary);
                            }
                        }
                        _ => {}
                    }
                }
                out.line("");
            }
        }
    }
}

/// A key as meta answers show it: as it is, or in base64 with the flag that says so.
pub(super) fn write_key(out: &mut Vec<u8>, key: &[u8], binary: bool) {
    if binary {
        base64::encode(out, key);
        out.extend_from_slice(b" b");
    } else {
        out.extend_from_slice(key);
    }
}
