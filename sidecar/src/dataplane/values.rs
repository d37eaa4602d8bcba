//! Hits on their way to a client: whole, or piece by piece where they are long, so that a long value takes no buffer of
//! its size and its first bytes do not wait for its last ones.

use super::expect::{SessionId, What};
use super::reply::Batch;
use super::session::Session;
use super::worker::{UpstreamError, Worker};
use crate::clock::Version;
use crate::protocol::response::{self, Opening, Value};

/// Values of so many bytes are passed on before they are complete. In the simulation that is all that come in pieces.
const PIECEWISE_FROM: usize = if cfg!(feature = "simulation") { 1 } else { 16 << 10 };

/// What follows of a hit whose first line is passed on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest {
    /// Bytes of the value.
    left: usize,
    /// The answer ends with it.
    last: bool,
    /// Who gets them; nobody where the hit is hidden.
    to: Option<SessionId>,
}

/// What becomes of a hit.
enum Hit {
    Hidden,
    Shown { strip_cas: bool },
}

/// `None`: no hit was asked for.
fn hit(what: &mut What, version: Option<Version>) -> Option<Hit> {
    let (strip_cas, hide) = match what {
        What::Values { strip_cas, hide, .. } => (*strip_cas, *hide),
        What::Touched { strip_cas, hide, hit, .. } => {
            if version > *hide {
                *hit = version;
            }
            (*strip_cas, *hide)
        }
        _ => return None,
    };
    let hidden = hide.is_some() && version <= hide;
    Some(if hidden { Hit::Hidden } else { Hit::Shown { strip_cas } })
}

/// The first line of a hit without its CAS.
fn put_without_cas(output: &mut Vec<u8>, header: &[u8]) {
    let words = header.strip_suffix(b"\r\n").unwrap_or(header);
    let without = words.iter().rposition(|b| *b == b' ').and_then(|at| words.get(..at)).unwrap_or(words);
    output.extend_from_slice(without);
    output.extend_from_slice(b"\r\n");
}

impl Worker {
    /// Where a hit of `len` bytes goes, and whether without its CAS; `None`: nobody gets it.
    fn hit(
        &mut self,
        id: SessionId,
        what: &mut What,
        cas: Option<u64>,
        len: usize,
    ) -> Result<Option<(&mut Session, bool)>, UpstreamError> {
        match hit(what, cas.map(Version::of_item)) {
            None => Err(UpstreamError::Unexpected),
            Some(Hit::Hidden) => Ok(None),
            Some(Hit::Shown { strip_cas }) => {
                self.value.saw(len);
                let Some(session) = self.session(id) else { return Ok(None) };
                session.values_now += len;
                Ok(Some((session, strip_cas)))
            }
        }
    }

    /// One hit.
    pub(super) fn value(&mut self, id: SessionId, what: &mut What, value: &Value<'_>) -> Result<(), UpstreamError> {
        match self.hit(id, what, value.cas, value.raw.len())? {
            None => {}
            Some((session, false)) => session.output.extend_from_slice(value.raw),
            Some((session, true)) => {
                let (header, data) = value.raw.split_at_checked(value.header_len).unwrap_or_default();
                put_without_cas(&mut session.output, header);
                session.output.extend_from_slice(data);
            }
        }
        Ok(())
    }

    /// An answer that is not complete: if it is a long hit, its first line and what there is of it are passed on. Returns
    /// how many bytes are done with.
    pub(super) fn begin_value(&mut self, bytes: &[u8]) -> Result<usize, UpstreamError> {
        let Some(opening) = response::opening(bytes)?.filter(|opening| opening.len >= PIECEWISE_FROM) else {
            return Ok(0);
        };
        let Opening { header, cas, len } = opening;
        let mut front = self.expected.pop_front().ok_or(UpstreamError::Unexpected)?;
        let id = front.session;
        let hit = self.hit(id, &mut front.what, cas, header.len() + len);
        let shown = hit.map(|hit| match hit {
            None => false,
            Some((session, strip_cas)) => {
                match strip_cas {
                    true => put_without_cas(&mut session.output, header),
                    false => session.output.extend_from_slice(header),
                }
                true
            }
        });
        self.expected.push_front(front);
        self.rest = Some(Rest { left: len, last: false, to: shown?.then_some(id) });
        let passed = self.pass_on(bytes.get(header.len()..).unwrap_or_default())?;
        Ok(header.len() + passed)
    }

    /// The same for the hit of a plain `mg`.
    pub(super) fn begin_meta_value(&mut self, bytes: &[u8], batch: &mut Batch<'_>) -> Result<usize, UpstreamError> {
        let opening = response::meta_opening(bytes)?.filter(|(_, _, len)| *len >= PIECEWISE_FROM);
        let Some((meta, header_len, len)) = opening else { return Ok(0) };
        let mut front = self.expected.pop_front().ok_or(UpstreamError::Unexpected)?;
        let id = front.session;
        let What::MetaRead { record, hide, passing } = &mut front.what else {
            // Any other is read as a whole.
            self.expected.push_front(front);
            return Ok(0);
        };
        let shown = self.meta_hit(id, &meta, len, batch, (*record, hide.as_deref(), &*passing))?;
        self.records.consume(std::mem::take(record));
        self.expected.push_front(front);
        self.rest = Some(Rest { left: len, last: true, to: shown.then_some(id) });
        let passed = self.pass_on(bytes.get(header_len..).unwrap_or_default())?;
        Ok(header_len + passed)
    }

    /// Goes on with the hit that comes in pieces, if there is one; returns how many bytes are done with.
    pub(super) fn pass_on(&mut self, bytes: &[u8]) -> Result<usize, UpstreamError> {
        let Some(Rest { left, last, to }) = self.rest else { return Ok(0) };
        let (piece, behind) = bytes.split_at_checked(left).unwrap_or((bytes, &[]));
        let whole = piece.len() == left;
        let end = if whole { response::value_end(behind)? } else { None };
        if let Some(id) = to
            && let Some(session) = self.session(id)
        {
            session.output.extend_from_slice(piece);
            session.output.extend_from_slice(behind.get(..end.unwrap_or(0)).unwrap_or_default());
            self.touch(id);
        }
        self.rest = end.is_none().then_some(Rest { left: left - piece.len(), last, to });
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
