//! Port numbers that stay ours while the process that listens on them is restarted.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result};

/// Below the range from which the kernel takes ports of outgoing connections.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A TCP port on 127.0.0.1, reserved among all users of this type on the machine by holding the UDP port of the same
/// number.
#[derive(Debug)]
pub struct Port {
    address: SocketAddr,
    _reservation: UdpSocket,
}

impl Port {
    /// Reserves a port nobody listens on.
    pub fn reserve() -> Result<Self> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        // Processes that run at the same time start at different places; a clash only costs another try.
        let start = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap_or(0);
        (0..COUNT)
            .find_map(|_| {
                let offset = (start + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST + offset));
                let reservation = UdpSocket::bind(address).ok()?;
                TcpListener::bind(address).ok()?;
                Some(Port { address, _reservation: reservation })
            })
            .context("no free port on 127.0.0.1")
    }

    /// 127.0.0.1 with this port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_port_can_be_listened_on_and_is_not_given_twice() {
        let ports: Vec<Port> = (0..50).map(|_| Port::reserve().unwrap()).collect();
        let mut numbers: Vec<u16> = ports.iter().map(|port| port.address().port()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 50);
        TcpListener::bind(ports[0].address()).unwrap();
    }
}
