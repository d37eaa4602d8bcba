//! Requests: from a client's command to the commands for memcached.

use super::answer::To;
use super::expect::{Hold, SessionId, What};
use super::session::{AHEAD, Inspected, KEYS_AT_ONCE, PrivateAnswer, PrivateCommand, State, Then};
use super::stripes::Mode;
use super::worker::{Done, Worker};
use crate::clock::{Now, Version};
use crate::protocol::encode::{self, Arithmetic, Store};
use crate::protocol::reply::Farewell;
use crate::protocol::{Command, Keys, MetaVerb, Request, StoreMode};
use crate::replication::record::{Expiry, Marks, Record};
use crate::stats::ProtocolLabel;

/// The kinds of commands that are counted, by the names of the metric's label.
pub(crate) const KINDS: [&str; 17] = [
    "get",
    "gets",
    "gat",
    "gats",
    "set",
    "add",
    "replace",
    "append",
    "prepend",
    "cas",
    "incr",
    "decr",
    "delete",
    "touch",
    "flush_all",
    "version",
    "other",
];

fn kind(command: &Command<'_>) -> usize {
    use crate::protocol::Direction::{Decrement, Increment};
    match command {
        Command::Get { cas: false, .. } | Command::RefusedGet { exptime: None, .. } => 0,
        Command::Get { cas: true, .. } => 1,
        Command::GetAndTouch { cas: false, .. } | Command::RefusedGet { exptime: Some(_), .. } => 2,
        Command::GetAndTouch { cas: true, .. } => 3,
        Command::Store { compare: Some(_), .. } => 9,
        Command::Store { mode, .. } => 4 + *mode as usize,
        Command::TooLarge { .. } => 4,
        Command::Arithmetic { direction: Increment, .. } => 10,
        Command::Arithmetic { direction: Decrement, .. } => 11,
        Command::Delete { .. } => 12,
        Command::Touch { .. } => 13,
        Command::FlushAll { .. } => 14,
        Command::Version => 15,
        // By the names of the classic commands that do the same.
        Command::Meta(meta) => match meta.verb {
            MetaVerb::Get => 0,
            MetaVerb::Set | MetaVerb::TooLarge => 4,
            MetaVerb::Arithmetic => 10,
            MetaVerb::Delete => 12,
            MetaVerb::Debug => 16,
        },
        Command::Quit
        | Command::Forward { .. }
        | Command::Stream { .. }
        | Command::ReplicationStats
        | Command::ClusterConfig => 16,
    }
}

impl Worker {
    /// Starts a request. `pipelined`: others came before it in the same piece of input.
    pub(super) fn execute(&mut self, id: SessionId, request: &Request<'_>, pipelined: bool, now: Now) -> Done {
        let done = self.start(id, request, pipelined, now);
        if !matches!(done, Done::Again(_)) {
            let protocol = match request.command {
                Command::Meta(_) => ProtocolLabel::Meta,
                _ => ProtocolLabel::Classic,
            };
            self.count(protocol, kind(&request.command));
        }
        done
    }

