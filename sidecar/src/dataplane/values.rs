//! Hits on their way to a client: whole, or piece by piece where they are long, so that a long value takes no buffer of
//! its size and its first bytes do not wait for its last ones.

use super::answer::To;
use super::expect::{Expected, SessionId, What};
use super::reply::Batch;
use super::session::Session;
use super::worker::{UpstreamError, Worker};
use crate::clock::Version;
use crate::protocol::binary::{Tag, answer as packet};
use crate::protocol::response::{self, Hits, Opening, Value};

/// Values of so many bytes are passed on before they are complete. In the simulation that is all that come in pieces.
const PIECEWISE_FROM: usize = if cfg!(feature = "simulation") { 1 } else { 16 << 10 };

/// Whole answers of so many bytes go to a client without a copy, for which nothing else is waiting. Shorter ones are worth
/// less than the call that sends several at once.
const DIRECT_FROM: usize = if cfg!(feature = "simulation") { 1 } else { 4 << 10 };

/// A way to a client past the buffer of its answers.
pub trait Direct {
    /// Sends `bytes` at once to a client for which nothing is waiting; returns how many of them were taken.
    fn send(&mut self, id: SessionId, bytes: &[u8]) -> usize;
}

/// There is none: all goes by the buffer.
#[derive(Debug)]
pub struct Buffered;

impl Direct for Buffered {
    fn send(&mut self, _: SessionId, _: &[u8]) -> usize {
        0
    }
}

/// What follows of a hit whose first line is passed on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest {
    /// Bytes of the value.
    left: usize,
    /// The answer ends with it.
    last: bool,
    /// Who gets them; nobody where the hit is hidden.
    to: Option<SessionId>,
    /// The line end behind the value is passed on too.
    with_end: bool,
}

/// What becomes of a hit.
enum Hit {
    Hidden,
    Shown(Form),
}

/// How a hit is passed on.
#[derive(Clone, Copy)]
enum Form {
    AsItCame,
    WithoutCas,
    Packet(Tag),
}

impl Form {
    fn text(strip_cas: bool) -> Self {
        if strip_cas { Self::WithoutCas } else { Self::AsItCame }
    }

    fn put_header(self, output: &mut Vec<u8>, opening: &Opening<'_>) {
        match self {
            Self::AsItCame => output.extend_from_slice(opening.header),
            Self::WithoutCas => put_without_cas(output, opening.header),
            Self::Packet(tag) => {
                let Opening { key, flags, cas, len, .. } = *opening;
                packet::value(output, tag, key, flags, cas.unwrap_or(0), len);
            }
        }
    }
}

/// `None`: no hit was asked for.
fn hit(what: &mut What, version: Option<Version>) -> Option<Hit> {
    let (form, hide) = match what {
        What::Values { strip_cas, hide, .. } => (Form::text(*strip_cas), *hide),
        What::Value { tag, hide, hit, .. } => {
            *hit = hide.is_none() || version > *hide;
            (Form::Packet(*tag), *hide)
        }
        What::Touched { to, strip_cas, hide, hit, .. } => {
            if version > *hide {
                *hit = version;
            }
            let form = match to {
                To::Text { .. } => Form::text(*strip_cas),
                To::Binary(tag) => Form::Packet(*tag),
            };
            (form, *hide)
        }
        _ => return None,
    };
    let hidden = hide.is_some() && version <= hide;
    Some(if hidden { Hit::Hidden } else { Hit::Shown(form) })
}

/// The first line of a hit without its CAS.
fn put_without_cas(output: &mut Vec<u8>, header: &[u8]) {
    let words = header.strip_suffix(b"\r\n").unwrap_or(header);
    let without = words.iter().rposition(|b| *b == b' ').and_then(|at| words.get(..at)).unwrap_or(words);
    output.extend_from_slice(without);
    output.extend_from_slice(b"\r\n");
}

impl Worker {
    /// Where a hit of `len` bytes goes, and how; `None`: nobody gets it.
    fn hit(
        &mut self,
        id: SessionId,
        what: &mut What,
        cas: Option<u64>,
        len: usize,
    ) -> Result<Option<(&mut Session, Form)>, UpstreamError> {
        match hit(what, cas.map(Version::of_item)) {
            None => Err(UpstreamError::Unexpected),
            Some(Hit::Hidden) => Ok(None),
            Some(Hit::Shown(form)) => {
                self.value.saw(len);
                let Some(session) = self.session(id) else { return Ok(None) };
                session.values_now += len;
                Ok(Some((session, form)))
            }
        }
    }

    /// A whole answer to a plain `get`, as most are: the client gets it as it came, in one piece. Returns how many bytes are
    /// done with; 0: it is something else, or not complete.
    pub(super) fn as_it_came(
        &mut self,
        bytes: &[u8],
        batch: &mut Batch<'_>,
        direct: &mut dyn Direct,
    ) -> Result<usize, UpstreamError> {
        let Some(Expected { session: id, what: What::Values { strip_cas: false, hide: None, last: true } }) =
            self.expected.front()
        else {
            return Ok(0);
        };
        let (id, Some(Hits { len, largest })) = (*id, response::hits(bytes)?) else { return Ok(0) };
        let answer = bytes.get(..len).unwrap_or_default();
        if largest > 0 {
            self.value.saw(largest);
        }
        if let Some(session) = self.session(id) {
            if largest > 0 {
                session.values_now += len;
            }
            let alone = session.output.is_empty() && !session.is_withheld();
            let sent = if alone && len >= DIRECT_FROM {
                batch.pause();
                direct.send(id, answer)
            } else {
                0
            };
            session.output.extend_from_slice(answer.get(sent..).unwrap_or_default());
        }
        self.expected.pop_front();
        self.answered(id);
        self.tell_local();
        Ok(len)
    }

