//! Frames between the sidecars: `length: u32, kind: u8, body`, little-endian; the length counts kind and body.
//!
//! Both sides begin with [`Hello`]. Kinds from 128 on may be added by a later release and are skipped by this one;
//! requests and answers beside the log will have such kinds.

use thiserror::Error;

use super::record::{Reader, RecordError};
use crate::clock::{ReplicaId, Version};

/// The protocol versions that this release speaks, both ends included.
pub const PROTOCOL: (u16, u16) = (1, 1);
/// In [`Hello::features`]: stale marks and win tokens in records (kinds 8 to 10). A side without it cannot read our log.
pub const MARKS: u64 = 1;
/// The longest frame before the peer is known, in bytes.
pub const MAX_HELLO: usize = 1024;
/// The longest frame, in bytes: one record of the largest item that the sidecar works with.
pub const MAX_FRAME: usize = (128 << 20) + 1024;
/// The usual size of a batch, in bytes; one long record may exceed it.
pub const BATCH: usize = 128 << 10;
/// The longest name of a pair, in bytes.
pub const MAX_PAIR_ID: usize = 253;
const MAGIC: u32 = u32::from_le_bytes(*b"RMCL");
/// What an item takes in a frame beside its key and value.
pub(crate) const ITEM_OVERHEAD: usize = 1024;
const HEADER: usize = 5;

/// Where the receiver of a log stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Which log: the boot id of its sender.
    pub log: u64,
    /// The first entry wanted.
    pub next: u64,
    /// Every write of the sender up to this has been applied.
    pub watermark: Version,
}

/// Who speaks, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Least and greatest protocol version spoken.
    pub protocol: (u16, u16),
    /// Abilities: [`MARKS`].
    pub features: u64,
    /// Only replicas of one pair link.
    pub pair_id: String,
    /// Which of the two.
    pub replica: ReplicaId,
    /// Random number of this process, also the name of its log.
    pub boot: u64,
    /// The clock when the process started: of two processes with one replica id the later one is right.
    pub started: Version,
    /// Random number of memcached's content.
    pub incarnation: u64,
    /// The clock now.
    pub clock: Version,
    /// The wall clock now, in microseconds since the Unix epoch.
    pub wall_us: u64,
    /// The monotonic clock now, in milliseconds.
    pub mono_ms: u64,
    /// What is wanted of the peer's log; `None`: everything.
    pub wanted: Option<Wanted>,
    /// Deletes up to this may be forgotten here.
    pub floor: Version,
    /// The greatest flush.
    pub flush: Version,
    /// The newest delayed flush: the version of its command, and how many milliseconds are left (0: none).
    pub flush_due: (Version, u64),
}

impl Hello {
    /// Whether this side can be talked to: a common protocol version, and every ability that our log needs.
    pub fn is_compatible(&self) -> bool {
        self.protocol.0 <= PROTOCOL.1 && self.protocol.1 >= PROTOCOL.0 && self.features & MARKS == MARKS
    }
}

/// Why a link is refused or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[repr(u8)]
pub enum Refusal {
    /// No common protocol version, or the other side lacks an ability.
    #[error("no common version of the replication protocol")]
    Protocol = 1,
    /// Another pair.
    #[error("the other side belongs to another pair")]
    Pair = 2,
    /// Both have the same replica id.
    #[error("the other side has the same replica id")]
    SameReplica = 3,
    /// A newer process has this replica id.
    #[error("a newer process with this replica id is linked")]
    Fenced = 4,
    /// There is a better connection.
    #[error("another connection is in use")]
    Duplicate = 5,
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// The first one, once.
    Hello(Hello),
    /// Entries of the log.
    Batch {
        /// Number of the first.
        first: u64,
        /// How many.
        count: u32,
        /// The sender's monotonic clock in milliseconds, for expiries.
        now_ms: u64,
        /// Entries below this are never sent again.
        trim: u64,
        /// The encoded records.
        records: &'a [u8],
    },
    /// All entries below `next` are applied by memcached.
    Ack {
        /// In the receiver's log.
        next: u64,
        /// The sender's own log ended here when that was so.
        position: u64,
    },
    /// Every second.
    Heartbeat {
        /// The sender's clock.
        clock: Version,
        /// Its wall clock, in microseconds.
        wall_us: u64,
        /// Its monotonic clock, in milliseconds.
        mono_ms: u64,
        /// As in a batch.
        trim: u64,
    },
    /// The sender closes the connection, for this reason.
    Refused(Refusal),
    /// From a later release.
    Unknown(u8),
}

