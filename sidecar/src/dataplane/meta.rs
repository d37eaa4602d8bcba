//! The meta commands: what goes to memcached for them, and what its answers mean.
//!
//! A read goes on without stripe or version. All that it can change is who has the win token of an item, and the answer
//! says so. Whatever else can change something is a write: it takes its version (`E`), and where the line alone does not
//! tell what the item is then, the item is read back.

use super::answer::To;
use super::changes::{Change, change_of_error};
use super::expect::{Ends, Hidden, Hold, SessionId, What};
use super::peek::Staling;
use super::reply::{Batch, meta, record_key};
use super::request::{private, touch_record};
use super::session::PrivateAnswer;
use super::stripes::Mode;
use super::worker::{Done, UpstreamError, Worker};
use crate::clock::{Now, Version};
use crate::protocol::limits::MAX_KEY;
use crate::protocol::reply;
use crate::protocol::response::{Meta, MetaCode, Response};
use crate::protocol::{MetaRequest, MetaVerb, encode};
use crate::replication::record::{Marks, Record};
use crate::rules::Rule;

/// How the answer to a meta command is passed on.
#[derive(Debug)]
pub struct Passing {
    /// The CAS was asked for by us only.
    pub strip_cas: bool,
    /// What is no news is not told: a miss of `mg`, the success of the others.
    pub quiet: bool,
    /// The key is put in, since memcached must not be asked for it.
    pub key: Option<Box<KeyEcho>>,
}

/// See [`MetaRequest::place_of_key`].
#[derive(Debug)]
pub struct KeyEcho {
    on_hit: usize,
    otherwise: usize,
    /// With a blank before.
    text: Vec<u8>,
}

impl Passing {
    fn of(request: &MetaRequest<'_>) -> Self {
        let places = request.place_of_key(true).zip(request.place_of_key(false));
        let key = places.map(|(on_hit, otherwise)| {
            let mut text = Vec::new();
            request.write_key(&mut text);
            Box::new(KeyEcho { on_hit, otherwise, text })
        });
        Self { strip_cas: !request.has(b'c'), quiet: request.has(b'q'), key }
    }
}

impl Worker {
    pub(super) fn meta(&mut self, id: SessionId, request: &MetaRequest<'_>, now: Now) -> Result<Done, Done> {
        let mut buffer = [0; MAX_KEY];
        let key = request.key(&mut buffer);
        let passing = Passing::of(request);
        match request.verb {
            MetaVerb::Get if request.has(b'N') || request.has(b'T') => {
                self.meta_touch(id, request, key, passing, now)?
            }
            MetaVerb::Get => self.meta_read(id, request, key, passing),
            MetaVerb::Set => self.meta_set(id, request, key, passing, now)?,
            MetaVerb::TooLarge => return self.delete(id, key, None, true, To::Text { noreply: false }, now),
            MetaVerb::Delete if request.has(b'x') => {
                let hold = self.hold_present(id, key, now)?;
                request.write_to(&mut self.upstream, Some(hold.version.raw()), false);
                // An empty item takes its place.
                let marks = if request.has(b'I') { Marks::STALE } else { Marks::NONE };
                let record = self.stored_record(request, key, hold.version, marks, now);
                let hold = self.record(hold, &record);
                self.expect(id, What::MetaStore { hold, drops: false, passing });
            }
            MetaVerb::Delete if request.has(b'I') => {
                let hold = self.hold_present(id, key, now)?;
                let touch = request.exptime(b'T').map(|exptime| self.shared.expiry_of(i64::from(exptime), now));
                let record = Record::Delete { key, version: hold.version };
                self.peek_and(id, request, (key, hold), (&record, Staling::Mark(touch)), passing);
            }
            MetaVerb::Delete => {
                let hold = self.hold_present(id, key, now)?;
                request.write_to(&mut self.upstream, None, false);
                let hold = self.record(hold, &Record::Delete { key, version: hold.version });
                let only_this = request.has(b'C');
                self.expect(id, What::MetaDelete { hold, only_this, passing });
            }
            MetaVerb::Arithmetic => {
                // For memcached 0 compares with nothing.
                let compare = request.compare().filter(|compare| *compare != 0);
                let (hold, fits) = self.hold_compared(id, key, compare, now)?;
                self.meta_change(id, request, (key, hold), passing, fits);
            }
            // Its answer shows the bytes of the key, and ends at a line feed among them.
            MetaVerb::Debug if request.hides_key() => {
                self.purge_flushed(id, key, now)?;
                let mut line = Vec::new();
                request.write_to(&mut line, None, false);
                line.truncate(line.len() - 2);
                return Ok(private(&line, None, PrivateAnswer::Lines));
            }
            MetaVerb::Debug => {
                request.write_to(&mut self.upstream, None, false);
                let hide = self.hidden();
                self.expect(id, What::MetaDebug { hide });
            }
        }
        Ok(Done::Taken)
    }

