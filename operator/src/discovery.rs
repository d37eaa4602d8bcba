//! PURE: what clients that ask by `config get cluster` are told, by way of the sidecars.

use std::net::IpAddr;

use sidecar::control::protocol::{Cluster, ClusterNode, Status};

use crate::names::{CLIENT_PORT, Names};

/// Where clients reach each replica: by its Service, which outlives its pods. `None` until both have an address.
#[must_use]
pub fn nodes(names: Names<'_>, namespace: &str, addresses: [Option<IpAddr>; 2]) -> Option<Vec<ClusterNode>> {
    let node = |index: usize, address: IpAddr| {
        let host = format!("{}.{namespace}.svc", names.replica(index));
        ClusterNode { host, address, port: CLIENT_PORT }
    };
    let [Some(first), Some(second)] = addresses else { return None };
    Some(vec![node(0, first), node(1, second)])
}

/// What each of the two sidecars is to be told now; `None`: nothing new.
///
/// Nothing keeps the version but the sidecars: as long as one of them knows it, it stays, and both have the same. It rises when
/// the addresses change. Where nobody knows any more, it is the time, which is above every number of changes.
#[must_use]
pub fn decide(nodes: &[ClusterNode], statuses: [Option<&Status>; 2], now_seconds: u64) -> [Option<Cluster>; 2] {
    let told = || statuses.iter().flatten().filter_map(|status| status.cluster.as_ref());
    let newest = told().map(|cluster| cluster.version).max();
    // An older one with the right nodes is no reason to go back.
    let known = told().find(|cluster| Some(cluster.version) == newest && cluster.nodes == nodes);
    let version = match known {
        Some(cluster) => cluster.version,
        None => now_seconds.max(newest.map_or(0, |newest| newest.saturating_add(1))),
    };
    let wanted = Cluster { version, nodes: nodes.to_vec() };
    statuses.map(|status| (status?.cluster.as_ref() != Some(&wanted)).then(|| wanted.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(last: u8) -> Vec<ClusterNode> {
        let addresses = [1, last].map(|n| Some(IpAddr::from([10, 0, 0, n])));
        nodes(Names { cr: "web" }, "shop", addresses).unwrap()
    }

    fn versions(told: &[Option<Cluster>; 2]) -> [Option<u64>; 2] {
        [0, 1].map(|index: usize| told[index].as_ref().map(|cluster| cluster.version))
    }

    #[test]
    fn both_say_the_same_and_the_version_only_rises() {
        assert_eq!(nodes(Names { cr: "web" }, "shop", [None, Some(IpAddr::from([10, 0, 0, 1]))]), None);
        assert_eq!(addresses(2)[1].host, "web-1.shop.svc");
        let mut statuses = [Status::default(), Status::default()];
        let mut tell = |nodes: &[ClusterNode], now, lost: &[usize]| {
            for index in lost {
                statuses[*index].cluster = None;
            }
            let told = decide(nodes, [Some(&statuses[0]), Some(&statuses[1])], now);
            for (status, cluster) in statuses.iter_mut().zip(&told) {
                status.cluster = cluster.clone().or(status.cluster.take());
            }
            versions(&told)
        };
        assert_eq!(tell(&addresses(2), 1000, &[]), [Some(1000), Some(1000)]);
        assert_eq!(tell(&addresses(2), 2000, &[]), [None, None]);
        // one has forgotten
        assert_eq!(tell(&addresses(2), 3000, &[1]), [None, Some(1000)]);
        // other addresses, also when the clock has gone back
        assert_eq!(tell(&addresses(3), 900, &[]), [Some(1001), Some(1001)]);
        // both have forgotten
        assert_eq!(tell(&addresses(3), 4000, &[0, 1]), [Some(4000), Some(4000)]);
    }

    #[test]
    fn who_is_behind_is_told() {
        let old = Cluster { version: 5, nodes: addresses(2) };
        let new = Cluster { version: 9, nodes: addresses(3) };
        let [a, b] = [old, new].map(|cluster| Status { cluster: Some(cluster), ..Status::default() });
        assert_eq!(versions(&decide(&addresses(3), [Some(&a), Some(&b)], 1)), [Some(9), None]);
        assert_eq!(versions(&decide(&addresses(2), [Some(&a), Some(&b)], 1)), [Some(10), Some(10)]);
        assert_eq!(versions(&decide(&addresses(2), [None, Some(&b)], 1)), [None, Some(10)]);
    }
}
