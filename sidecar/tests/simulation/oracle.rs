//! What must hold, by what clients were told.

use std::collections::BTreeMap;

use sidecar::clock::Version;

use crate::client::{Answer, Asked, Request};
use crate::marks::{Marks, OWN_CAS};

/// What was acknowledged for a key on one replica.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    /// A value newer than this.
    written: Version,
    /// Nothing up to this.
    removed: Version,
}

/// Knows what each replica told its clients.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    told: [BTreeMap<u8, Told>; 2],
    flushed: [Version; 2],
    pub(crate) marks: Marks,
}

impl Oracle {
    /// What an answer of this replica for this key must be above, for a request that is sent now.
    pub(crate) fn known(&self, replica: usize, key: u8) -> Version {
        let told = self.told[replica].get(&key).copied().unwrap_or_default();
        told.written.max(told.removed).max(self.flushed[replica])
    }

    /// Checks an answer and learns from it.
    pub(crate) fn answered(&mut self, replica: usize, request: &Request, answer: &Answer) -> Result<(), String> {
        if let Answer::Meta(meta) = answer {
            self.marks.answered(replica, request, meta)?;
        }
        let told = self.told[replica].entry(request.key).or_default();
        let read = matches!(request.asked, Asked::Gets | Asked::Gat | Asked::Vivify);
        if let Some(version) = answer.token().map(Version::of_item).filter(|_| read) {
            if version <= request.known && version.raw() >= OWN_CAS {
                return Err(format!("k{}: read {version}, but {} is known", request.key, request.known));
            }
            if request.asked == Asked::Vivify && version > request.low {
                told.written = told.written.max(request.low);
            }
        }
        match (answer, &request.asked) {
            (Answer::Values(_), _) => {}
            (Answer::Meta(meta), asked) => match (asked, meta.code.as_str()) {
                (Asked::Write | Asked::Fresh, "HD" | "VA") => told.written = told.written.max(request.low),
                (Asked::Remove, "HD") | (Asked::Delete, "HD" | "NF") => told.removed = told.removed.max(request.low),
                (Asked::Write | Asked::Fresh | Asked::Remove | Asked::Touch, "NF" | "NS" | "EX") => {}
                (Asked::Touch, "HD" | "VA") => {}
                (Asked::Gets | Asked::Gat | Asked::Vivify, "HD" | "VA" | "EN") => {}
                (asked, code) => return Err(format!("{asked:?} was answered {code:?}")),
            },
            (Answer::Line(line), asked) => match (asked, line.as_str()) {
                (Asked::Write | Asked::Big, line) if line == "STORED" || line.parse::<u64>().is_ok() => {
                    told.written = told.written.max(request.low);
                }
                (Asked::Remove, "STORED" | "TOUCHED") | (Asked::Delete, "DELETED" | "NOT_FOUND") => {
                    told.removed = told.removed.max(request.low);
                }
                (Asked::Big, line) if line.starts_with("SERVER_ERROR") => {
                    told.removed = told.removed.max(request.low);
                }
                (Asked::Flush, "OK") => self.flushed[replica] = self.flushed[replica].max(request.low),
                (Asked::FlushLater, "OK") | (Asked::Touch, "TOUCHED" | "NOT_FOUND") => {}
                (Asked::Remove | Asked::Write, "NOT_FOUND" | "NOT_STORED" | "EXISTS") => {}
                (_, line) if line.starts_with("CLIENT_ERROR cannot increment") => {}
                (_, line) if line.starts_with("SERVER_ERROR") && line.to_lowercase().contains("out of memory") => {}
                (asked, line) => return Err(format!("{asked:?} was answered {line:?}")),
            },
        }
        Ok(())
    }

    /// The replica lost its cache: what was only there is gone, which is allowed. With an overflown table, deletes may be
    /// forgotten too.
    pub(crate) fn content_lost(&mut self, replica: usize, deletes_too: bool) {
        self.marks.forget(replica, None);
        for told in self.told[replica].values_mut() {
            told.written = Version::ZERO;
            if deletes_too {
                told.removed = Version::ZERO;
            }
        }
    }

    /// The replica lost its state file.
    pub(crate) fn state_lost(&mut self, replica: usize) {
        self.marks.forget(replica, None);
        // Its clock may have gone back to the greatest version that is still in memcached.
        self.told[replica].clear();
        self.flushed[replica] = Version::ZERO;
    }

    /// After healing nothing may be older than what anybody was told.
    pub(crate) fn check_final(&self, key: u8, version: Version) -> Result<(), String> {
        for replica in 0..2 {
            let known = self.known(replica, key);
            if version <= known {
                let told = self.told[replica].get(&key);
                return Err(format!(
                    "k{key}: {version} is left, but replica {replica} told {told:?}, flush {}",
                    self.flushed[replica]
                ));
            }
        }
        Ok(())
    }
}
