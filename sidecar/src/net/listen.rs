//! The sockets on which clients and the other sidecar connect.

use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use thiserror::Error;

use crate::config::{HostPort, Listen};

/// Connections that the system completes before they are accepted; it may allow fewer (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;
/// As `memcached -a 0777` does.
const UNIX_MODE: u32 = 0o777;

/// An address that cannot be listened on.
#[derive(Debug, Error)]
#[error("cannot listen on {at}: {cause}")]
pub struct ListenError {
    /// As the user wrote it.
    at: String,
    /// Why not.
    cause: io::Error,
}

/// A listening socket.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(std::net::TcpListener),
    /// A unix socket.
    Unix(std::os::unix::net::UnixListener),
}

/// The addresses on which clients are accepted, whether they are open now or not.
#[derive(Debug)]
pub struct ClientPorts {
    ports: Vec<(Listen, Vec<SocketAddr>)>,
    workers: usize,
}

impl ClientPorts {
    /// Opens nothing yet.
    #[must_use]
    pub fn new(listen: &[Listen], workers: usize) -> Self {
        Self { ports: listen.iter().map(|at| (at.clone(), Vec::new())).collect(), workers }
    }

    /// Opens a set of listeners for each worker: on TCP sockets of their own among which the kernel distributes
    /// connections, on unix sockets the same one. A port that was chosen by the system stays the same from then on.
    ///
    /// # Errors
    /// The first address that cannot be listened on; all are closed again.
    pub fn open(&mut self) -> Result<Vec<Vec<Listener>>, ListenError> {
        let mut all: Vec<Vec<Listener>> = std::iter::repeat_with(Vec::new).take(self.workers).collect();
        let v4: Vec<u16> = self.ports.iter().filter_map(|(at, _)| v4_port(at)).collect();
        for (at, known) in &mut self.ports {
            let failed = |cause| ListenError { at: at.to_string(), cause };
            match &*at {
                Listen::Tcp(host) => {
                    if known.is_empty() {
                        *known = host.resolve().map_err(failed)?;
                    }
                    let v6_only = v4.contains(&host.port) && host.port != 0;
                    open_tcp(known, v6_only, &mut all).map_err(failed)?;
                    for address in known {
                        tracing::info!(%address, "clients are accepted");
                    }
                }
                Listen::Unix(path) => {
                    open_unix(path, &mut all).map_err(failed)?;
                    tracing::info!(path = %path.display(), "clients are accepted");
                }
            }
        }
        Ok(all)
    }

    /// Sees whether the addresses could be opened, so that a mistake is told at the start and not when the first sync is
    /// complete. Nothing is accepted.
    ///
    /// # Errors
    /// The first address that is wrong or in use.
    pub fn check(&self) -> Result<(), ListenError> {
        for (at, _) in &self.ports {
            let failed = |cause| ListenError { at: at.to_string(), cause };
            match at {
                Listen::Tcp(host) => {
                    for address in host.resolve().map_err(failed)? {
                        bind(address, false).map(drop).or_else(absent).map_err(failed)?;
                    }
                }
                Listen::Unix(path) => remove_dead(path).map_err(failed)?,
            }
        }
        Ok(())
    }

