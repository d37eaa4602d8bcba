//! Addresses as a user writes them.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Longest path of a unix socket in bytes: `sun_path` less its closing NUL.
pub const UNIX_PATH_MAX: usize = 107;

/// Longest host name in bytes (RFC 1035).
const HOST_MAX: usize = 253;

/// A host and a TCP port: `10.0.0.1:11212`, `[::1]:11212` or `name:11212`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// A name, or an IP address without brackets.
    pub host: String,
    /// 0 means any free port, where that makes sense.
    pub port: u16,
}

impl HostPort {
    /// Where to listen: as [`HostPort::resolve`], and where all of IPv6 is meant but the host has none, all of IPv4.
    ///
    /// # Errors
    /// As [`HostPort::resolve`].
    pub fn listening(&self) -> io::Result<Vec<SocketAddr>> {
        let mut found = self.resolve()?;
        let all = SocketAddr::from((Ipv6Addr::UNSPECIFIED, self.port));
        if found == [all] {
            found.push(SocketAddr::from((Ipv4Addr::UNSPECIFIED, self.port)));
        }
        Ok(found)
    }

    /// Every address of the host now. A name blocks the thread for as long as the resolver takes.
    ///
    /// # Errors
    /// The resolver's, or `NotFound` for a name without an address.
    pub fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let found: Vec<_> = (self.host.as_str(), self.port).to_socket_addrs()?.collect();
        if found.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("{self} has no address")));
        }
        Ok(found)
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "write HOST:PORT, an IPv6 address in brackets ([::1]:11211)";
        let (host, port) = text.rsplit_once(':').ok_or_else(|| format!("the port is missing; {FORM}"))?;
        let port: u16 = port.parse().map_err(|_| format!("the port is not a number from 0 to 65535; {FORM}"))?;
        let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(v6) if v6.parse::<std::net::Ipv6Addr>().is_ok() => v6,
            Some(_) => return Err(format!("not an IPv6 address in the brackets; {FORM}")),
            None => host,
        };
        let is_v6 = host.contains(':');
        if is_v6 && !text.starts_with('[') {
            return Err(format!("an IPv6 address needs brackets; {FORM}"));
        }
        let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if host.is_empty() || host.len() > HOST_MAX || !(is_v6 || host.bytes().all(is_name)) {
            return Err(format!("not a host name or address; {FORM}"));
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

/// As [`HostPort`], for an address that is dialled: port 0 is refused.
///
/// # Errors
/// What is wrong with the text.
pub(super) fn dialled(text: &str) -> Result<HostPort, String> {
    let at: HostPort = text.parse()?;
    if at.port == 0 {
        return Err("port 0 cannot be dialled".to_owned());
    }
    Ok(at)
}

/// Where clients are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// TCP; port 0 means any free one.
    Tcp(HostPort),
    /// A unix socket, made with mode 0777 as `memcached -a 0777` does.
    Unix(PathBuf),
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(at) => at.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some(path) => Ok(Self::Unix(unix_path(path)?)),
            None => Ok(Self::Tcp(text.parse()?)),
        }
    }
}

/// Where the memcached behind answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    /// Over TCP (its content is then told by the start time in `stats`).
    Tcp(HostPort),
    /// Over a unix socket: faster, and nothing can go round the sidecar.
    Unix(PathBuf),
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(at) => at.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Upstream {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some(path) => Ok(Self::Unix(unix_path(path)?)),
            None => Ok(Self::Tcp(dialled(text)?)),
        }
    }
}

fn unix_path(path: &str) -> Result<PathBuf, String> {
    if path.is_empty() || path.len() > UNIX_PATH_MAX || path.contains('\0') {
        return Err(format!("a unix socket's path has 1 to {UNIX_PATH_MAX} bytes"));
    }
    Ok(Path::new(path).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_printed_alike() {
        for text in ["0.0.0.0:11211", "[::]:11211", "db-1.example.org:0", "unix:/run/m.sock", "unix:rel/m.sock"] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
        }
        for text in ["127.0.0.1:11211", "[fe80::1]:1", "unix:/run/m.sock"] {
            assert_eq!(text.parse::<Upstream>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn wrong_addresses_are_refused() {
        let long = format!("unix:/{}", "a".repeat(UNIX_PATH_MAX));
        let long_host = format!("{}:1", "a".repeat(HOST_MAX + 1));
        for text in [
            "",
            ":1",
            "host",
            "host:",
            "host:x",
            "host:65536",
            "host:-1",
            "::1:11211",
            "[::1]",
            "[nonsense]:1",
            "ho st:1",
            "host/x:1",
            "unix:",
            &long,
            &long_host,
        ] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
            assert!(text.parse::<Upstream>().is_err(), "{text}");
        }
        assert!("host:0".parse::<Upstream>().is_err());
        assert!(dialled("host:0").is_err());
    }

    #[test]
    fn who_means_all_addresses_gets_those_that_there_are() {
        let listening = |text: &str| text.parse::<HostPort>().unwrap().listening().unwrap();
        assert_eq!(listening("[::]:7"), ["[::]:7".parse().unwrap(), "0.0.0.0:7".parse().unwrap()]);
        assert_eq!(listening("[::1]:7"), ["[::1]:7".parse().unwrap()]);
        assert_eq!(listening("0.0.0.0:7"), ["0.0.0.0:7".parse().unwrap()]);
    }

    #[test]
    fn an_address_resolves_to_itself() {
        let at: HostPort = "[::1]:7".parse().unwrap();
        assert_eq!(at.resolve().unwrap(), ["[::1]:7".parse().unwrap()]);
    }
}