    fn meta_read(&mut self, id: SessionId, request: &MetaRequest<'_>, key: &[u8], passing: Passing) {
        request.write_to(&mut self.upstream, None, true);
        let queue = self.records.tail();
        let before = queue.len();
        Record::Won { key, item: Version::ZERO }.encode(queue);
        let record = queue.len() - before;
        let hide = self.hidden().map(|flush| {
            let mut miss = Vec::new();
            if !passing.quiet {
                miss.extend_from_slice(b"EN");
                request.write_echo(&mut miss);
                miss.extend_from_slice(b"\r\n");
            }
            Box::new(Hidden { flush, miss: miss.into() })
        });
        self.expect(id, What::MetaRead { record, hide, passing });
    }

    fn meta_touch(
        &mut self,
        id: SessionId,
        request: &MetaRequest<'_>,
        key: &[u8],
        passing: Passing,
        now: Now,
    ) -> Result<(), Done> {
        let hold = self.hold_present(id, key, now)?;
        let vivify = request.has(b'N').then(|| hold.version.raw());
        request.write_to(&mut self.upstream, vivify, true);
        let hold = self.record(hold, &Record::Delete { key, version: hold.version });
        let expiry = |exptime: i32| self.shared.expiry_of(i64::from(exptime), now);
        let ends = Ends {
            touch: request.exptime(b'T').map(expiry),
            created: expiry(request.first_exptime()),
            binary: request.is_binary(),
        };
        self.expect(id, What::MetaTouch { hold, ends: Box::new(ends), passing });
        Ok(())
    }

    fn meta_set(
        &mut self,
        id: SessionId,
        request: &MetaRequest<'_>,
        key: &[u8],
        passing: Passing,
        now: Now,
    ) -> Result<(), Done> {
        let blind = matches!(request.mode, 0 | b'S') && !request.has(b'C');
        let hold = if blind { self.hold(id, key, Mode::Single, now)? } else { self.hold_present(id, key, now)? };
        if matches!(request.mode, b'A' | b'P') {
            self.meta_change(id, request, (key, hold), passing, false);
            return Ok(());
        }
        let marks = if request.is_binary() { Marks::BINARY } else { Marks::NONE };
        match request.compare().filter(|_| request.has(b'I') && request.mode != b'E') {
            Some(compare) => {
                let record = self.set_record(request, key, hold.version, marks, now);
                self.peek_and(id, request, (key, hold), (&record, Staling::Older(compare)), passing);
            }
            None => {
                request.write_to(&mut self.upstream, Some(hold.version.raw()), false);
                let record = self.stored_record(request, key, hold.version, marks, now);
                let hold = self.record(hold, &record);
                self.expect(id, What::MetaStore { hold, drops: true, passing });
            }
        }
        Ok(())
    }