/// Bytes that are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// Longer than allowed.
    #[error("frame of {0} bytes is too long")]
    Long(u32),
    /// Unknown kind below 128.
    #[error("unknown kind of frame {0}")]
    Kind(u8),
    /// Not our protocol at all.
    #[error("not a replication peer")]
    Magic,
    /// A field makes no sense.
    #[error("bad {0} in a frame")]
    Field(&'static str),
    /// A fixed field is missing.
    #[error("frame is cut short")]
    Short,
}

impl From<RecordError> for FrameError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Version => FrameError::Field("version"),
            _ => FrameError::Short,
        }
    }
}

mod kind {
    pub(super) const HELLO: u8 = 1;
    pub(super) const BATCH: u8 = 2;
    pub(super) const ACK: u8 = 3;
    pub(super) const HEARTBEAT: u8 = 4;
    pub(super) const REFUSED: u8 = 5;
    pub(super) const OPTIONAL: u8 = 128;
}

impl<'a> Frame<'a> {
    /// Appends the frame to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        match self {
            Frame::Hello(hello) => encode_hello(hello, out),
            Frame::Batch { first, count, now_ms, trim, records } => {
                out.push(kind::BATCH);
                numbers(out, &[*first, u64::from(*count), *now_ms, *trim]);
                out.extend_from_slice(records);
            }
            Frame::Ack { next, position } => {
                out.push(kind::ACK);
                numbers(out, &[*next, *position]);
            }
            Frame::Heartbeat { clock, wall_us, mono_ms, trim } => {
                out.push(kind::HEARTBEAT);
                numbers(out, &[clock.raw(), *wall_us, *mono_ms, *trim]);
            }
            Frame::Refused(refusal) => out.extend_from_slice(&[kind::REFUSED, *refusal as u8]),
            Frame::Unknown(kind) => out.push(*kind),
        }
        let len = (out.len() - start - 4) as u32;
        if let Some(field) = out.get_mut(start..start + 4) {
            field.copy_from_slice(&len.to_le_bytes());
        }
    }

    /// The frame at the start of `bytes` and its length; `None` while it is incomplete. One longer than `max` is an error
    /// as soon as its length is known.
    pub fn decode(bytes: &'a [u8], max: usize) -> Result<Option<(Frame<'a>, usize)>, FrameError> {
        let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length);
        if length as usize > max {
            return Err(FrameError::Long(length));
        }
        let Some(body) = rest.get(..length as usize) else { return Ok(None) };
        let mut at = Reader { bytes: body, position: 0 };
        let frame = match at.u8()? {
            kind::HELLO => Frame::Hello(decode_hello(&mut at)?),
            kind::BATCH => {
                let (first, count, now_ms, trim) = (at.u64()?, at.u64()?, at.u64()?, at.u64()?);
                let count = u32::try_from(count).map_err(|_| FrameError::Field("count"))?;
                let records = body.get(at.position..).unwrap_or_default();
                Frame::Batch { first, count, now_ms, trim, records }
            }
            kind::ACK => Frame::Ack { next: at.u64()?, position: at.u64()? },
            kind::HEARTBEAT => {
                Frame::Heartbeat { clock: at.version()?, wall_us: at.u64()?, mono_ms: at.u64()?, trim: at.u64()? }
            }
            kind::REFUSED => Frame::Refused(match at.u8()? {
                1 => Refusal::Protocol,
                2 => Refusal::Pair,
                3 => Refusal::SameReplica,
                4 => Refusal::Fenced,
                5 => Refusal::Duplicate,
                _ => return Err(FrameError::Field("refusal")),
            }),
            other if other >= kind::OPTIONAL => Frame::Unknown(other),
            other => return Err(FrameError::Kind(other)),
        };
        Ok(Some((frame, HEADER - 1 + length as usize)))
    }
}