    fn start(&mut self, id: SessionId, request: &Request<'_>, pipelined: bool, now: Now) -> Done {
        let to = To::Text { noreply: request.noreply };
        let taken = match request.command {
            Command::Get { cas, keys } => self.get(id, cas, keys),
            Command::GetAndTouch { cas, exptime, keys } => self.get_and_touch(id, cas, exptime, keys, now),
            Command::RefusedGet { exptime, keys, reply } => self.refused_get(id, exptime, keys, reply, now),
            Command::Store { mode, key, flags, exptime, value, compare } => {
                // The version is filled in when there is one.
                let store = Store { mode, key, flags, exptime, version: 0, compare, binary: false, value };
                self.store(id, store, to, now)
            }
            Command::TooLarge { key } => self.delete(id, key, None, true, to, now),
            Command::Delete { key } => self.delete(id, key, None, false, to, now),
            Command::Arithmetic { direction, key, delta } => {
                let arithmetic = Arithmetic { direction, key, delta, version: 0, compare: None, create: None };
                self.arithmetic(id, arithmetic, to, now)
            }
            Command::Touch { key, exptime } => self.touch_item(id, key, exptime, to, now),
            Command::Meta(ref request) => self.meta(id, request, now),
            Command::FlushAll { delay } => Ok(then(Then::Flush { exptime: delay, to })),
            Command::ReplicationStats => {
                let text = self.replication_stats();
                self.say(id, What::LocalText(text.into()));
                Ok(Done::Taken)
            }
            Command::ClusterConfig => {
                self.say(
                    id,
                    match self.shared.discovery.answer() {
                        Some(answer) => What::LocalText((*answer).into()),
                        None => What::Local(crate::protocol::reply::ERROR),
                    },
                );
                Ok(Done::Taken)
            }
            Command::Version => {
                self.upstream.extend_from_slice(encode::VERSION);
                self.expect(id, What::Line { to });
                Ok(Done::Taken)
            }
            Command::Quit => {
                self.end(id, Farewell::Silent);
                Ok(Done::Taken)
            }
            Command::Forward { line } => Ok(private(line, None, PrivateAnswer::Lines)),
            Command::Stream { kind, .. } if pipelined => {
                self.say(id, What::Local(kind.pipelined_reply()));
                Ok(Done::Taken)
            }
            Command::Stream { line, kind } => Ok(private(line, Some(kind), PrivateAnswer::Lines)),
        };
        taken.unwrap_or_else(|stopped| stopped)
    }

    pub(super) fn hidden(&self) -> Option<Version> {
        self.shared.sweeping().then(|| self.shared.flush())
    }

    fn get(&mut self, id: SessionId, cas: bool, keys: Keys<'_>) -> Result<Done, Done> {
        let skip = self.session(id).map_or(0, |s| s.keys_done);
        let hide = self.hidden();
        let with_cas = cas || hide.is_some();
        let what = |last| What::Values { strip_cas: with_cas && !cas, hide, last };
        if let Some(key) = keys.single().filter(|_| skip == 0) {
            encode::get(&mut self.upstream, with_cas, [key]);
            self.expect(id, what(true));
            return Ok(Done::Taken);
        }
        let mut rest = keys;
        let at_once = self.keys_at_once();
        let last = rest.nth(skip + at_once).is_none();
        encode::get(&mut self.upstream, with_cas, keys.skip(skip).take(at_once));
        self.expect(id, what(last));
        if last {
            return Ok(Done::Taken);
        }
        if let Some(session) = self.session(id) {
            session.keys_done += at_once;
        }
        Err(Done::Again(State::Draining(Then::MoreKeys)))
    }

    /// Each key goes by itself: it is a write of that key, in the order of its stripe.
    fn get_and_touch(
        &mut self,
        id: SessionId,
        cas: bool,
        exptime: i32,
        keys: Keys<'_>,
        now: Now,
    ) -> Result<Done, Done> {
        let done = self.session(id).map_or(0, |s| s.keys_done);
        if { keys }.nth(done).is_none() {
            self.say(id, What::Local(b"END\r\n"));
        }
        self.key_by_key(id, keys, |worker, key, last| {
            let hold = worker.hold(id, key, Mode::Single, now)?;
            encode::get_and_touch(&mut worker.upstream, exptime, Keys::new(key));
            let hold = worker.record(hold, &Record::Delete { key, version: hold.version });
            let expiry = worker.shared.expiry_of(i64::from(exptime), now);
            let (to, hide) = (To::Text { noreply: false }, worker.hidden());
            worker.expect(id, What::Touched { hold, to, strip_cas: !cas, hide, last, expiry, hit: None });
            Ok(())
        })?;
        Ok(Done::Taken)
    }

