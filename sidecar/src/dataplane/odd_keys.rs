//! Reads of keys that only base64 can name (with a blank, a line feed or a NUL), for clients of the binary protocol.
//!
//! No `get` can ask for them. `mg` can, but where the item is stale it takes the win token, which is nothing to these
//! clients: it is given back.

use super::answer::{Outcome, To};
use super::expect::{Expected, Hold, SessionId, What};
use super::item::{Hit, hit_of};
use super::reply::Batch;
use super::stripes::Mode;
use super::worker::{Done, UpstreamError, Worker};
use crate::clock::{Now, Version};
use crate::protocol::binary::{Tag, answer as packet};
use crate::protocol::encode;
use crate::protocol::response::Response;
use crate::replication::record::{Expiry, Record};

/// Such a read under way.
#[derive(Debug)]
pub struct Odd {
    tag: Tag,
    key: Box<[u8]>,
    /// Items not newer than this are hidden.
    hide: Option<Version>,
    /// It gives the item a new end; the record only carries the key.
    pub(super) touch: Option<(Hold, Expiry)>,
}

impl Worker {
    #[cold]
    pub(super) fn get_odd(&mut self, id: SessionId, tag: Tag, key: &[u8]) {
        encode::read_value(&mut self.upstream, key, None);
        let hide = self.hidden();
        self.expect(id, What::Odd(Box::new(Odd { tag, key: key.into(), hide, touch: None })));
    }

    #[cold]
    pub(super) fn touch_odd(
        &mut self,
        id: SessionId,
        tag: Tag,
        key: &[u8],
        exptime: i32,
        now: Now,
    ) -> Result<(), Done> {
        let hold = self.hold(id, key, Mode::Single, now)?;
        encode::read_value(&mut self.upstream, key, Some(exptime));
        let hold = self.record(hold, &Record::Delete { key, version: hold.version });
        let expiry = self.shared.expiry_of(i64::from(exptime), now);
        let hide = self.hidden();
        self.expect(id, What::Odd(Box::new(Odd { tag, key: key.into(), hide, touch: Some((hold, expiry)) })));
        Ok(())
    }

    pub(super) fn odd_answered(
        &mut self,
        id: SessionId,
        response: &Response<'_>,
        batch: &mut Batch<'_>,
        odd: &Odd,
        now: Now,
    ) -> Result<(), UpstreamError> {
        let Odd { tag, ref key, hide, touch } = *odd;
        let item = match response {
            Response::Error { line } => {
                self.respond(id, To::Binary(tag), &Outcome::Error(line));
                None
            }
            response => {
                let item = hit_of(response)?.filter(|item| Some(item.version) > hide);
                self.put_odd(id, tag, key, item.as_ref());
                item
            }
        };
        match touch {
            Some((hold, expiry)) => {
                self.touched(batch, hold, item.map(|item| (item.version, item.took_token)), expiry, now);
            }
            None => {
                if let Some(item) = item.filter(|item| item.took_token) {
                    encode::mark_stale(&mut self.upstream, key, item.version.raw());
                    self.expected.push_back(Expected { session: SessionId::NOBODY, what: What::Purged });
                }
            }
        }
        Ok(())
    }

    fn put_odd(&mut self, id: SessionId, tag: Tag, key: &[u8], item: Option<&Hit<'_>>) {
        let len = item.map_or(0, |item| item.value.len());
        self.value.saw(len);
        let Some(session) = self.session(id) else { return };
        session.values_now += len;
        match item {
            Some(item) => {
                packet::value(&mut session.output, tag, key, item.flags, item.version.raw(), len);
                session.output.extend_from_slice(item.value);
            }
            None => packet::miss(&mut session.output, tag, key),
        }
    }
}