    /// One hit.
    pub(super) fn value(&mut self, id: SessionId, what: &mut What, value: &Value<'_>) -> Result<(), UpstreamError> {
        match self.hit(id, what, value.cas, value.raw.len())? {
            None => {}
            Some((session, Form::AsItCame)) => session.output.extend_from_slice(value.raw),
            Some((session, Form::WithoutCas)) => {
                let (header, data) = value.raw.split_at_checked(value.header_len).unwrap_or_default();
                put_without_cas(&mut session.output, header);
                session.output.extend_from_slice(data);
            }
            Some((session, Form::Packet(tag))) => {
                let Value { key, flags, cas, data, .. } = *value;
                packet::value(&mut session.output, tag, key, flags, cas.unwrap_or(0), data.len());
                session.output.extend_from_slice(data);
            }
        }
        Ok(())
    }

    /// An answer that is not complete: if it is a long hit, its first line and what there is of it are passed on. Returns
    /// how many bytes are done with.
    pub(super) fn begin_value(&mut self, bytes: &[u8], direct: &mut dyn Direct) -> Result<usize, UpstreamError> {
        let Some(opening) = response::opening(bytes)?.filter(|opening| opening.len >= PIECEWISE_FROM) else {
            return Ok(0);
        };
        let Opening { header, cas, len, .. } = opening;
        let mut front = self.expected.pop_front().ok_or(UpstreamError::Unexpected)?;
        let id = front.session;
        let hit = self.hit(id, &mut front.what, cas, header.len() + len);
        let form = hit.map(|hit| hit.map(|(_, form)| form));
        self.expected.push_front(front);
        let form = form?;
        // As it came, the line is passed on with what follows it.
        let raw = if matches!(form, Some(Form::AsItCame)) { header.len() } else { 0 };
        if let Some(form) = form.filter(|_| raw == 0)
            && let Some(session) = self.session(id)
        {
            form.put_header(&mut session.output, &opening);
        }
        let with_end = !matches!(form, Some(Form::Packet(_)));
        self.rest = Some(Rest { left: raw + len, last: false, to: form.map(|_| id), with_end });
        let done = header.len() - raw;
        Ok(done + self.pass_on(bytes.get(done..).unwrap_or_default(), direct)?)
    }

    /// The same for the hit of a plain `mg`.
    pub(super) fn begin_meta_value(
        &mut self,
        bytes: &[u8],
        batch: &mut Batch<'_>,
        direct: &mut dyn Direct,
    ) -> Result<usize, UpstreamError> {
        let opening = response::meta_opening(bytes)?.filter(|(_, _, len)| *len >= PIECEWISE_FROM);
        let Some((meta, header_len, len)) = opening else { return Ok(0) };
        let mut front = self.expected.pop_front().ok_or(UpstreamError::Unexpected)?;
        let id = front.session;
        let What::MetaRead { record, hide, passing } = &mut front.what else {
            // Any other is read as a whole.
            self.expected.push_front(front);
            return Ok(0);
        };
        let shown = self.meta_hit(id, &meta, len, batch, (*record, hide.as_deref(), &*passing));
        self.records.consume(std::mem::take(record));
        self.expected.push_front(front);
        let shown = shown?;
        self.rest = Some(Rest { left: len, last: true, to: shown.then_some(id), with_end: true });
        let passed = self.pass_on(bytes.get(header_len..).unwrap_or_default(), direct)?;
        Ok(header_len + passed)
    }

    /// Goes on with the hit that comes in pieces, if there is one; returns how many bytes are done with.
    pub(super) fn pass_on(&mut self, bytes: &[u8], direct: &mut dyn Direct) -> Result<usize, UpstreamError> {
        let Some(Rest { left, last, to, with_end }) = self.rest else { return Ok(0) };
        let (piece, behind) = bytes.split_at_checked(left).unwrap_or((bytes, &[]));
        let whole = piece.len() == left;
        let end = if whole { response::value_end(behind)? } else { None };
        if let Some(id) = to
            && let Some(session) = self.session(id)
        {
            // The last piece goes with the end of the answer in one write.
            let sent = if whole || !session.output.is_empty() { 0 } else { direct.send(id, piece) };
            session.output.extend_from_slice(piece.get(sent..).unwrap_or_default());
            let end = if with_end { end.unwrap_or(0) } else { 0 };
            session.output.extend_from_slice(behind.get(..end).unwrap_or_default());
            self.touch(id);
        }
        self.rest = end.is_none().then_some(Rest { left: left - piece.len(), last, to, with_end });
        if last
            && end.is_some()
            && let Some(done) = self.expected.pop_front()
        {
            self.answered(done.session);
            self.tell_local();
        }
        Ok(piece.len() + end.unwrap_or(0))
    }
}