    /// Does something with each key, told whether it is the last; with no more of them at once than are waited for.
    fn key_by_key(
        &mut self,
        id: SessionId,
        keys: Keys<'_>,
        mut one: impl FnMut(&mut Self, &[u8], bool) -> Result<(), Done>,
    ) -> Result<(), Done> {
        let skip = self.session(id).map_or(0, |s| s.keys_done);
        let mut rest = keys.skip(skip).peekable();
        let mut sent = 0;
        while let Some(key) = rest.next() {
            if sent == KEYS_AT_ONCE {
                return Err(Done::Again(State::Draining(Then::MoreKeys)));
            }
            one(self, key, rest.peek().is_none())?;
            sent += 1;
            if let Some(session) = self.session(id) {
                session.keys_done += 1;
            }
        }
        Ok(())
    }

    /// Nobody hears of the hits. Of those of a get no more are asked for than at once: they leave nothing but recency.
    fn refused_get(
        &mut self,
        id: SessionId,
        exptime: Option<i32>,
        keys: Keys<'_>,
        reply: &'static [u8],
        now: Now,
    ) -> Result<Done, Done> {
        match exptime {
            None => {
                let at_once = self.keys_at_once();
                encode::get(&mut self.upstream, false, keys.take(at_once));
                self.expect(SessionId::NOBODY, What::Values { strip_cas: false, hide: None, last: false });
            }
            Some(exptime) => {
                self.key_by_key(id, keys, |worker, key, _| {
                    worker.touch_item(id, key, exptime, To::Text { noreply: true }, now).map(drop)
                })?;
            }
        }
        self.say(id, What::Local(reply));
        Ok(Done::Taken)
    }

    /// How many keys of a get go to memcached before the answers to those before are read.
    fn keys_at_once(&self) -> usize {
        AHEAD.checked_div(self.value.bytes()).map_or(KEYS_AT_ONCE, |most| most.clamp(1, KEYS_AT_ONCE))
    }

    pub(super) fn store(&mut self, id: SessionId, mut store: Store<'_>, to: To, now: Now) -> Result<Done, Done> {
        let blind = store.mode == StoreMode::Set && store.compare.is_none();
        let hold =
            if blind { self.hold(id, store.key, Mode::Single, now)? } else { self.hold_present(id, store.key, now)? };
        store.version = hold.version.raw();
        match store.mode {
            StoreMode::Append | StoreMode::Prepend => {
                let first = self.begin_change(store.key, hold);
                encode::store(&mut self.upstream, &store);
                self.expect(id, What::Change { to, version: hold.version });
                self.end_change(id, store.key, hold, first, false);
            }
            StoreMode::Set | StoreMode::Add | StoreMode::Replace => {
                encode::store(&mut self.upstream, &store);
                let expiry = self.shared.expiry_of(i64::from(store.exptime), now);
                let (key, version) = (store.key, hold.version);
                let record = if expiry.is_past(now.mono_ms()) {
                    Record::Delete { key, version }
                } else {
                    Record::Set {
                        key,
                        version,
                        flags: store.flags,
                        expiry,
                        bulk: false,
                        marks: Marks::NONE,
                        value: store.value,
                    }
                };
                let hold = self.record(hold, &record);
                self.expect(id, What::Store { hold, to });
            }
        }
        Ok(Done::Taken)
    }

    pub(super) fn delete(
        &mut self,
        id: SessionId,
        key: &[u8],
        compare: Option<u64>,
        too_large: bool,
        to: To,
        now: Now,
    ) -> Result<Done, Done> {
        let hold = self.hold_present(id, key, now)?;
        encode::delete(&mut self.upstream, key, compare);
        let hold = self.record(hold, &Record::Delete { key, version: hold.version });
        self.expect(id, What::Delete { hold, too_large, compared: compare.is_some(), to });
        Ok(Done::Taken)
    }

    pub(super) fn arithmetic(
        &mut self,
        id: SessionId,
        mut arithmetic: Arithmetic<'_>,
        to: To,
        now: Now,
    ) -> Result<Done, Done> {
        let key = arithmetic.key;
        let (hold, fits) = self.hold_compared(id, key, arithmetic.compare, now)?;
        arithmetic.version = hold.version.raw();
        let first = self.begin_change(key, hold);
        encode::arithmetic(&mut self.upstream, &arithmetic);
        self.expect(id, What::Change { to, version: hold.version });
        self.end_change(id, key, hold, first, fits);
        Ok(Done::Taken)
    }

