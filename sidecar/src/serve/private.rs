//! Commands that memcached answers on a connection of their own.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;

use super::client::Client;
use super::worker::Serving;
use crate::backend::connect::connect;
use crate::dataplane::session::{OUTPUT_HIGH, PrivateAnswer, PrivateCommand};
use crate::net::stream::Stream;
use crate::protocol::binary::stats;
use crate::protocol::{StreamKind, encode};

/// Bytes read at once.
pub(super) const READ: usize = 16 << 10;
/// Connections kept for the next command, per worker.
const SPARE: usize = 2;
/// Bytes of an answer that a client of the binary protocol gets as one packet (`stat detail dump`).
pub(super) const PACKET_MAX: usize = 64 << 10;
/// A stream at the bound is refused like a connection.
const TOO_MANY: &[u8] = b"ERROR Too many open connections\r\n";

/// What comes after the answer.
#[derive(Debug, PartialEq, Eq)]
enum After {
    /// The client's next command.
    Next,
    /// The end of its connection.
    Close,
}

/// Carries a command out and passes the answer to the client.
pub async fn carry_out(serving: Rc<Serving>, client: Rc<Client>, command: PrivateCommand) {
    let Some(_permit) = serving.budget.private().await else { return };
    let after = match command.stream {
        None => single(&serving, &client, &command).await,
        Some(kind) => match serving.budget.stream() {
            Some(_permit) => stream(&serving, &client, &command.line, kind).await,
            None => {
                say(&serving, &client, TOO_MANY);
                Ok(After::Close)
            }
        },
    };
    if client.gone.get() {
        return;
    }
    match after {
        Ok(After::Next) => {
            let now = serving.now();
            serving.core.borrow_mut().private_done(client.id, now);
            serving.settle(now);
        }
        Ok(After::Close) => {
            client.last_words.set(true);
            serving.attend_alone(client.id);
        }
        Err(error) => {
            tracing::debug!("private connection to memcached: {error}");
            client.last_words.set(true);
            serving.attend_alone(client.id);
        }
    }
    // It may have sent more in the meantime.
    client.wake();
}

async fn single(serving: &Serving, client: &Client, command: &PrivateCommand) -> io::Result<After> {
    let line = &command.line;
    let stream = match spare(serving) {
        Some(stream) => stream,
        None => connect(&serving.memcached).await?,
    };
    let mut question = Vec::with_capacity(line.len() + 8);
    encode::forward(&mut question, line);
    stream.write_all(&question).await?;
    let mut lines = Lines::default();
    loop {
        if !lines.read(client, &stream, false).await? {
            // memcached shuts down, or wants to see no more of this connection: the client would have been closed too.
            return Ok(After::Close);
        }
        let complete = lines.complete();
        let answer = complete.strip_suffix(encode::NOOP_ANSWER).filter(|rest| rest.is_empty() || rest.ends_with(b"\n"));
        if let Some(answer) = answer {
            pass_on(serving, client, answer, command.to);
            let mut spare = serving.spare.borrow_mut();
            if spare.len() < SPARE {
                spare.push(stream);
            }
            return Ok(After::Next);
        }
        match command.to {
            // One packet for all of it: its length comes first.
            PrivateAnswer::Packet(_) if complete.len() < PACKET_MAX => continue,
            PrivateAnswer::Packet(tag) => {
                let mut packet = Vec::new();
                stats::too_long(&mut packet, tag);
                say(serving, client, &packet);
                return Ok(After::Next);
            }
            PrivateAnswer::Lines | PrivateAnswer::Packets(_) => pass_on(serving, client, complete, command.to),
        }
        lines.done();
        room(serving, client).await?;
    }
}

async fn stream(serving: &Serving, client: &Client, line: &[u8], kind: StreamKind) -> io::Result<After> {
    let stream = connect(&serving.memcached).await?;
    let mut question = Vec::with_capacity(line.len() + 2);
    encode::stream(&mut question, line);
    stream.write_all(&question).await?;
    let mut lines = Lines::default();
    let mut started = false;
    loop {
        if !lines.read(client, &stream, started && kind == StreamKind::Watch).await? {
            return Ok(After::Close);
        }
        let complete = lines.complete();
        let first = complete.split(|b| *b == b'\n').next().unwrap_or_default();
        let refused = kind == StreamKind::Watch && !started && !complete.is_empty() && first != b"OK\r";
        started |= !complete.is_empty();
        let end = refused || kind != StreamKind::Watch && ends_dump(complete);
        say(serving, client, complete);
        lines.done();
        if end {
            return Ok(After::Next);
        }
        room(serving, client).await?;
    }
}

