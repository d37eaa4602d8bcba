use super::*;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::{AlertDescription, CertificateError, ClientConnection, Error, ServerConnection};
use std::time::Duration;
use tempfile::TempDir;

struct Ca {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { pem, issuer }
    }

    /// Certificate and key, both PEM.
    fn leaf(&self, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["someone.example".to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn dir(&self, change: impl FnOnce(&mut CertificateParams)) -> TempDir {
        let dir = TempDir::new().unwrap();
        write(&dir, &self.pem, self.leaf(change));
        dir
    }
}

fn write(dir: &TempDir, ca: &str, (chain, key): (String, String)) {
    for (name, text) in [("ca.crt", ca), ("tls.crt", &chain), ("tls.key", &key)] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
}

fn load(dir: &TempDir) -> Tls {
    Tls::load(dir.path()).unwrap()
}

/// Shakes hands in memory. The errors of the dialling and of the dialled side.
fn handshake(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> (Result<(), Error>, Result<(), Error>) {
    let mut client = ClientConnection::new(client, peer_name()).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    let (mut client_end, mut server_end) = (Ok(()), Ok(()));
    for _ in 0..8 {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server_end = server_end.and(server.process_new_packets().map(|_| ()));
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client_end = client_end.and(client.process_new_packets().map(|_| ()));
    }
    if client_end.is_ok() && server_end.is_ok() {
        assert!(!client.is_handshaking() && !server.is_handshaking());
    }
    (client_end, server_end)
}

fn refused(result: Result<(), Error>) -> CertificateError {
    match result {
        Err(Error::InvalidCertificate(why)) => why,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn the_same_ca_is_enough() {
    let ca = Ca::new();
    let (a, b) = (load(&ca.dir(|_| ())), load(&ca.dir(|_| ())));
    assert_eq!(handshake(a.client(), b.server()), (Ok(()), Ok(())));
    assert_eq!(handshake(b.client(), a.server()), (Ok(()), Ok(())));
}

#[test]
fn a_certificate_for_one_purpose_serves_in_both_roles() {
    use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    let ca = Ca::new();
    for purpose in [ClientAuth, ServerAuth] {
        let a = load(&ca.dir(|params| params.extended_key_usages = vec![purpose]));
        assert_eq!(handshake(a.client(), a.server()), (Ok(()), Ok(())));
    }
    let code = ca.dir(|params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    });
    let (_, end) = handshake(load(&code).client(), load(&ca.dir(|_| ())).server());
    assert!(matches!(refused(end), CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. }));
}

#[test]
fn another_ca_is_refused_on_both_sides() {
    let (ours, theirs) = (Ca::new(), Ca::new());
    let us = load(&ours.dir(|_| ()));
    let them = load(&theirs.dir(|_| ()));
    assert!(handshake(us.client(), them.server()).0.is_err());

    // one that trusts us still gets nowhere
    let mixed = TempDir::new().unwrap();
    write(&mixed, &ours.pem, theirs.leaf(|_| ()));
    let mixed = load(&mixed);
    let (_, end) = handshake(mixed.client(), us.server());
    let is_stranger =
        |why: &CertificateError| matches!(why, CertificateError::UnknownIssuer | CertificateError::BadSignature);
    assert!(is_stranger(&refused(end)));
    let (end, _) = handshake(us.client(), mixed.server());
    assert!(is_stranger(&refused(end)));
}

#[test]
fn no_certificate_is_refused() {
    let ca = Ca::new();
    let dir = ca.dir(|_| ());
    let us = load(&dir);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = SignedByCa::new(roots, &provider).unwrap();
    let anonymous = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    let (end, server_end) = handshake(Arc::new(anonymous), us.server());
    assert_eq!(server_end, Err(Error::NoCertificatesPresented));
    assert_eq!(end, Err(Error::AlertReceived(AlertDescription::CertificateRequired)));
}

#[test]
fn an_expired_or_future_certificate_is_refused() {
    let ca = Ca::new();
    let good = load(&ca.dir(|_| ()));
    let expired = load(&ca.dir(|params| params.not_after = date_time_ymd(2020, 1, 1)));
    let future = load(&ca.dir(|params| params.not_before = date_time_ymd(4000, 1, 1)));
    for (bad, is_it) in [
        (&expired, (|why| matches!(why, CertificateError::ExpiredContext { .. })) as fn(_) -> _),
        (&future, |why| matches!(why, CertificateError::NotValidYetContext { .. })),
    ] {
        assert!(is_it(refused(handshake(bad.client(), good.server()).1)));
        assert!(is_it(refused(handshake(good.client(), bad.server()).0)));
    }
}

#[test]
fn new_files_are_taken_over_when_they_fit_together() {
    let (old, new) = (Ca::new(), Ca::new());
    let dir = old.dir(|_| ());
    let us = load(&dir);
    let them = load(&new.dir(|_| ()));
    assert!(!us.reload().unwrap());
    let before = us.server();

    // half of a rotation: the certificate is new, the key is not
    let (chain, key) = new.leaf(|_| ());
    std::fs::write(dir.path().join("tls.crt"), &chain).unwrap();
    let error = us.reload().unwrap_err();
    assert!(matches!(error, TlsError::Mismatch { .. }), "{error}");
    assert!(error.to_string().contains("tls.key"), "{error}");
    assert!(Arc::ptr_eq(&before, &us.server()));

    write(&dir, &new.pem, (chain, key));
    assert!(us.reload().unwrap());
    assert!(!us.reload().unwrap());
    assert_eq!(handshake(us.client(), them.server()), (Ok(()), Ok(())));
    assert_eq!(handshake(them.client(), us.server()), (Ok(()), Ok(())));
}

#[test]
fn a_bundle_of_the_old_and_the_new_ca_accepts_both() {
    let (old, new) = (Ca::new(), Ca::new());
    let bundle = format!("{}{}", old.pem, new.pem);
    let (a, b) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    write(&a, &bundle, old.leaf(|_| ()));
    write(&b, &bundle, new.leaf(|_| ()));
    assert_eq!(handshake(load(&a).client(), load(&b).server()), (Ok(()), Ok(())));
}

#[tokio::test(start_paused = true)]
async fn the_watch_follows_a_swapped_link() {
    let (old, new) = (Ca::new(), Ca::new());
    let (first, second) = (old.dir(|_| ()), new.dir(|_| ()));
    let mount = TempDir::new().unwrap();
    let data = mount.path().join("..data");
    std::os::unix::fs::symlink(first.path(), &data).unwrap();
    for name in ["ca.crt", "tls.crt", "tls.key"] {
        std::os::unix::fs::symlink(format!("..data/{name}"), mount.path().join(name)).unwrap();
    }
    let us = Arc::new(load(&mount));
    let before = us.server();
    let watched = Arc::clone(&us);
    let watch = tokio::spawn(async move {
        let stats = crate::stats::FilesStats::default();
        crate::reload::watch(watched.dir(), Duration::from_secs(5), &stats, || watched.reload()).await
    });

    let next = mount.path().join("..data_tmp");
    std::os::unix::fs::symlink(second.path(), &next).unwrap();
    std::fs::rename(&next, &data).unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(!Arc::ptr_eq(&before, &us.server()));
    let them = load(&new.dir(|_| ()));
    assert_eq!(handshake(them.client(), us.server()), (Ok(()), Ok(())));
    watch.abort();
}

#[test]
fn errors_name_the_file() {
    let ca = Ca::new();
    for (name, text, says) in [
        ("ca.crt", None, "cannot read"),
        ("tls.key", None, "cannot read"),
        ("ca.crt", Some(String::new()), "has no PEM certificate"),
        ("tls.crt", Some("nonsense".to_owned()), "has no PEM certificate"),
        ("tls.key", Some(ca.pem.clone()), "has no PEM private key"),
        ("tls.key", Some(ca.leaf(|_| ()).1), "is not the key of tls.crt"),
        ("ca.crt", Some("x".repeat(FILE_MAX as usize + 1)), "is larger than"),
    ] {
        let dir = ca.dir(|_| ());
        match text {
            Some(text) => std::fs::write(dir.path().join(name), text).unwrap(),
            None => std::fs::remove_file(dir.path().join(name)).unwrap(),
        }
        // as the program ends with it: nothing is said twice
        let error = format!("{:#}", anyhow::Error::from(Tls::load(dir.path()).unwrap_err()));
        let (_, cause) = error.rsplit_once(": ").unwrap_or_default();
        assert!(cause.is_empty() || error.matches(cause).count() == 1, "{error}");
        assert!(error.contains(name) && error.contains(says), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn the_key_is_not_printed() {
    let dir = Ca::new().dir(|_| ());
    let shown = format!("{:?}", load(&dir).current().files);
    assert_eq!(shown, "Files");
}

fn clients_dir(ca: &Ca, with_ca: bool) -> TempDir {
    let dir = ca.dir(|_| ());
    if !with_ca {
        std::fs::remove_file(dir.path().join("ca.crt")).unwrap();
    }
    dir
}

/// A client that believes `ca`, with a certificate of `own`.
fn client(ca: &Ca, own: Option<&Ca>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.pem.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    Arc::new(match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let (chain, key) = own.leaf(|_| ());
            let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).map(Result::unwrap).collect();
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
        }
    })
}

/// Whether a client is served.
fn served(config: Arc<ClientConfig>, tls: &ClientTls) -> bool {
    let name = ServerName::try_from("someone.example").unwrap();
    let mut client = ClientConnection::new(config, name).unwrap();
    let mut server = ServerConnection::new(tls.server()).unwrap();
    for _ in 0..8 {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        let seen = server.process_new_packets();
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        if seen.is_err() || client.process_new_packets().is_err() {
            return false;
        }
    }
    !server.is_handshaking() && !client.is_handshaking()
}

#[test]
fn certificates_of_clients_are_looked_at_as_asked() {
    let (ca, stranger) = (Ca::new(), Ca::new());
    for (verify, without, strange) in
        [(Verify::Off, true, true), (Verify::Request, true, false), (Verify::Require, false, false)]
    {
        let dir = clients_dir(&ca, verify != Verify::Off);
        let tls = ClientTls::load(dir.path(), verify).unwrap();
        assert!(served(client(&ca, Some(&ca)), &tls), "{verify:?}");
        assert_eq!(served(client(&ca, None), &tls), without, "{verify:?}");
        assert_eq!(served(client(&ca, Some(&stranger)), &tls), strange, "{verify:?}");
        assert!(!served(client(&stranger, None), &tls), "{verify:?}");
    }
    let error = ClientTls::load(clients_dir(&ca, false).path(), Verify::Request).unwrap_err().to_string();
    assert!(error.contains("ca.crt"), "{error}");
}

#[test]
fn new_certificates_are_for_new_clients_and_bad_ones_for_nobody() {
    let (old, new) = (Ca::new(), Ca::new());
    let dir = clients_dir(&old, false);
    let tls = ClientTls::load(dir.path(), Verify::Off).unwrap();
    assert!(served(client(&old, None), &tls) && !tls.reload().unwrap());
    // half of a change: the certificate is there, the key is not
    let (chain, key) = new.leaf(|_| ());
    std::fs::write(dir.path().join("tls.crt"), chain).unwrap();
    let error = tls.reload().unwrap_err().to_string();
    assert!(error.contains("tls.key is not the key of tls.crt"), "{error}");
    assert!(served(client(&old, None), &tls));
    std::fs::write(dir.path().join("tls.key"), key).unwrap();
    assert!(tls.reload().unwrap());
    assert!(served(client(&new, None), &tls) && !served(client(&old, None), &tls));
}
