//! An item as a read of ours finds it.

use super::reply::meta;
use super::worker::UpstreamError;
use crate::clock::{Now, Version};
use crate::protocol::response::{MetaCode, Response, Said};
use crate::replication::record::{Expiry, Marks};

/// An item as it was read with `mg v f t c k`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item<'a> {
    pub(crate) version: Version,
    pub(crate) flags: u32,
    /// Remaining seconds, -1 for ever.
    pub(crate) ttl: i64,
    /// What else is to be known of it. A token that this read took is not given to anybody.
    pub(crate) marks: Marks,
    /// This read took the win token, which has to be given back: [`mark_stale`](crate::protocol::encode::mark_stale).
    pub(crate) took_token: bool,
    pub(crate) value: &'a [u8],
}

impl Item<'_> {
    /// Whether it is a counter with a number of memcached's own, which no version is so small as.
    pub(crate) fn lacks_version(&self) -> bool {
        let counter =
            || std::str::from_utf8(self.value).is_ok_and(|text| text.trim_end_matches(' ').parse::<u64>().is_ok());
        self.version < Version::LEAST && counter()
    }

    pub(crate) fn expiry(&self, now: Now) -> Expiry {
        expiry_of_ttl(self.ttl, now)
    }
}

/// What memcached means by remaining seconds.
pub(crate) fn expiry_of_ttl(ttl: i64, now: Now) -> Expiry {
    match ttl {
        ..0 => Expiry::Never,
        seconds => Expiry::after_seconds(seconds, now.mono_ms()),
    }
}

/// What every read of a value asks for.
pub(super) struct Hit<'a> {
    pub(super) version: Version,
    pub(super) flags: u32,
    /// As in [`Item`].
    pub(super) took_token: bool,
    pub(super) value: &'a [u8],
}

/// The hit of an answer to `mg v f c`; `None` for a miss.
pub(super) fn hit_of<'a>(response: &Response<'a>) -> Result<Option<Hit<'a>>, UpstreamError> {
    Ok(read(response)?.map(|(hit, _)| hit))
}

fn read<'a>(response: &Response<'a>) -> Result<Option<(Hit<'a>, Said)>, UpstreamError> {
    let meta = meta(response)?;
    if meta.code == MetaCode::Miss {
        return Ok(None);
    }
    let said = meta.flags.said();
    match (meta.code, meta.value, said.cas, said.client_flags) {
        (MetaCode::Value, Some(value), Some(cas), Some(flags)) => {
            Ok(Some((Hit { version: Version::of_item(cas), flags, took_token: said.won, value }, said)))
        }
        _ => Err(UpstreamError::Unexpected),
    }
}

/// The item of an answer to `mg v f t c k`; `None` for a miss.
pub(crate) fn item_of<'a>(response: &Response<'a>) -> Result<Option<Item<'a>>, UpstreamError> {
    let Some((Hit { version, flags, took_token, value }, said)) = read(response)? else { return Ok(None) };
    let ttl = said.ttl.ok_or(UpstreamError::Unexpected)?;
    let marks = [(said.stale, Marks::STALE), (said.sent, Marks::WON), (said.binary, Marks::BINARY)];
    let marks = marks.into_iter().filter(|(is, _)| *is).fold(Marks::NONE, |all, (_, mark)| all.and(mark));
    Ok(Some(Item { version, flags, ttl, marks, took_token, value }))
}
