//! What the pods need to know who may use the cache: files of Secrets, and the flags that name them.

use serde_json::{Value, json};

use super::Input;
use crate::api::v1alpha1::ClientCertificates;

/// Where the users are.
const USERS: &str = "/etc/replicated-memcached/auth";
/// Where the certificates for clients are.
const CERTIFICATES: &str = "/etc/replicated-memcached/client-tls";

/// A Secret in the pod. As a whole directory, since kubelet never renews a subPath.
struct Mount<'a> {
    name: &'static str,
    secret: &'a str,
    path: &'static str,
    keys: &'static [&'static str],
}

fn mounts<'a>(input: &Input<'a>) -> Vec<Mount<'a>> {
    let mut all = Vec::new();
    if let Some(secret) = &input.spec.auth.secret_ref {
        all.push(Mount { name: "auth", secret, path: USERS, keys: &["users"] });
    }
    if let Some(secret) = &input.spec.client_tls.secret_ref {
        let keys: &[&str] = match input.spec.client_tls.client_certificates {
            ClientCertificates::Ignored => &["tls.crt", "tls.key"],
            ClientCertificates::Optional | ClientCertificates::Required => &["ca.crt", "tls.crt", "tls.key"],
        };
        all.push(Mount { name: "client-tls", secret, path: CERTIFICATES, keys });
    }
    all
}

/// For the pod.
pub(super) fn volumes(input: &Input<'_>) -> Vec<Value> {
    let volume = |mount: &Mount<'_>| {
        let items: Vec<Value> = mount.keys.iter().map(|key| json!({"key": key, "path": key})).collect();
        json!({"name": mount.name, "secret": {"secretName": mount.secret, "items": items, "defaultMode": 0o440}})
    };
    mounts(input).iter().map(volume).collect()
}

/// For the container sidecar.
pub(super) fn volume_mounts(input: &Input<'_>) -> Vec<Value> {
    let mount = |mount: &Mount<'_>| json!({"name": mount.name, "mountPath": mount.path, "readOnly": true});
    mounts(input).iter().map(mount).collect()
}

/// For the container sidecar.
pub(super) fn flags(input: &Input<'_>) -> Vec<(&'static str, String)> {
    let mut flags = Vec::new();
    if input.spec.auth.secret_ref.is_some() {
        flags.push(("RMC_AUTH_FILE", format!("{USERS}/users")));
    }
    if input.spec.client_tls.secret_ref.is_some() {
        flags.push(("RMC_CLIENT_TLS_DIR", CERTIFICATES.to_owned()));
        let verify = match input.spec.client_tls.client_certificates {
            ClientCertificates::Ignored => "off",
            ClientCertificates::Optional => "request",
            ClientCertificates::Required => "require",
        };
        flags.push(("RMC_CLIENT_TLS_VERIFY", verify.to_owned()));
    }
    flags
}