/// Whether one of these lines is none of an item: `END`, `EN`, or an error. It need not be the last one: 1.6.38 sends the
/// rest of what it has overwritten with it.
fn ends_dump(lines: &[u8]) -> bool {
    let item = |line: &[u8]| line.starts_with(b"key=") || line.starts_with(b"mg ") || line == b"OK\r";
    let Some(text) = lines.strip_suffix(b"\n") else { return false };
    !text.split(|byte| *byte == b'\n').all(item)
}

/// Appends whole lines to what the client gets, in the form that it wants.
fn pass_on(serving: &Serving, client: &Client, lines: &[u8], to: PrivateAnswer) {
    let mut packets = Vec::new();
    match to {
        PrivateAnswer::Lines => return say(serving, client, lines),
        PrivateAnswer::Packets(tag) => stats::packets(&mut packets, tag, lines),
        PrivateAnswer::Packet(tag) => stats::detailed(&mut packets, tag, lines),
    }
    say(serving, client, &packets);
}

/// Appends to what the client gets.
fn say(serving: &Serving, client: &Client, bytes: &[u8]) {
    if let Some(session) = serving.core.borrow_mut().session(client.id) {
        session.output().extend_from_slice(bytes);
    }
    serving.attend_alone(client.id);
}

/// Waits until the client has taken enough.
async fn room(serving: &Serving, client: &Client) -> io::Result<()> {
    poll_fn(|cx| {
        client.private_waits(cx);
        match serving.core.borrow_mut().session(client.id) {
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Some(session) => match session.output().len() {
                ..OUTPUT_HIGH => Poll::Ready(Ok(())),
                OUTPUT_HIGH.. => Poll::Pending,
            },
        }
    })
    .await
}

/// A connection that was used before, if memcached has not closed it.
fn spare(serving: &Serving) -> Option<Stream> {
    loop {
        let stream = serving.spare.borrow_mut().pop()?;
        if matches!(stream.try_read(&mut [0]), Ok(None)) {
            return Some(stream);
        }
    }
}

/// What memcached sent, passed on by whole lines.
#[derive(Debug, Default)]
struct Lines {
    bytes: Vec<u8>,
}

impl Lines {
    /// Reads more; `false` at the end of the connection. `watched`: what the client sends is dropped, and the end of that is
    /// an end too.
    async fn read(&mut self, client: &Client, stream: &Stream, watched: bool) -> io::Result<bool> {
        let old = self.bytes.len();
        self.bytes.resize(old + READ, 0);
        let into = self.bytes.get_mut(old..).unwrap_or_default();
        let mut dropped = [0; 512];
        let read = poll_fn(|cx| {
            client.private_waits(cx);
            if client.gone.get() {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            if watched {
                while let Poll::Ready(Ok(len)) = client.stream.poll_read(cx, &mut dropped) {
                    if len == 0 {
                        return Poll::Ready(Ok(0));
                    }
                }
            }
            stream.poll_read(cx, into)
        })
        .await;
        let len = *read.as_ref().unwrap_or(&0);
        self.bytes.truncate(old + len);
        read.map(|len| len > 0)
    }

    /// All whole lines; a line that is longer than what is read at once counts as whole.
    fn complete(&self) -> &[u8] {
        let end = memchr::memrchr(b'\n', &self.bytes).map_or(0, |at| at + 1);
        let end = if end == 0 && self.bytes.len() > READ { self.bytes.len() } else { end };
        self.bytes.get(..end).unwrap_or_default()
    }

    /// They are passed on.
    fn done(&mut self) {
        let len = self.complete().len();
        self.bytes.drain(..len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_ends_with_a_line_that_is_no_item() {
        for going in [&b""[..], b"OK\r\n", b"key=a exp=-1\nkey=b exp=-1\n", b"mg a\r\n"] {
            assert!(!ends_dump(going));
        }
        for end in [
            &b"key=a\nEND\r\n"[..],
            b"END\r\nb exp=-1\nkey=c\n",
            b"EN\r\n",
            b"ERROR metadump not allowed\r\n",
            b"BUSY currently\r\n",
        ] {
            assert!(ends_dump(end));
        }
    }
}
