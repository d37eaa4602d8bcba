//! Commands in containers.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::AttachParams;
use tokio::io::AsyncReadExt;

/// Runs a command to its end and returns its standard output; an error with its standard error if it failed.
pub(super) async fn exec(pods: &Api<Pod>, pod: &str, command: &[&str]) -> Result<String> {
    let params = AttachParams::default().stdin(false).stdout(true).stderr(true);
    let mut process = pods
        .exec(pod, command.iter().copied(), &params)
        .await
        .with_context(|| format!("cannot run {command:?} in {pod}"))?;
    let mut out = process.stdout().context("no stdout")?;
    let mut error = process.stderr().context("no stderr")?;
    let status = process.take_status().context("no status")?;
    let (mut said, mut complained) = (String::new(), String::new());
    let (read, read_error, status) =
        tokio::join!(out.read_to_string(&mut said), error.read_to_string(&mut complained), status);
    read.and(read_error).with_context(|| format!("the output of {command:?} broke off"))?;
    let status = status.with_context(|| format!("the end of {command:?} is unknown"))?;
    let failed = || format!("{command:?}: {} {complained}", status.message.clone().unwrap_or_default());
    ensure!(status.status.as_deref() == Some("Success"), failed());
    Ok(said)
}
