//! Flags of `memcached-operator run`.

use clap::Args;

/// What an administrator sets.
#[derive(Clone, Debug, Args)]
pub struct Settings {
    /// Namespaces to look after, comma-separated. Default: all
    #[arg(long, env = "RMC_OPERATOR_WATCH_NAMESPACES", value_name = "NAMESPACES", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,

    /// Image of the sidecar, without its registry, where the resource names none
    #[arg(long, env = "RMC_OPERATOR_SIDECAR_IMAGE", value_name = "IMAGE", default_value = concat!("replicated-memcached/sidecar:", env!("CARGO_PKG_VERSION")))]
    pub sidecar_image: String,

    /// Registry (and path) that is put before it, where the resource names none
    #[arg(long, env = "RMC_OPERATOR_IMAGE_REGISTRY", value_name = "REGISTRY")]
    pub image_registry: Option<String>,

    /// Namespace of the operator: of its Lease, and from where NetworkPolicies let it in. Default: that of its service account, or
    /// of the kubeconfig
    #[arg(long, env = "RMC_OPERATOR_NAMESPACE", value_name = "NAMESPACE")]
    pub namespace: Option<String>,

    /// Name of this process in the Lease. Default: host name and a random number
    #[arg(long, env = "RMC_OPERATOR_IDENTITY", value_name = "NAME")]
    pub identity: Option<String>,

    /// Name of the Lease
    #[arg(long, env = "RMC_OPERATOR_LEASE", value_name = "NAME", default_value = "replicated-memcached-operator")]
    pub lease: String,

    /// Be active without a Lease: only where there is one process for sure
    #[arg(long, env = "RMC_OPERATOR_NO_LEADER_ELECTION", value_parser = clap::builder::BoolishValueParser::new(), default_value_t = false, num_args = 0..=1, default_missing_value = "true")]
    pub no_leader_election: bool,

    /// Where /metrics, /livez and /readyz are answered
    #[arg(long, env = "RMC_OPERATOR_LISTEN", value_name = "HOST:PORT", default_value = "[::]:8080")]
    pub listen: sidecar::config::HostPort,

    /// Resources that are worked on at once
    #[arg(long, env = "RMC_OPERATOR_CONCURRENCY", value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,

    /// How the log on standard error is written: human or json
    #[arg(long, env = "RMC_OPERATOR_LOG_FORMAT", value_name = "FORMAT", default_value = "json", value_enum)]
    pub log_format: sidecar::config::LogFormat,

    /// What is logged: off, error, warn, info, debug or trace
    #[arg(long, env = "RMC_OPERATOR_LOG_LEVEL", value_name = "LEVEL", default_value = "info", value_enum)]
    pub log_level: sidecar::config::LogLevel,
}