    /// [`Worker::hold_present`] for a counter that may be changed only where its item has a certain CAS; whether it has. That
    /// is looked at before, with the stripe held alone: behind a comparison that fails the version must not be set, and
    /// where one that succeeds lost it, others would read memcached's own number until it is set.
    pub(super) fn hold_compared(
        &mut self,
        id: SessionId,
        key: &[u8],
        compare: Option<u64>,
        now: Now,
    ) -> Result<(Hold, bool), Done> {
        let Some(compare) = compare else { return Ok((self.hold_present(id, key, now)?, true)) };
        match self.session(id).and_then(|session| session.inspected) {
            Some(Inspected { cas, .. }) => Ok((self.hold(id, key, Mode::Exclusive, now)?, cas == Some(compare))),
            None => Err(self.inspect(id, key, now)),
        }
    }

    pub(super) fn touch_item(
        &mut self,
        id: SessionId,
        key: &[u8],
        exptime: i32,
        to: To,
        now: Now,
    ) -> Result<Done, Done> {
        let hold = self.hold_present(id, key, now)?;
        encode::touch(&mut self.upstream, key, exptime, matches!(to, To::Binary(_)));
        let hold = self.record(hold, &Record::Delete { key, version: hold.version });
        let expiry = self.shared.expiry_of(i64::from(exptime), now);
        self.expect(id, What::Touch { hold, to, expiry });
        Ok(Done::Taken)
    }

    /// Takes the stripe for a command whose result depends on what is there. While a flush is swept, what is there may be
    /// flushed: then the item is looked at first, with the stripe held alone.
    pub(super) fn hold_present(&mut self, id: SessionId, key: &[u8], now: Now) -> Result<Hold, Done> {
        let inspected = self.session(id).is_some_and(|s| s.inspected.is_some());
        if inspected || !self.shared.sweeping() {
            return self.hold(id, key, Mode::Single, now);
        }
        Err(self.inspect(id, key, now))
    }

    /// Looks at the item that the request at the front is about; then it is started again.
    fn inspect(&mut self, id: SessionId, key: &[u8], now: Now) -> Done {
        let hold = match self.hold(id, key, Mode::Exclusive, now) {
            Ok(hold) => hold,
            Err(stopped) => return stopped,
        };
        encode::inspect(&mut self.upstream, key);
        let hold = self.record(hold, &Record::Delete { key, version: hold.version });
        self.expect(id, What::Inspect { hold });
        Done::Again(State::Inspecting)
    }

    /// Makes sure that nothing flushed is found by a command that goes by another connection.
    #[cold]
    pub(super) fn purge_flushed(&mut self, id: SessionId, key: &[u8], now: Now) -> Result<(), Done> {
        match self.session(id).and_then(|session| session.inspected.take()) {
            Some(inspected) => self.release(inspected.stripe),
            None if self.shared.sweeping() => {
                self.hold_present(id, key, now)?;
            }
            None => {}
        }
        Ok(())
    }

    pub(super) fn record(&mut self, hold: Hold, record: &Record<'_>) -> Hold {
        let queue = self.records.tail();
        let before = queue.len();
        record.encode(queue);
        Hold { record: queue.len() - before, ..hold }
    }
}

pub(super) fn then(then: Then) -> Done {
    Done::TakenThen(State::Draining(then))
}

pub(super) fn private(line: &[u8], stream: Option<crate::protocol::StreamKind>, to: PrivateAnswer) -> Done {
    then(Then::Private(PrivateCommand { line: line.to_vec(), stream, to }))
}

/// What a touch of an item is in the log.
pub(super) fn touch_record<'a>(key: &'a [u8], item: Version, version: Version, expiry: Expiry, now: Now) -> Record<'a> {
    if expiry.is_past(now.mono_ms()) {
        Record::Delete { key, version }
    } else {
        Record::Touch { key, item, version, expiry }
    }
}
