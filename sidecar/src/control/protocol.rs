//! PURE: the types of the control protocol, for both sides.
//!
//! Fields are only ever added: a rolling update is a mixed pair, and unknown fields are skipped.

use core::net::IpAddr;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The version of this protocol.
pub const VERSION: u32 = 1;
/// The DNS name in the operator's certificate; nobody else has it.
pub const OPERATOR_NAME: &str = "operator.replicated-memcached.io";
/// The DNS name in the sidecars' certificates.
pub const SIDECAR_NAME: &str = "sidecar.replicated-memcached.io";
/// `GET`: [`Status`].
pub const STATUS: &str = "/v1/status";
/// `PUT` [`Peer`].
pub const PEER: &str = "/v1/peer";
/// `POST`: starts to bring the peer everything.
pub const RESYNC: &str = "/v1/resync";
/// `POST` [`Fence`].
pub const FENCE: &str = "/v1/fence";
/// `PUT` [`Cluster`].
pub const CLUSTER: &str = "/v1/cluster";
/// The longest body of a request or an answer, in bytes.
pub const BODY_MAX: usize = 16 << 10;
/// The most addresses of a peer.
pub const ADDRESSES_MAX: usize = 8;
/// The longest UID of a peer, in bytes.
pub const UID_MAX: usize = 64;
/// The most nodes of a cluster.
pub const NODES_MAX: usize = 8;
/// The longest name of a node, in bytes (RFC 1035).
pub const HOST_MAX: usize = 253;

/// A random number that names a process or a content of memcached; hexadecimal digits in JSON, since many readers of JSON
/// cannot hold 64 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id(pub u64);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Id {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

impl TryFrom<String> for Id {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.to_string()
    }
}

/// What a sidecar says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// [`VERSION`] of who speaks.
    pub protocol: u32,
    /// Release of the sidecar.
    pub release: String,
    /// Name of the pair.
    pub pair: String,
    /// Which of the two.
    pub replica: u8,
    /// This process.
    pub boot: Id,
    /// The content of memcached; changes when that is lost.
    pub incarnation: Id,
    /// starting, syncing, ready, draining or fenced.
    pub phase: String,
    /// The same as a sentence.
    pub reason: String,
    /// Whether clients are served.
    pub ready: bool,
    /// Whether they are, or would be, without a first sync of this content.
    pub cold: bool,
    /// Whether the first sync of this content is complete.
    pub synced: bool,
    /// Who is at the other end of the link; `None` without one.
    pub linked: Option<Linked>,
    /// What the operator said last.
    pub told: Option<Peer>,
    /// Age of the oldest write that the peer has not confirmed, in microseconds.
    pub lag_us: u64,
    /// Writes that the peer has not confirmed.
    pub backlog_items: u64,
    /// Items in memcached.
    pub items: u64,
    /// Bytes that they take.
    pub bytes: u64,
    /// Times that clients were served without a first sync.
    pub cold_starts: u64,
    /// The resync of the peer that runs or ran last.
    pub resync: Option<Resync>,
    /// SHA-256 of what is in use of `--tls-dir`.
    pub certificates: Certificates,
    /// What the operator said last of where clients reach the pair.
    pub cluster: Option<Cluster>,
}

/// The other end of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Linked {
    /// Its process.
    pub boot: Id,
    /// The content of its memcached.
    pub incarnation: Id,
    /// It holds everything that is here, but for what is on its way.
    pub filled: bool,
}

/// A resync.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Resync {
    /// partial, incremental or full.
    pub kind: String,
    /// Whether it is under way.
    pub running: bool,
    /// Items done.
    pub items_done: u64,
    /// Items in all, as far as they are known.
    pub items_total: u64,
    /// How long it took, or has taken so far.
    pub duration_ms: u64,
}

/// SHA-256 of certificates, in hexadecimal digits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Certificates {
    /// Of the file `ca.crt`.
    pub authorities: String,
    /// Of the file `tls.crt`.
    pub leaf: String,
}

/// Who the peer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// `None`: there is none and will be none soon; nobody is waited for.
    pub pod: Option<PeerPod>,
}

/// The pod of the peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerPod {
    /// Its UID.
    pub uid: String,
    /// Where it is reached, without ports.
    pub addresses: Vec<IpAddr>,
    /// Where it accepts the other sidecar.
    pub port: u16,
}

impl Peer {
    /// Whether it keeps within the bounds.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        self.pod.as_ref().is_none_or(|pod| pod.addresses.len() <= ADDRESSES_MAX && pod.uid.len() <= UID_MAX)
    }
}

/// Where clients reach the pair, for those that ask by `config get cluster`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// Rises when the nodes change: a client takes over only what is newer than what it has.
    pub version: u64,
    /// Every replica. Without any, clients get what memcached answers.
    pub nodes: Vec<ClusterNode>,
}

/// One replica, as clients reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterNode {
    /// A name.
    pub host: String,
    /// An address.
    pub address: IpAddr,
    /// The port of both.
    pub port: u16,
}

impl Cluster {
    /// Whether it keeps within the bounds, and no name could be read as something else.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        let good = |node: &ClusterNode| (1..=HOST_MAX).contains(&node.host.len()) && node.host.bytes().all(is_name);
        self.nodes.len() <= NODES_MAX && self.nodes.iter().all(good)
    }
}

/// Serve no client any more: somebody else has this replica id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fence {
    /// Who is meant; another process refuses.
    pub boot: Id,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_survives_json_and_unknown_fields_are_skipped() {
        let status = Status {
            boot: Id(u64::MAX),
            linked: Some(Linked { boot: Id(1), incarnation: Id(0xabc), filled: true }),
            told: Some(Peer { pod: None }),
            ..Status::default()
        };
        let mut json = serde_json::to_value(&status).unwrap();
        assert_eq!(json["boot"], "ffffffffffffffff");
        assert_eq!(json["linked"]["incarnation"], "0000000000000abc");
        json["ofALaterRelease"] = true.into();
        assert_eq!(serde_json::from_value::<Status>(json).unwrap(), status);
        assert_eq!(serde_json::from_str::<Status>("{}").unwrap(), Status::default());
        assert!(serde_json::from_str::<Fence>(r#"{"boot":"xyz"}"#).is_err());
    }
}
