//! Who wrote what, by the apiserver's audit log.

use anyhow::{Context, Result};
use serde_json::Value;

use super::Kind;

/// kind's name for the node of the apiserver.
const CONTROL_PLANE: &str = "replicated-memcached-control-plane";

/// A place in the audit log: what is written from here on can be asked for.
pub struct Audit<'a> {
    kind: &'a Kind,
    lines: usize,
}

impl<'a> Audit<'a> {
    /// The present end of the log.
    pub async fn from_now(kind: &'a Kind) -> Result<Self> {
        let count = kind.on_node(CONTROL_PLANE, "cat /var/log/kubernetes/audit*.log | wc -l").await?;
        Ok(Audit { kind, lines: count.trim().parse().context("no audit log")? })
    }

    /// What service accounts of `writers`, a namespace, have written since then, besides Leases: verb and resource of each.
    /// What they wrote in the namespaces of other tests than `own` is left out.
    pub async fn writes_of(&self, writers: &str, own: &str) -> Result<Vec<String>> {
        // files that were rotated come first by their names
        let script = format!("cat $(ls /var/log/kubernetes/audit*.log | sort -r) | tail -n +{}", self.lines + 1);
        let log = self.kind.on_node(CONTROL_PLANE, &script).await?;
        let user = format!("system:serviceaccount:{writers}:");
        let mut writes = Vec::new();
        for line in log.lines() {
            let event: Value = serde_json::from_str(line).context("a line of the audit log")?;
            let text = |pointer| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            let resource = text("/objectRef/resource");
            let by = [text("/user/username"), text("/impersonatedUser/username")];
            let place = text("/objectRef/namespace");
            let foreign = place.starts_with("e2e-") && place != own;
            if by.iter().any(|name| name.starts_with(&user)) && resource != "leases" && !foreign {
                let subresource = text("/objectRef/subresource");
                writes.push(format!("{} {resource}/{subresource} {}", text("/verb"), text("/objectRef/name")));
            }
        }
        Ok(writes)
    }
}
