//! Non-blocking connections and the epoll they are registered with.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;

use super::scanner::{Counts, Scanner};

/// One connection: requests that wait to be sent, answers that are counted.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    pub(super) out: Vec<u8>,
    sent: usize,
    scanner: Scanner,
    /// epoll tells when there is room to write
    watches_room: bool,
}

impl Connection {
    /// Sends what waits, as far as it goes.
    pub(super) fn flush(&mut self) -> Result<()> {
        while let Some(rest) = self.out.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(0) => bail!("the connection takes nothing"),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("cannot send"),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }

    /// Reads once and counts; the next wait tells if there is more.
    pub(super) fn receive(&mut self, buffer: &mut [u8], counts: &mut Counts) -> Result<()> {
        match self.stream.read(buffer) {
            Ok(0) => bail!("the server has closed the connection"),
            Ok(count) => self.scanner.scan(buffer.get(..count).unwrap_or_default(), counts),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error).context("cannot receive"),
        }
        Ok(())
    }
}

/// All connections of a load.
pub(super) struct Connections {
    epoll: OwnedFd,
    pub(super) all: Vec<Connection>,
    events: Vec<epoll::Event>,
}

impl Connections {
    /// Opens `count` connections.
    pub(super) fn open(address: SocketAddr, count: usize) -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).context("no epoll")?;
        let mut all = Vec::with_capacity(count);
        for number in 0..count {
            let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            epoll::add(&epoll, &stream, EventData::new_u64(number as u64), EventFlags::IN)?;
            all.push(Connection { stream, out: Vec::new(), sent: 0, scanner: Scanner::default(), watches_room: false });
        }
        Ok(Connections { epoll, all, events: Vec::with_capacity(256) })
    }

    /// Waits for connections that can be read or written, and writes what waits there; `ready` gets their numbers.
    pub(super) fn wait(&mut self, timeout: Duration, ready: &mut Vec<usize>) -> Result<()> {
        ready.clear();
        self.events.clear();
        let timeout = Timespec::try_from(timeout).context("a timeout out of range")?;
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("epoll"),
        }
        for event in &self.events {
            let number = usize::try_from(event.data.u64())?;
            let flags = event.flags;
            if flags.contains(EventFlags::OUT)
                && let Some(connection) = self.all.get_mut(number)
            {
                connection.flush()?;
            }
            if !flags.difference(EventFlags::OUT).is_empty() {
                ready.push(number);
            }
        }
        Ok(())
    }

    /// Sends what waits on one connection, and has epoll watch for room if not all of it went.
    pub(super) fn flush(&mut self, number: usize) -> Result<()> {
        let Some(connection) = self.all.get_mut(number) else { return Ok(()) };
        connection.flush()?;
        let waits = !connection.out.is_empty();
        if waits != connection.watches_room {
            connection.watches_room = waits;
            let flags = if waits { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            epoll::modify(&self.epoll, &connection.stream, EventData::new_u64(number as u64), flags)?;
        }
        Ok(())
    }
}