    /// What the line itself says that the item is then.
    fn stored_record<'a>(
        &self,
        request: &MetaRequest<'a>,
        key: &'a [u8],
        version: Version,
        marks: Marks,
        now: Now,
    ) -> Record<'a> {
        match self.set_record(request, key, version, marks, now) {
            Record::Set { expiry, .. } if expiry.is_past(now.mono_ms()) => Record::Delete { key, version },
            record => record,
        }
    }

    /// The same, though its end may be past: the end of another item may be put in its place.
    fn set_record<'a>(
        &self,
        request: &MetaRequest<'a>,
        key: &'a [u8],
        version: Version,
        marks: Marks,
        now: Now,
    ) -> Record<'a> {
        let expiry = self.shared.expiry_of(i64::from(request.exptime(b'T').unwrap_or(0)), now);
        let flags = request.client_flags();
        Record::Set { key, version, flags, expiry, bulk: false, marks, value: request.value }
    }

    /// Sends a command whose effect is read back.
    fn meta_change(
        &mut self,
        id: SessionId,
        request: &MetaRequest<'_>,
        (key, hold): (&[u8], Hold),
        mut passing: Passing,
        version_set: bool,
    ) {
        let first = self.begin_change(key, hold);
        request.write_to(&mut self.upstream, Some(hold.version.raw()), false);
        let maybe_silent = passing.quiet && request.verb == MetaVerb::Arithmetic && request.tells_creation();
        if maybe_silent {
            // Only memcached knows whether it says something: what comes behind shows whether it did.
            self.upstream.truncate(self.upstream.len() - 2);
            self.upstream.extend_from_slice(b" q\r\n");
            self.upstream.extend_from_slice(encode::NOOP);
        }
        let refuse = request.verb == MetaVerb::Arithmetic && request.opaque_too_long();
        passing.quiet &= !maybe_silent;
        self.expect(id, What::MetaChange { passing, maybe_silent, refuse });
        self.end_change(id, key, hold, first, version_set);
    }

    /// The answer to a plain `mg`.
    pub(super) fn meta_read_answered(
        &mut self,
        id: SessionId,
        response: &Response<'_>,
        batch: &mut Batch<'_>,
        (record, hide, passing): (usize, Option<Box<Hidden>>, Passing),
    ) -> Result<(), UpstreamError> {
        match response {
            Response::Meta(meta) if matches!(meta.code, MetaCode::Value | MetaCode::Header) => {
                let len = meta.value.map_or(0, <[u8]>::len);
                let shown = self.meta_hit(id, meta, len, batch, (record, hide.as_deref(), &passing))?;
                if let (true, Some(value)) = (shown, meta.value) {
                    self.put(id, value);
                    self.put(id, b"\r\n");
                }
            }
            Response::Meta(meta) if meta.code == MetaCode::Miss => {
                if !passing.quiet {
                    self.put_meta(id, meta, 0, &passing);
                }
            }
            Response::Error { line } => self.put_line(id, line),
            _ => return Err(UpstreamError::Unexpected),
        }
        Ok(())
    }

    /// A hit of a plain `mg`, whose value may still be coming: whether the client gets it.
    pub(super) fn meta_hit(
        &mut self,
        id: SessionId,
        meta: &Meta<'_>,
        len: usize,
        batch: &mut Batch<'_>,
        (record, hide, passing): (usize, Option<&Hidden>, &Passing),
    ) -> Result<bool, UpstreamError> {
        let item = meta.flags.cas().map(Version::of_item).ok_or(UpstreamError::Unexpected)?;
        if let Some(hidden) = hide.filter(|hidden| item <= hidden.flush) {
            self.put(id, &hidden.miss);
            return Ok(false);
        }
        if meta.flags.has(b'W')
            && let Some(key) = record_key(self.records.front(record))
        {
            let key = key.to_vec();
            self.won(batch, &key, item);
        }
        self.value.saw(len);
        if let Some(session) = self.session(id) {
            session.values_now += len;
        }
        self.put_meta(id, meta, len, passing);
        Ok(true)
    }

    /// Somebody has the win token of this item now.
    fn won(&self, batch: &mut Batch<'_>, key: &[u8], item: Version) {
        if self.shared.broken(Rule::TokenTravels) {
            return;
        }
        // Another worker may have its answer still to come.
        let in_flight = self.shared.may_be_in_flight(item) && !self.shared.broken(Rule::TokenFollowsItsItem);
        batch.journal().commit_won(self.shared.hasher.hash(key), key, item, in_flight);
    }

    /// The answer to `mg` with `T` or `N`.
    pub(super) fn meta_touched(
        &mut self,
        id: SessionId,
        response: &Response<'_>,
        batch: &mut Batch<'_>,
        (hold, ends, passing): (Hold, Ends, Passing),
        now: Now,
    ) -> Result<(), UpstreamError> {
        let Ends { touch, created, binary } = ends;
        match response {
            Response::Meta(meta) if matches!(meta.code, MetaCode::Value | MetaCode::Header) => {
                let item = meta.flags.cas().map(Version::of_item).ok_or(UpstreamError::Unexpected)?;
                let record = self.records.front(hold.record).to_vec();
                let key = record_key(&record).ok_or(UpstreamError::Unexpected)?;
                let version = hold.version;
                let mut bytes = Vec::with_capacity(record.len() + 64);
                if item != version {
                    if let Some(expiry) = touch {
                        touch_record(key, item, version, expiry, now).encode(&mut bytes);
                    }
                } else if created.is_past(now.mono_ms()) {
                    Record::Delete { key, version }.encode(&mut bytes);
                } else if !self.shared.broken(Rule::VivifyIsWrite) {
                    let marks = if binary { Marks::WON.and(Marks::BINARY) } else { Marks::WON };
                    let (flags, bulk, expiry) = (0, false, created);
                    Record::Set { key, version, flags, expiry, bulk, marks, value: b"" }.encode(&mut bytes);
                }
                if item != version && meta.flags.has(b'W') {
                    self.won(batch, key, item);
                }
                match bytes.is_empty() {
                    true => self.release_front(hold),
                    false => self.commit(batch, hold, &bytes),
                }
                let len = meta.value.map_or(0, <[u8]>::len);
                self.put_meta(id, meta, len, &passing);
                if let Some(value) = meta.value {
                    self.put(id, value);
                    self.put(id, b"\r\n");
                }
            }
            Response::Meta(meta) if meta.code == MetaCode::Miss => {
                self.release_front(hold);
                if !passing.quiet {
                    self.put_meta(id, meta, 0, &passing);
                }
            }
            Response::Error { line } => {
                self.release_front(hold);
                self.put_line(id, line);
            }
            _ => return Err(UpstreamError::Unexpected),
        }
        Ok(())
    }

    /// The answer to an `ms`, or an `md x`, whose record is in the queue.
    pub(super) fn meta_stored(
        &mut self,
        id: SessionId,
        response: &Response<'_>,
        batch: &mut Batch<'_>,
        (hold, drops, passing): (Hold, bool, Passing),
    ) -> Result<(), UpstreamError> {
        match response {
            Response::Meta(meta) => {
                match meta.code {
                    MetaCode::Header => {
                        if !drops {
                            // It may have become stale.
                            self.token_freed(hold.hash);
                        }
                        self.commit_front(batch, hold);
                    }
                    MetaCode::NotStored | MetaCode::Exists | MetaCode::NotFound => self.release_front(hold),
                    _ => return Err(UpstreamError::Unexpected),
                }
                self.put_result(id, meta, &passing);
            }
            Response::Error { line } => {
                match drops && line.starts_with(b"SERVER_ERROR") {
                    true => self.commit_delete(batch, hold),
                    false => self.release_front(hold),
                }
                self.put_line(id, line);
            }
            _ => return Err(UpstreamError::Unexpected),
        }
        Ok(())
    }

    /// The answer to an `md` that deletes. A miss is logged like any other delete, unless it was for one item only.
    pub(super) fn meta_deleted(
        &mut self,
        id: SessionId,
        response: &Response<'_>,
        batch: &mut Batch<'_>,
        (hold, only_this, passing): (Hold, bool, Passing),
    ) -> Result<(), UpstreamError> {
        let meta = meta(response)?;
        match meta.code {
            MetaCode::Header => self.commit_front(batch, hold),
            MetaCode::NotFound if !only_this => self.commit_front(batch, hold),
            MetaCode::NotFound | MetaCode::Exists => self.release_front(hold),
            _ => return Err(UpstreamError::Unexpected),
        }
        self.put_result(id, meta, &passing);
        Ok(())
    }

    /// The answer to a change: kept for the client until the read-back is in the journal.
    pub(super) fn meta_change_answered(
        &mut self,
        response: &Response<'_>,
        (passing, maybe_silent, refuse): (Passing, bool, bool),
    ) -> Result<(), UpstreamError> {
        match response {
            Response::Meta(Meta { code: MetaCode::NoOp, .. }) if maybe_silent => {
                self.changes.became(Change::Made);
                return Ok(());
            }
            Response::Meta(meta) => {
                let made = match meta.code {
                    MetaCode::Header | MetaCode::Value => true,
                    MetaCode::NotStored | MetaCode::Exists | MetaCode::NotFound => false,
                    MetaCode::Miss | MetaCode::NoOp | MetaCode::Debug => return Err(UpstreamError::Unexpected),
                };
                self.changes.became(if made { Change::Made } else { Change::Refused });
                let answers = self.changes.answers();
                if refuse {
                    answers.extend_from_slice(reply::OPAQUE_TOO_LONG);
                } else if !(passing.quiet && made) {
                    let len = meta.value.map_or(0, <[u8]>::len);
                    write_meta(answers, meta, len, false, passing.key.as_deref());
                    if let Some(value) = meta.value {
                        answers.extend_from_slice(value);
                        answers.extend_from_slice(b"\r\n");
                    }
                }
            }
            Response::Error { line } => {
                self.changes.became(change_of_error(line));
                let answers = self.changes.answers();
                answers.extend_from_slice(line);
                answers.extend_from_slice(b"\r\n");
            }
            _ => return Err(UpstreamError::Unexpected),
        }
        if maybe_silent {
            // The answer to `mn` is still to come.
            self.expected.push_front(super::expect::Expected { session: SessionId::NOBODY, what: What::VersionSet });
        }
        Ok(())
    }

    /// The answer to `me`.
    pub(super) fn meta_debugged(
        &mut self,
        id: SessionId,
        response: &Response<'_>,
        hide: Option<Version>,
    ) -> Result<(), UpstreamError> {
        let Response::Meta(meta) = response else { return Err(UpstreamError::Unexpected) };
        let hidden = hide.is_some() && meta.debug_cas().map(Version::of_item) <= hide;
        match hidden {
            true => self.put(id, b"EN\r\n"),
            false => self.put_meta(id, meta, 0, &Passing { strip_cas: false, quiet: false, key: None }),
        }
        Ok(())
    }

    /// What became of a write, unless a quiet client knows it.
    pub(super) fn put_result(&mut self, id: SessionId, meta: &Meta<'_>, passing: &Passing) {
        if !passing.quiet || meta.code != MetaCode::Header {
            self.put_meta(id, meta, 0, passing);
        }
    }

    pub(super) fn put_meta(&mut self, id: SessionId, meta: &Meta<'_>, len: usize, passing: &Passing) {
        // A miss was not asked for it.
        let strip_cas = passing.strip_cas && matches!(meta.code, MetaCode::Header | MetaCode::Value);
        let strip_cas = strip_cas && meta.flags.has(b'c');
        if let Some(session) = self.session(id) {
            write_meta(&mut session.output, meta, len, strip_cas, passing.key.as_deref());
        }
    }
}

