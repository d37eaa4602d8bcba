//! The connection to memcached breaks and comes back: what became of the writes that were on it is found out.

use super::expect::{Expected, Hold, SessionId, What};
use super::reply::record_key;
use super::session::State;
use super::worker::{Content, Worker};
use crate::clock::Now;
use crate::protocol::{Limits, encode};
use crate::rules::Rule;

/// A write whose answer was lost with its connection.
#[derive(Debug)]
pub(super) struct Orphan {
    pub(super) hold: Hold,
    pub(super) record: Box<[u8]>,
}

impl Worker {
    /// The connection to memcached is lost. Clients with a request on it are closed, since nobody knows what became of it;
    /// their writes keep their stripes until [`Worker::upstream_connected`].
    pub fn upstream_lost(&mut self) {
        self.limits = None;
        self.rest = None;
        self.upstream.clear();
        self.peeked = None;
        for (session, _) in self.changes.lost() {
            self.close_in_doubt(session);
        }
        for Expected { session, what } in std::mem::take(&mut self.expected) {
            self.close_in_doubt(session);
            if let What::MetaRead { record, .. } = what {
                self.records.consume(record);
            }
            let Some(hold) = what.hold() else { continue };
            let record = self.records.front(hold.record).into();
            self.records.consume(hold.record);
            if matches!(what, What::Inspect { .. }) {
                self.versions.pop_front();
                self.release(hold.stripe);
            } else {
                self.orphans.push(Orphan { hold, record });
            }
        }
        self.publish_pending();
    }

    fn close_in_doubt(&mut self, id: SessionId) {
        if let Some(session) = self.session(id) {
            session.state = State::Closing;
            session.in_flight = 0;
            session.giving_back = 0;
            self.touch(id);
        }
    }

    /// The connection to memcached is there (again). With the same content, the keys whose writes were in flight are read
    /// back and logged; with a new one they are gone like everything else.
    pub fn upstream_connected(&mut self, limits: Limits, content: Content, now: Now) {
        self.shared.set_limits(&limits);
        self.limits = Some(limits);
        for orphan in std::mem::take(&mut self.orphans) {
            let skip = self.shared.broken(Rule::ReadBackAfterLoss);
            let key = record_key(&orphan.record).filter(|_| content == Content::Same && !skip);
            match key {
                Some(key) => {
                    encode::read_back(&mut self.upstream, key);
                    self.records.tail().extend_from_slice(&orphan.record);
                    self.expected.push_back(Expected {
                        session: SessionId::NOBODY,
                        what: What::Recovered { hold: orphan.hold },
                    });
                }
                None => {
                    self.versions.pop_front();
                    self.release(orphan.hold.stripe);
                }
            }
        }
        self.publish_pending();
        for id in self.session_ids() {
            self.resume(id, now);
        }
    }
}
