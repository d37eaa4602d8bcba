//! One client connection.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::worker::Serving;
use crate::dataplane::expect::SessionId;
use crate::net::buffer::Sent;
use crate::net::stream::Stream;

/// What the shell knows of a client; the pure session has the rest. Small, since there may be very many.
#[derive(Debug)]
pub struct Client {
    /// Its session.
    pub id: SessionId,
    /// Its socket.
    pub stream: Stream,
    /// How much of the session's output is sent.
    pub sent: RefCell<Sent>,
    /// The socket is full: the client's task waits until it is not.
    pub blocked: Cell<bool>,
    /// The client's task does not read since nothing may be taken.
    pub paused: Cell<bool>,
    /// The client will send nothing more: when all is answered the connection is closed.
    pub ended: Cell<bool>,
    /// When all output is sent the connection is closed, whatever the session is doing.
    pub last_words: Cell<bool>,
    /// The connection is closed; its tasks end.
    pub gone: Cell<bool>,
    /// When bytes last went in or out, in seconds of the monotonic clock.
    pub moved_s: Cell<u32>,
    /// Bytes of memory that the budget knows of.
    pub accounted: Cell<usize>,
    waker: RefCell<Option<Waker>>,
    private: RefCell<Option<Waker>>,
}

impl Client {
    /// A client that has just connected.
    #[must_use]
    pub fn new(id: SessionId, stream: Stream, now_s: u32) -> Self {
        Self {
            id,
            stream,
            sent: RefCell::default(),
            blocked: Cell::new(false),
            paused: Cell::new(false),
            ended: Cell::new(false),
            last_words: Cell::new(false),
            gone: Cell::new(false),
            moved_s: Cell::new(now_s),
            accounted: Cell::new(0),
            waker: RefCell::default(),
            private: RefCell::default(),
        }
    }

    /// Wakes the client's task.
    pub fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Wakes the task of the client's private command.
    pub fn wake_private(&self) {
        if let Some(waker) = self.private.take() {
            waker.wake();
        }
    }

    /// The task of the client's private command waits.
    pub fn private_waits(&self, cx: &mut Context<'_>) {
        *self.private.borrow_mut() = Some(cx.waker().clone());
    }

    fn registers(&self, cx: &mut Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }
}

/// The task of a client: reads, and writes what could not be written at once.
#[derive(Debug)]
pub struct Conversation {
    serving: Rc<Serving>,
    client: Rc<Client>,
}

impl Conversation {
    /// For a client that [`Serving`] knows.
    #[must_use]
    pub fn new(serving: Rc<Serving>, client: Rc<Client>) -> Self {
        Self { serving, client }
    }
}

impl Future for Conversation {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { serving, client } = &*self;
        client.registers(cx);
        if client.blocked.get() {
            match client.stream.poll_writable(cx) {
                Poll::Ready(Ok(())) => {
                    client.blocked.set(false);
                    serving.attend_alone(client.id);
                }
                Poll::Ready(Err(_)) => serving.close(client.id),
                Poll::Pending => {}
            }
        }
        loop {
            if client.gone.get() {
                return Poll::Ready(());
            }
            if client.ended.get() || !serving.wants_input(client) {
                client.paused.set(true);
                return Poll::Pending;
            }
            client.paused.set(false);
            match client.stream.poll_readable(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => {
                    serving.close(client.id);
                    continue;
                }
                Poll::Pending => return Poll::Pending,
            }
            if serving.read(client) {
                // There is more, but others come first.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}
