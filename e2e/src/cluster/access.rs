//! The cluster itself.

use std::env;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DynamicObject, EvictParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Config, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::paths;

/// Who writes what these tests apply.
const MANAGER: &str = "e2e";

/// A Kubernetes that answers.
#[derive(Clone)]
pub struct Cluster {
    /// the client of its apiserver
    pub client: Client,
    /// one that does not ask again by itself when something is refused
    impatient: Client,
    /// the file that says where it is, for the programs that we start
    pub kubeconfig: PathBuf,
}

impl Cluster {
    /// The cluster of KUBECONFIG, else the one that `make cluster` made.
    pub async fn connect() -> Result<Self> {
        let kubeconfig = match env::var_os("KUBECONFIG").filter(|value| !value.is_empty()) {
            Some(path) => PathBuf::from(path),
            None => paths::cache_dir()?.join("kubeconfig"),
        };
        let missing = || format!("no cluster at {} (make cluster starts one)", kubeconfig.display());
        let parsed = Kubeconfig::read_from(&kubeconfig).with_context(missing)?;
        let mut config = Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config.clone())?;
        config.default_retry = false;
        let impatient = Client::try_from(config)?;
        client
            .apiserver_version()
            .await
            .with_context(|| format!("the cluster of {} is silent", kubeconfig.display()))?;
        Ok(Cluster { client, impatient, kubeconfig })
    }

    /// Objects of a kind in one namespace.
    pub fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Objects of a kind that the Kubernetes types do not know, in one namespace.
    pub fn dynamic(&self, namespace: &str, group: &str, version: &str, kind: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::namespaced_with(self.client.clone(), namespace, &resource)
    }
}

impl Cluster {
    /// Applies YAML as a person does.
    pub async fn kubectl_apply(&self, yaml: &str) -> Result<()> {
        self.kubectl(&["apply", "-f", "-"], yaml).await.map(drop)
    }

    /// Runs kubectl as a service account of a namespace, in that namespace.
    pub async fn kubectl_as(&self, namespace: &str, account: &str, arguments: &[&str]) -> Result<String> {
        let user = format!("system:serviceaccount:{namespace}:{account}");
        self.kubectl(&[arguments, &["--namespace", namespace, "--as", &user]].concat(), "").await
    }

    /// Runs kubectl; its standard output.
    pub async fn kubectl(&self, arguments: &[&str], input: &str) -> Result<String> {
        Ok(self.kubectl_output(arguments, input).await?.0)
    }

    /// Drains a node of the pods of a pair; what kubectl complained about on the way.
    pub async fn drain(&self, node: &str, pair: &str) -> Result<String> {
        let selector = format!("--pod-selector=app.kubernetes.io/instance={pair}");
        let drain = ["drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=180s", &selector];
        Ok(self.kubectl_output(&drain, "").await?.1)
    }

    /// Lets pods come to a node again.
    pub async fn uncordon(&self, node: &str) -> Result<()> {
        self.kubectl(&["uncordon", node], "").await.map(drop)
    }

    /// Evicts a pod as a drain does; false: its budget says no.
    pub async fn evict(&self, namespace: &str, pod: &str) -> Result<bool> {
        let pods: Api<Pod> = Api::namespaced(self.impatient.clone(), namespace);
        match pods.evict(pod, &EvictParams::default()).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 429 => Ok(false),
            Err(error) => Err(error).with_context(|| format!("cannot evict {pod}")),
        }
    }

    /// Runs kubectl; its standard output and its standard error.
    async fn kubectl_output(&self, arguments: &[&str], input: &str) -> Result<(String, String)> {
        let mut command = Command::new("kubectl");
        command.args(arguments).env("KUBECONFIG", &self.kubeconfig).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot run kubectl")?;
        let mut stdin = child.stdin.take().context("no stdin")?;
        stdin.write_all(input.as_bytes()).await.context("kubectl does not read")?;
        drop(stdin);
        let output = child.wait_with_output().await?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kubectl {arguments:?}: {}", complaint.trim());
        Ok((String::from_utf8_lossy(&output.stdout).into_owned(), complaint.into_owned()))
    }
}

/// Creates or changes an object by server-side apply.
pub(super) async fn apply<K>(api: &Api<K>, object: &Value) -> Result<K>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let name = object.pointer("/metadata/name").and_then(Value::as_str).context("an object without a name")?;
    let params = PatchParams::apply(MANAGER).force();
    api.patch(name, &params, &Patch::Apply(object)).await.with_context(|| format!("cannot apply {name}"))
}

/// The name of an object, for messages.
pub fn name_of(object: &impl Resource) -> String {
    object.name_any()
}