/// The first line of an answer, with its line end. Our own `c` stands behind all that the client asked for.
fn write_meta(out: &mut Vec<u8>, meta: &Meta<'_>, len: usize, strip_cas: bool, key: Option<&KeyEcho>) {
    out.extend_from_slice(match meta.code {
        MetaCode::Header => b"HD",
        MetaCode::Value => b"VA",
        MetaCode::Miss => b"EN",
        MetaCode::NotFound => b"NF",
        MetaCode::NotStored => b"NS",
        MetaCode::Exists => b"EX",
        MetaCode::NoOp => b"MN",
        MetaCode::Debug => b"ME",
    });
    if meta.code == MetaCode::Value {
        out.push(b' ');
        out.extend_from_slice(itoa::Buffer::new().format(len).as_bytes());
    }
    let words = meta.flags.as_bytes();
    let words = words.strip_prefix(b" ").unwrap_or(words);
    let (flags, marks) = if strip_cas { without_cas(words) } else { (words, b"".as_slice()) };
    match key {
        Some(key) => put_key_in(out, meta.code, flags, key),
        None if flags.is_empty() => {}
        None => {
            out.push(b' ');
            out.extend_from_slice(flags);
        }
    }
    out.extend_from_slice(marks);
    out.extend_from_slice(b"\r\n");
}

