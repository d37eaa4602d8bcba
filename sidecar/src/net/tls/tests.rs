use std::sync::Arc;

use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::net::stream::Stream;

/// The server's end as the workers have it, and a client.
async fn connected(version: &'static SupportedProtocolVersion) -> (Stream, TlsStream<TcpStream>) {
    let key = rcgen::generate_simple_self_signed(vec!["cache.example".to_owned()]).unwrap();
    let (certificate, private) = (key.cert.der().clone(), PrivateKeyDer::try_from(key.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], private.unwrap())
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let dial = async {
        let name = ServerName::try_from("cache.example").unwrap();
        TlsConnector::from(Arc::new(client)).connect(name, TcpStream::connect(to).await.unwrap()).await.unwrap()
    };
    let accept = async {
        let socket = listener.accept().await.unwrap().0;
        let (socket, session) = TlsAcceptor::from(Arc::new(server)).accept(socket).await.unwrap().into_inner();
        Stream::Tls(Box::new(super::TlsSocket::new(socket, session)))
    };
    let (client, server) = tokio::join!(dial, accept);
    (server, client)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

/// Whatever sizes are read and offered: the same bytes arrive, in both directions at once, and then the end.
#[tokio::test]
async fn bytes_pass_in_order_while_the_sockets_are_full() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        const LEN: usize = 3_000_000;
        let (server, client) = connected(version).await;
        let (mut from, mut to) = tokio::io::split(client);
        let writing = tokio::spawn(async move {
            to.write_all(&pattern(LEN)).await.unwrap();
            to.shutdown().await.unwrap();
        });
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            from.read_to_end(&mut all).await.unwrap();
            all
        });
        let send = async {
            let all = pattern(LEN);
            let (mut sent, mut full, mut offer) = (0, false, 1);
            while sent < all.len() {
                // never less than was offered before, as with the output of a client
                offer = (offer * 7 + 13) % 100_000;
                let end = if full { (sent + 40_000).min(LEN) } else { (sent + offer + 1).min(LEN) };
                let taken = server.try_write(&all[sent..end]).unwrap();
                sent += taken;
                full = sent < end;
                if full {
                    std::future::poll_fn(|cx| server.poll_writable(cx)).await.unwrap();
                    assert!(server.memory() <= 16 << 10);
                }
            }
        };
        let receive = async {
            let (mut got, mut room) = (Vec::new(), 1);
            loop {
                room = (room * 5 + 3) % 70_000 + 1;
                let mut buffer = vec![0; room];
                match server.read(&mut buffer).await.unwrap() {
                    0 => return got,
                    len => got.extend_from_slice(&buffer[..len]),
                }
            }
        };
        let ((), got) = tokio::join!(send, receive);
        assert!(got == pattern(LEN));
        writing.await.unwrap();
        drop(server);
        // the end is told: a cut would be an error
        assert!(reading.await.unwrap() == pattern(LEN));
    }
}

#[tokio::test]
async fn nothing_is_lost_between_two_looks() {
    let (server, mut client) = connected(&rustls::version::TLS13).await;
    let mut small = [0; 3];
    assert_eq!(server.try_read(&mut small).unwrap(), None);
    client.write_all(b"0123456").await.unwrap();
    for expected in [&b"012"[..], b"345", b"6"] {
        // each time there is a wake-up, though the socket itself is empty after the first
        let len = server.read(&mut small).await.unwrap();
        assert_eq!(&small[..len], expected);
    }
    assert_eq!(server.try_read(&mut small).unwrap(), None);
    assert_eq!(server.try_write(b"").unwrap(), 0);
    // gone without a word of TLS
    let (mut socket, _) = client.into_inner();
    socket.shutdown().await.unwrap();
    assert_eq!(server.read(&mut small).await.unwrap(), 0);
}

#[tokio::test]
async fn garbage_is_an_error() {
    let (server, client) = connected(&rustls::version::TLS13).await;
    let (mut socket, _) = client.into_inner();
    socket.write_all(b"get k\r\nget k\r\nget k\r\n").await.unwrap();
    assert!(server.read(&mut [0; 100]).await.is_err());
}
