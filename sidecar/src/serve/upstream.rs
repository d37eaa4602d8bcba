//! The connection to memcached that all clients of a worker share.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::task::spawn_local;

use super::worker::Serving;
use crate::clock::Now;
use crate::dataplane::expect::SessionId;
use crate::dataplane::values::Direct;
use crate::dataplane::worker::Content;
use crate::net::buffer::{ReadBuffer, Sent};
use crate::net::stream::Stream;
use crate::protocol::Limits;
use crate::protocol::response::MAX_RESPONSE_LINE;

/// Bytes read from memcached at once; more only while a value is longer. It is as much as a unix socket holds by default.
pub(super) const READ: usize = 256 << 10;
/// Capacity that the output keeps.
pub(super) const OUTPUT_KEEP: usize = 1 << 20;
/// Waiting bytes below which clients are read again.
const LOW: usize = 1 << 20;
/// Full reads before others have their turn.
const READS: usize = 4;

/// See the module.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    sent: RefCell<Sent>,
    closed: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    writer: RefCell<Option<Waker>>,
}

impl Connection {
    /// Has the bytes for memcached sent when all that is ready now has had its turn.
    pub fn wake_writer(&self) {
        if let Some(waker) = self.writer.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Ends its tasks, which close the socket.
    pub fn close(&self) {
        self.closed.set(true);
        self.wake_writer();
        if let Some(waker) = self.reader.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
}

/// Takes a connection into use.
pub fn connected(serving: &Rc<Serving>, stream: Stream, limits: Limits, content: Content) {
    let connection = Rc::new(Connection {
        stream,
        sent: RefCell::default(),
        closed: Cell::new(false),
        reader: RefCell::default(),
        writer: RefCell::default(),
    });
    serving.use_connection(Rc::clone(&connection));
    let longest = usize::try_from(limits.item_size_max).unwrap_or(usize::MAX);
    let buffer = ReadBuffer::new(READ, longest.saturating_add(2 * MAX_RESPONSE_LINE));
    spawn_local(Reader { serving: Rc::clone(serving), connection: Rc::clone(&connection), buffer });
    spawn_local(Writer { serving: Rc::clone(serving), connection });
    let now = serving.now();
    serving.core.borrow_mut().upstream_connected(limits, content, now);
    serving.settle(now);
    serving.wake_paused();
}

fn register(slot: &RefCell<Option<Waker>>, cx: &mut Context<'_>) {
    let mut waker = slot.borrow_mut();
    if !waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
        *waker = Some(cx.waker().clone());
    }
}

/// Sends what the worker wants sent.
struct Writer {
    serving: Rc<Serving>,
    connection: Rc<Connection>,
}

impl Future for Writer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { serving, connection } = &*self;
        register(&connection.writer, cx);
        loop {
            if connection.closed.get() {
                return Poll::Ready(());
            }
            let mut core = serving.core.borrow_mut();
            let output = core.upstream_output();
            if output.is_empty() {
                return Poll::Pending;
            }
            let mut sent = connection.sent.borrow_mut();
            let result = sent.flush(&connection.stream, output, OUTPUT_KEEP);
            let (left, len) = (sent.left(output), output.len());
            drop((core, sent));
            match result {
                Ok(bytes) => {
                    if let Some(stats) = serving.stats() {
                        stats.upstream_bytes_sent.add(bytes as u64);
                    }
                }
                Err(error) => {
                    serving.lost(connection, &error.to_string());
                    return Poll::Ready(());
                }
            }
            if len < LOW {
                serving.feed();
            }
            if left == 0 {
                serving.publish();
                return Poll::Pending;
            }
            match connection.stream.poll_writable(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    serving.lost(connection, &error.to_string());
                    return Poll::Ready(());
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// Takes memcached's answers.
struct Reader {
    serving: Rc<Serving>,
    connection: Rc<Connection>,
    buffer: ReadBuffer,
}

/// The sockets of the clients, for long values: what comes of them goes out of the buffer that it was read into.
struct Clients<'a> {
    serving: &'a Serving,
    now: Now,
}

impl Direct for Clients<'_> {
    fn send(&mut self, id: SessionId, bytes: &[u8]) -> usize {
        self.serving.send_direct(id, bytes, self.now)
    }
}

impl Reader {
    /// Whether the buffer was filled, so that there may be more.
    fn read(&mut self) -> Result<Option<bool>, String> {
        let Self { serving, connection, buffer } = self;
        let room = buffer.space().len();
        let len = match buffer.try_fill(&connection.stream) {
            Ok(None) => return Ok(None),
            Ok(Some(0)) => return Err("closed by memcached".to_owned()),
            Ok(Some(len)) => len,
            Err(error) => return Err(error.to_string()),
        };
        if let Some(stats) = serving.stats() {
            stats.upstream_bytes_received.add(len as u64);
        }
        let now = serving.now();
        serving.activity.noted(now.mono_us);
        let consumed = serving.core.borrow_mut().upstream_input(buffer.filled(), now, &mut Clients { serving, now });
        match consumed {
            Ok(consumed) => buffer.consume(consumed),
            Err(error) => return Err(error.to_string()),
        }
        serving.settle(now);
        Ok(Some(len == room))
    }
}

impl Future for Reader {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        register(&self.connection.reader, cx);
        let mut reads = 0;
        loop {
            if self.connection.closed.get() {
                return Poll::Ready(());
            }
            let ready = self.connection.stream.poll_readable(cx);
            let read = match ready {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => Err(error.to_string()),
                Poll::Ready(Ok(())) => self.read(),
            };
            match read {
                Ok(Some(true)) => reads += 1,
                Ok(_) => {}
                Err(why) => {
                    let connection = Rc::clone(&self.connection);
                    self.serving.lost(&connection, &why);
                    return Poll::Ready(());
                }
            }
            if reads == READS {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}