#[cold]
fn put_key_in(out: &mut Vec<u8>, code: MetaCode, flags: &[u8], key: &KeyEcho) {
    let hit = matches!(code, MetaCode::Header | MetaCode::Value);
    let place = if hit { key.on_hit } else { key.otherwise };
    let mut words = flags.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    for word in words.by_ref().take(place) {
        out.push(b' ');
        out.extend_from_slice(word);
    }
    out.extend_from_slice(&key.text);
    for word in words {
        out.push(b' ');
        out.extend_from_slice(word);
    }
}

/// The flags before the last `c`, and the marks behind it, each with its blank.
fn without_cas(words: &[u8]) -> (&[u8], &[u8]) {
    let mut end = words.len();
    while let Some([.., b' ', b'W' | b'X' | b'Z']) = words.get(..end) {
        end -= 2;
    }
    let (flags, marks) = words.split_at_checked(end).unwrap_or((words, &[]));
    let start = flags.iter().rposition(|byte| *byte == b' ').unwrap_or(0);
    (flags.get(..start).unwrap_or_default(), marks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::response;

    #[test]
    fn our_own_cas_is_taken_out() {
        for (answer, shown) in [
            ("HD c5\r\n", "HD\r\n"),
            ("HD c5 W\r\n", "HD W\r\n"),
            ("HD f1 t-1 c5 Z X\r\n", "HD f1 t-1 Z X\r\n"),
            ("VA 2 c5\r\nab\r\n", "VA 2\r\n"),
            ("VA 2 s2 OW c5 X W\r\nab\r\n", "VA 2 s2 OW X W\r\n"),
            ("VA 2 kc4 c5\r\nab\r\n", "VA 2 kc4\r\n"),
        ] {
            let Ok(Some((Response::Meta(meta), _))) = response::parse(answer.as_bytes()) else { panic!("{answer}") };
            let mut out = Vec::new();
            write_meta(&mut out, &meta, meta.value.map_or(0, <[u8]>::len), true, None);
            assert_eq!(out, shown.as_bytes(), "{answer}");
        }
    }
}
