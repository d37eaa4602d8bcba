//! The link thread's connections to memcached.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::spawn_local;

use crate::backend::connect::connect;
use crate::backend::scan::enable_crawler;
use crate::clock::Now;
use crate::config::Upstream;
use crate::net::buffer::{ReadBuffer, Sent};
use crate::net::stream::Stream;
use crate::protocol::response::MAX_RESPONSE_LINE;
use crate::replication::replicator::Replicator;
use crate::replication::resync::DumpCommand;

/// Bytes read from memcached at once; more only while a value is longer.
pub(super) const READ: usize = 64 << 10;
/// Capacity that the output keeps.
pub(super) const OUTPUT_KEEP: usize = 1 << 20;
/// Pause after a connection for a dump could not be made.
const RETRY: Duration = Duration::from_millis(200);
/// Full reads before others have their turn.
const READS: usize = 8;

#[derive(Debug)]
struct Pipe {
    stream: Stream,
    sent: Sent,
    buffer: ReadBuffer,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Backend {
    at: Upstream,
    commands: Option<Pipe>,
    dump: Option<(Stream, ReadBuffer)>,
    /// Which attempt to open a dump counts.
    attempt: u64,
    opened: mpsc::UnboundedReceiver<(u64, io::Result<Stream>)>,
    opening: mpsc::UnboundedSender<(u64, io::Result<Stream>)>,
}

impl Backend {
    pub(super) fn new(at: Upstream) -> Self {
        let (opening, opened) = mpsc::unbounded_channel();
        Self { at, commands: None, dump: None, attempt: 0, opened, opening }
    }

    pub(super) fn connected(&mut self, stream: Stream, item_size_max: u64) {
        let longest = usize::try_from(item_size_max).unwrap_or(usize::MAX).saturating_add(2 * MAX_RESPONSE_LINE);
        self.commands = Some(Pipe { stream, sent: Sent::default(), buffer: ReadBuffer::new(READ, longest) });
    }

    /// Closes everything; whether there was anything.
    pub(super) fn disconnected(&mut self) -> bool {
        self.dump = None;
        self.attempt += 1;
        self.commands.take().is_some()
    }

    pub(super) fn poll_write(&mut self, replicator: &mut Replicator, cx: &mut Context<'_>) -> Result<(), String> {
        let Some(pipe) = &mut self.commands else { return Ok(()) };
        let output = replicator.upstream_output();
        loop {
            pipe.sent.flush(&pipe.stream, output, OUTPUT_KEEP).map_err(|error| error.to_string())?;
            if output.is_empty() {
                return Ok(());
            }
            match pipe.stream.poll_writable(cx) {
                Poll::Ready(ready) => ready.map_err(|error| error.to_string())?,
                Poll::Pending => return Ok(()),
            }
        }
    }

    /// Takes memcached's answers; whether there were any.
    pub(super) fn poll_commands(
        &mut self,
        replicator: &mut Replicator,
        cx: &mut Context<'_>,
        now: Now,
    ) -> Result<bool, String> {
        let Some(pipe) = &mut self.commands else { return Ok(false) };
        let mut progress = false;
        for _ in 0..READS {
            match pipe.stream.poll_readable(cx) {
                Poll::Pending => break,
                Poll::Ready(ready) => ready.map_err(|error| error.to_string())?,
            }
            match pipe.buffer.try_fill(&pipe.stream).map_err(|error| error.to_string())? {
                None => continue,
                Some(0) => return Err("closed by memcached".to_owned()),
                Some(_) => {}
            }
            progress = true;
            let consumed = replicator.upstream_input(pipe.buffer.filled(), now).map_err(|error| error.to_string())?;
            pipe.buffer.consume(consumed);
        }
        Ok(progress)
    }

    /// Opens or closes the connection for dumps as the replicator wants it.
    pub(super) fn follow(&mut self, replicator: &mut Replicator) {
        while let Some(command) = replicator.take_dump_command() {
            if let DumpCommand::Ask(question) = command {
                let Some((stream, _)) = &self.dump else { continue };
                // Nothing else is on its way there, so a few bytes always fit.
                if !matches!(stream.try_write(question), Ok(len) if len == question.len()) {
                    self.dump = None;
                    replicator.dump_failed();
                }
                continue;
            }
            self.dump = None;
            self.attempt += 1;
            let DumpCommand::Start(question) = command else { continue };
            let (at, attempt, opening) = (self.at.clone(), self.attempt, self.opening.clone());
            spawn_local(async move {
                let stream = async {
                    let stream = connect(&at).await?;
                    enable_crawler(&stream).await?;
                    stream.write_all(question).await?;
                    Ok(stream)
                };
                let stream = stream.await;
                if stream.is_err() {
                    tokio::time::sleep(RETRY).await;
                }
                let _ = opening.send((attempt, stream));
            });
        }
    }

    /// Takes as much of a dump as the replicator wants; whether it was any.
    pub(super) fn poll_dump(&mut self, replicator: &mut Replicator, cx: &mut Context<'_>, now: Now) -> bool {
        let mut progress = false;
        while let Poll::Ready(Some((attempt, opened))) = self.opened.poll_recv(cx) {
            if attempt == self.attempt {
                match opened {
                    Ok(stream) => self.dump = Some((stream, ReadBuffer::new(READ, READ))),
                    Err(error) => {
                        tracing::warn!("no dump of memcached: {error}");
                        replicator.dump_failed();
                    }
                }
                progress = true;
            }
        }
        let Some((stream, buffer)) = &mut self.dump else { return progress };
        match take(stream, buffer, replicator, cx, now) {
            Ok(taken) => progress |= taken,
            Err(why) => {
                tracing::warn!("a dump of memcached broke off: {why}");
                self.dump = None;
                self.attempt += 1;
                replicator.dump_failed();
                progress = true;
            }
        }
        if progress {
            replicator.turn(now);
        }
        progress
    }
}

fn take(
    stream: &Stream,
    buffer: &mut ReadBuffer,
    replicator: &mut Replicator,
    cx: &mut Context<'_>,
    now: Now,
) -> Result<bool, String> {
    let mut progress = false;
    for _ in 0..READS {
        if !replicator.dump_wants_input() {
            break;
        }
        let consumed = replicator.dump_input(buffer.filled(), now).map_err(|error| error.to_string())?;
        buffer.consume(consumed);
        if consumed > 0 {
            progress = true;
            continue;
        }
        match stream.poll_readable(cx) {
            Poll::Pending => break,
            Poll::Ready(ready) => ready.map_err(|error| error.to_string())?,
        }
        match buffer.try_fill(stream).map_err(|error| error.to_string())? {
            Some(0) => return Err("closed by memcached".to_owned()),
            read => progress |= read.is_some(),
        }
    }
    Ok(progress)
}
