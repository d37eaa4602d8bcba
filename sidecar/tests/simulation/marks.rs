//! What clients were told of stale marks and win tokens, and what must hold of those in the end.
//!
//! Whether an item is stale belongs to its version, on both sides. Its token is given to one client of each side at the
//! most (each side may give it before it hears of the other), and what is given is given on both sides in the end.

use std::collections::{BTreeMap, BTreeSet};

use sidecar::clock::Version;

use crate::client::{Asked, Meta, Request};
use crate::memcached::ItemView;

/// CAS numbers below are no versions but memcached's own: a counter that it replaced has one until it is read back. A cas with
/// one fails, and nothing of it may be left in the end.
pub(crate) const OWN_CAS: u64 = Version::LEAST.raw();

#[derive(Debug, Default)]
struct Told {
    stale: Option<bool>,
    /// By replica: one of its clients has the token, which was that of a stale item or not. (An item of the peer is stored
    /// first and becomes stale then: in between it may give away the token of one that is not.)
    won: [Option<bool>; 2],
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// By key and version.
    told: BTreeMap<(u8, u64), Told>,
    /// Keys of which some client got a token, or an answer was lost that may have been one.
    given: BTreeSet<u8>,
}

impl Marks {
    /// An answer that shows an item, or tells of its making.
    pub(crate) fn answered(&mut self, replica: usize, request: &Request, meta: &Meta) -> Result<(), String> {
        let key = request.key;
        let Some(cas) = meta.cas.filter(|cas| meta.is_success() && *cas >= OWN_CAS) else { return Ok(()) };
        let told = self.told.entry((key, cas)).or_default();
        match request.asked {
            Asked::Fresh if told.stale.replace(false) == Some(true) => {
                return Err(format!("k{key}: {cas} was read as stale, and is stored as fresh"));
            }
            Asked::Gets | Asked::Gat | Asked::Vivify => {
                if meta.stale && told.stale.replace(true) == Some(false) {
                    return Err(format!("k{key}: {cas} was stored as fresh, and is read as stale"));
                }
                if meta.won {
                    self.given.insert(key);
                    if told.won[replica].replace(meta.stale) == Some(meta.stale) {
                        return Err(format!("k{key}: the token of {cas} is given away twice"));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The answer to a request about this key is lost.
    pub(crate) fn unheard(&mut self, key: u8) {
        self.given.insert(key);
    }

    /// The replica may know no more to whom it gave tokens, of one key or of all.
    pub(crate) fn forget(&mut self, replica: usize, key: Option<u8>) {
        for ((of, _), told) in &mut self.told {
            if key.is_none_or(|key| key == *of) {
                told.won[replica] = None;
            }
        }
    }

    /// All is quiet: what both sides hold of a key.
    pub(crate) fn check_final(
        &self,
        key: u8,
        items: [Option<ItemView<'_>>; 2],
        tokens_unsure: bool,
    ) -> Result<(), String> {
        for item in items.into_iter().flatten() {
            let told = self.told.get(&(key, item.cas));
            if told.and_then(|told| told.stale).is_some_and(|stale| stale != item.stale) {
                return Err(format!("k{key}: stale is not what was told: {told:?}, {item:?}"));
            }
            if told.is_some_and(|told| told.won.contains(&Some(item.stale))) && !item.token_sent && !tokens_unsure {
                return Err(format!("k{key}: a token was given away and is there again: {told:?}, {item:?}"));
            }
            if item.token_sent && !self.given.contains(&key) && !tokens_unsure {
                return Err(format!("k{key}: nobody has the token: {item:?}"));
            }
        }
        match items {
            [Some(a), Some(b)] if a.cas == b.cas && a.stale != b.stale => {
                Err(format!("k{key}: stale on one side only: {a:?} and {b:?}"))
            }
            [Some(a), Some(b)] if a.cas == b.cas && a.token_sent != b.token_sent && !tokens_unsure => {
                Err(format!("k{key}: the token is given away on one side only: {a:?} and {b:?}"))
            }
            _ => Ok(()),
        }
    }
}