fn numbers(out: &mut Vec<u8>, numbers: &[u64]) {
    for number in numbers {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

fn encode_hello(hello: &Hello, out: &mut Vec<u8>) {
    out.push(kind::HELLO);
    out.extend_from_slice(&MAGIC.to_le_bytes());
    out.extend_from_slice(&hello.protocol.0.to_le_bytes());
    out.extend_from_slice(&hello.protocol.1.to_le_bytes());
    let wanted = hello.wanted.unwrap_or(Wanted { log: 0, next: 0, watermark: Version::ZERO });
    numbers(
        out,
        &[
            hello.features,
            u64::from(hello.replica.get()),
            hello.boot,
            hello.started.raw(),
            hello.incarnation,
            hello.clock.raw(),
            hello.wall_us,
            hello.mono_ms,
            wanted.log,
            wanted.next,
            wanted.watermark.raw(),
            hello.floor.raw(),
            hello.flush.raw(),
            hello.flush_due.0.raw(),
            hello.flush_due.1,
        ],
    );
    let name = hello.pair_id.as_bytes();
    let name = name.get(..name.len().min(MAX_PAIR_ID)).unwrap_or_default();
    out.push(name.len() as u8);
    out.extend_from_slice(name);
}

fn decode_hello(at: &mut Reader<'_>) -> Result<Hello, FrameError> {
    if at.u32()? != MAGIC {
        return Err(FrameError::Magic);
    }
    let protocol = (at.u16()?, at.u16()?);
    let features = at.u64()?;
    let replica = u8::try_from(at.u64()?).ok().and_then(ReplicaId::new).ok_or(FrameError::Field("replica id"))?;
    let (boot, started, incarnation) = (at.u64()?, at.version()?, at.u64()?);
    let (clock, wall_us, mono_ms) = (at.version()?, at.u64()?, at.u64()?);
    let wanted = Wanted { log: at.u64()?, next: at.u64()?, watermark: at.version()? };
    let (floor, flush) = (at.version()?, at.version()?);
    let flush_due = (at.version()?, at.u64()?);
    let len = usize::from(at.u8()?);
    let pair_id = std::str::from_utf8(at.take(len)?).map_err(|_| FrameError::Field("pair id"))?.to_owned();
    let wanted = (wanted.log != 0).then_some(wanted);
    Ok(Hello {
        protocol,
        features,
        pair_id,
        replica,
        boot,
        started,
        incarnation,
        clock,
        wall_us,
        mono_ms,
        wanted,
        floor,
        flush,
        flush_due,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hello() -> Hello {
        Hello {
            protocol: PROTOCOL,
            features: 3,
            pair_id: "default/sessions".into(),
            replica: ReplicaId::new(1).expect("valid"),
            boot: 7,
            started: Version::of_item(8),
            incarnation: 9,
            clock: Version::of_item(10),
            wall_us: 11,
            mono_ms: 19,
            wanted: Some(Wanted { log: 12, next: 13, watermark: Version::of_item(14) }),
            floor: Version::of_item(15),
            flush: Version::of_item(16),
            flush_due: (Version::of_item(17), 18),
        }
    }

    #[test]
    fn every_frame_survives_the_way_and_waits_for_its_last_byte() {
        let frames = [
            Frame::Hello(hello()),
            Frame::Hello(Hello { wanted: None, pair_id: String::new(), ..hello() }),
            Frame::Batch { first: 1, count: 2, now_ms: 3, trim: 4, records: b"records" },
            Frame::Ack { next: 1, position: 2 },
            Frame::Heartbeat { clock: Version::of_item(5), wall_us: 6, mono_ms: 8, trim: 7 },
            Frame::Refused(Refusal::Fenced),
            Frame::Unknown(200),
        ];
        for frame in frames {
            let mut bytes = Vec::new();
            frame.encode(&mut bytes);
            for cut in 0..bytes.len() {
                assert_eq!(Frame::decode(&bytes[..cut], MAX_FRAME), Ok(None));
            }
            let len = bytes.len();
            bytes.push(0xff);
            assert_eq!(Frame::decode(&bytes, MAX_FRAME), Ok(Some((frame, len))));
        }
    }

    #[test]
    fn a_long_frame_is_refused_by_its_length_alone() {
        assert_eq!(Frame::decode(&2000u32.to_le_bytes(), MAX_HELLO), Err(FrameError::Long(2000)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Frame::decode(&bytes, MAX_FRAME);
        }
    }
}