    /// The listeners are closed: the files of unix sockets go.
    pub fn closed(&self) {
        for (at, _) in &self.ports {
            if let Listen::Unix(path) = at {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

/// One listener for the other sidecar, at the first address that works, and that address.
///
/// # Errors
/// Why the last address did not work.
pub fn replication(at: &HostPort) -> Result<(std::net::TcpListener, SocketAddr), ListenError> {
    let failed = |cause| ListenError { at: at.to_string(), cause };
    let mut last = io::ErrorKind::AddrNotAvailable.into();
    for address in at.listening().map_err(failed)? {
        match bind(address, false).and_then(listen) {
            Ok(listener) => {
                let address = listener.local_addr().map_err(failed)?;
                return Ok((listener, address));
            }
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

/// The port of an IPv4 listener: an IPv6 one on the same port then leaves IPv4 to it.
fn v4_port(at: &Listen) -> Option<u16> {
    match at {
        Listen::Tcp(host) if !host.host.contains(':') => Some(host.port),
        Listen::Tcp(_) | Listen::Unix(_) => None,
    }
}

fn open_tcp(known: &mut Vec<SocketAddr>, v6_only: bool, all: &mut [Vec<Listener>]) -> io::Result<()> {
    let mut bound = Vec::new();
    let mut last = None;
    for mut address in known.iter().copied() {
        if address.port() != 0 {
            // Sharing a port is for our workers only: it must not hide that another program has it.
            match bind(address, v6_only).map(drop) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
                Err(error) => {
                    last = Some(error);
                    continue;
                }
            }
        }
        let mut sockets = Vec::new();
        for _ in all.iter() {
            let socket = bind_shared(address, v6_only)?;
            if address.port() == 0
                && let Some(chosen) = socket.local_addr()?.as_socket()
            {
                address = chosen;
            }
            sockets.push(socket);
        }
        for (worker, socket) in all.iter_mut().zip(sockets) {
            worker.push(Listener::Tcp(listen(socket)?));
        }
        bound.push(address);
    }
    if bound.is_empty() {
        return Err(last.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()));
    }
    *known = bound;
    Ok(())
}

fn socket(address: SocketAddr, v6_only: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(v6_only)?;
    }
    // The port of an earlier process may be taken at once.
    socket.set_reuse_address(true)?;
    Ok(socket)
}

/// Fails where anybody listens on the port, shared or not. To see only whether it is free, nothing need listen: a client
/// that came at that moment would be taken and dropped.
fn bind(address: SocketAddr, v6_only: bool) -> io::Result<Socket> {
    let socket = socket(address, v6_only)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn bind_shared(address: SocketAddr, v6_only: bool) -> io::Result<Socket> {
    let socket = socket(address, v6_only)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn listen(socket: Socket) -> io::Result<std::net::TcpListener> {
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn open_unix(path: &Path, all: &mut [Vec<Listener>]) -> io::Result<()> {
    remove_dead(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    std::fs::set_permissions(path, Permissions::from_mode(UNIX_MODE))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    for worker in all {
        worker.push(Listener::Unix(socket.try_clone()?.into()));
    }
    Ok(())
}

/// Removes the socket file of a process that is no more, and nothing else.
fn remove_dead(path: &Path) -> io::Result<()> {
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let in_use = !found.file_type().is_socket() || std::os::unix::net::UnixStream::connect(path).is_ok();
    if in_use {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    std::fs::remove_file(path)
}

fn absent(error: io::Error) -> io::Result<()> {
    match error.kind() {
        // A name may have an address of a family that this host lacks.
        io::ErrorKind::AddrNotAvailable => Ok(()),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(listener: &Listener) -> u16 {
        match listener {
            Listener::Tcp(listener) => listener.local_addr().unwrap().port(),
            Listener::Unix(_) => 0,
        }
    }

    #[test]
    fn any_free_port_is_one_for_all_workers_and_for_ever() {
        let mut ports = ClientPorts::new(&["127.0.0.1:0".parse().unwrap()], 3);
        let first = ports.open().unwrap();
        let number = port(&first[0][0]);
        assert!(number != 0 && first.iter().all(|worker| port(&worker[0]) == number));
        drop(first);
        assert_eq!(port(&ports.open().unwrap()[2][0]), number);
    }

    #[test]
    fn a_port_in_use_is_an_error_even_where_it_could_be_shared() {
        let at: Listen = "127.0.0.1:0".parse().unwrap();
        let mut ports = ClientPorts::new(&[at], 1);
        let held = ports.open().unwrap();
        let same: Listen = format!("127.0.0.1:{}", port(&held[0][0])).parse().unwrap();
        let mut others = ClientPorts::new(&[same], 1);
        assert!(others.check().is_err());
        let error = others.open().unwrap_err();
        assert!(error.to_string().starts_with("cannot listen on 127.0.0.1:"), "{error}");
    }

    #[test]
    fn a_dead_unix_socket_is_replaced_a_live_one_or_a_file_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let at: Listen = format!("unix:{}", path.display()).parse().unwrap();
        let mut ports = ClientPorts::new(std::slice::from_ref(&at), 2);
        let held = ports.open().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o777);
        assert!(ClientPorts::new(std::slice::from_ref(&at), 1).open().is_err());
        drop(held);
        assert!(ports.open().is_ok());
        ports.closed();
        assert!(!path.exists());
        std::fs::write(&path, "x").unwrap();
        assert!(ports.open().is_err() && path.exists());
    }
}
