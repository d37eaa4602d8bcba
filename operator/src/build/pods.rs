//! The StatefulSet: memcached behind a socket in memory, and the sidecar in front of it.

use serde_json::{Map, Value, json};

use super::{Child, Input, Kind, access, child};
use crate::api::v1alpha1::{Amounts, AntiAffinity, Resources, SidecarLogLevel, TlsMode, TolerationOperator};
use crate::names::{ADMIN_PORT, CLIENT_PORT, CONTROL_PORT, REPLICATION_PORT};
use crate::quantity;

/// Both containers are this user and group, that of memcached's own image.
const USER: i64 = 11211;
/// Where memcached's socket and the state file are.
const RUN: &str = "/run/replicated-memcached";
/// Where the certificates are.
const CERTIFICATES: &str = "/etc/replicated-memcached/tls";
/// Seconds from the wish to end until the end: drain, requests under way, what the peer lacks.
const GRACE_SECONDS: i64 = 60;
/// memcached answers so many requests of a connection before it looks at the others. All clients come by the few connections
/// of the sidecar, so its default of 20 would only make small writes and wake-ups of what could be one.
const REQUESTS_PER_EVENT: u32 = 200;
/// Seconds on a node that does not answer.
const UNREACHABLE_SECONDS: i64 = 30;

pub(super) fn stateful_set(input: &Input<'_>) -> Child {
    let names = input.names();
    let mut labels = input.spec.pod.labels.clone();
    labels.extend(names.labels());
    let mut metadata = json!({"labels": labels});
    if !input.spec.pod.annotations.is_empty() {
        metadata["annotations"] = json!(input.spec.pod.annotations);
    }
    let spec = json!({
        "replicas": 2,
        "serviceName": names.peers(),
        "podManagementPolicy": "Parallel",
        // Which pod is replaced when is decided by the operator.
        "updateStrategy": {"type": "OnDelete"},
        "revisionHistoryLimit": 3,
        "selector": {"matchLabels": names.selector()},
        "template": {"metadata": metadata, "spec": pod(input)},
    });
    child(input, Kind::StatefulSet, input.name.to_owned(), json!({"spec": spec}))
}

fn pod(input: &Input<'_>) -> Value {
    let scheduling = &input.spec.scheduling;
    let secret = match (input.spec.replication.tls.mode, &input.spec.replication.tls.secret_ref) {
        (TlsMode::Secret, Some(name)) => name.clone(),
        _ => input.names().tls_secret(),
    };
    let items: Vec<Value> =
        ["ca.crt", "tls.crt", "tls.key"].iter().map(|name| json!({"key": name, "path": name})).collect();
    let mut volumes = vec![
        json!({"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": quantity::text(input.sizes.volume)}}),
        json!({"name": "tls", "secret": {"secretName": secret, "items": items, "defaultMode": 0o440}}),
    ];
    volumes.extend(access::volumes(input));
    let mut pod = json!({
        "serviceAccountName": input.name,
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "affinity": {"podAntiAffinity": anti_affinity(input)},
        "tolerations": tolerations(input),
        "initContainers": [memcached(input)],
        "containers": [sidecar(input)],
        "volumes": volumes,
    });
    if !scheduling.node_selector.is_empty() {
        pod["nodeSelector"] = json!(scheduling.node_selector);
    }
    for (field, value) in
        [("priorityClassName", &scheduling.priority_class_name), ("schedulerName", &scheduling.scheduler_name)]
    {
        if let Some(value) = value {
            pod[field] = json!(value);
        }
    }
    if !input.spec.image.pull_secrets.is_empty() {
        let secrets: Vec<Value> = input.spec.image.pull_secrets.iter().map(|name| json!({"name": name})).collect();
        pod["imagePullSecrets"] = json!(secrets);
    }
    pod
}

/// The other replica is kept away.
fn anti_affinity(input: &Input<'_>) -> Value {
    let term = |key: &str| json!({"topologyKey": key, "labelSelector": {"matchLabels": input.names().selector()}});
    let (zone, node) = (term("topology.kubernetes.io/zone"), term("kubernetes.io/hostname"));
    let preferred = |term: &Value, weight: i32| json!({"weight": weight, "podAffinityTerm": term});
    let (required, wished) = match input.spec.scheduling.anti_affinity {
        AntiAffinity::Zone => (vec![node, zone], Vec::new()),
        AntiAffinity::Node => (vec![node], vec![preferred(&zone, 100)]),
        AntiAffinity::Preferred => (Vec::new(), vec![preferred(&node, 100), preferred(&zone, 50)]),
    };
    let mut rules = Map::new();
    if !required.is_empty() {
        rules.insert("requiredDuringSchedulingIgnoredDuringExecution".to_owned(), json!(required));
    }
    if !wished.is_empty() {
        rules.insert("preferredDuringSchedulingIgnoredDuringExecution".to_owned(), json!(wished));
    }
    Value::Object(rules)
}

fn tolerations(input: &Input<'_>) -> Vec<Value> {
    let gone = |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": UNREACHABLE_SECONDS});
    let mut all = vec![gone("node.kubernetes.io/not-ready"), gone("node.kubernetes.io/unreachable")];
    for toleration in &input.spec.scheduling.tolerations {
        let mut entry = json!({"operator": match toleration.operator {
            TolerationOperator::Exists => "Exists",
            TolerationOperator::Equal => "Equal",
        }});
        for (field, value) in [("key", &toleration.key), ("value", &toleration.value), ("effect", &toleration.effect)] {
            if let Some(value) = value {
                entry[field] = json!(value);
            }
        }
        if let Some(seconds) = toleration.toleration_seconds {
            entry["tolerationSeconds"] = json!(seconds);
        }
        all.push(entry);
    }
    all
}

/// A native sidecar: it starts before what is in front of it, and ends after it.
fn memcached(input: &Input<'_>) -> Value {
    let (wanted, sizes) = (&input.spec.memcached, input.sizes);
    let mut args = vec![
        format!("--unix-socket={RUN}/memcached.sock"),
        "--unix-mask=0700".to_owned(),
        format!("--memory-limit={}", sizes.cache >> 20),
        format!("--threads={}", wanted.threads),
        format!("--conn-limit={}", sizes.upstream_connections),
        format!("--max-item-size={}", sizes.max_item),
        format!("--max-reqs-per-event={REQUESTS_PER_EVENT}"),
    ];
    args.extend(wanted.extra_args.iter().cloned());
    json!({
        "name": "memcached",
        "image": wanted.image,
        "imagePullPolicy": "IfNotPresent",
        "restartPolicy": "Always",
        // Not the image's entry point: ours has no shell to run one.
        "command": ["memcached"],
        "args": args,
        "resources": resources(&wanted.resources, sizes.memcached_memory, sizes.memcached_memory),
        "securityContext": security(),
        "volumeMounts": [{"name": "run", "mountPath": RUN}],
    })
}

fn sidecar(input: &Input<'_>) -> Value {
    let (wanted, sizes) = (&input.spec.sidecar, input.sizes);
    let probe = |path: &str, period: i32, failures: i32| {
        json!({
            "httpGet": {"path": path, "port": "http-admin", "scheme": "HTTP"},
            "periodSeconds": period,
            "timeoutSeconds": 5,
            "failureThreshold": failures,
        })
    };
    let mut readiness = probe("/readyz", 1, 1);
    readiness["timeoutSeconds"] = json!(2);
    let port = |name: &str, port: u16| json!({"name": name, "containerPort": port, "protocol": "TCP"});
    let mut mounts = vec![
        json!({"name": "run", "mountPath": RUN}),
        json!({"name": "tls", "mountPath": CERTIFICATES, "readOnly": true}),
    ];
    mounts.extend(access::volume_mounts(input));
    json!({
        "name": "sidecar",
        "image": input.sidecar_image(),
        "imagePullPolicy": "IfNotPresent",
        "env": environment(input),
        "ports": [
            port("tcp-memcached", CLIENT_PORT),
            port("tcp-replication", REPLICATION_PORT),
            port("tcp-control", CONTROL_PORT),
            port("http-admin", ADMIN_PORT),
        ],
        "livenessProbe": probe("/livez", 10, 6),
        "readinessProbe": readiness,
        "resources": resources(&wanted.resources, sizes.sidecar_memory_request, sizes.sidecar_memory),
        "securityContext": security(),
        "volumeMounts": mounts,
    })
}

/// The sidecar's flags.
fn environment(input: &Input<'_>) -> Vec<Value> {
    let sizes = input.sizes;
    let level = match input.spec.sidecar.log_level {
        SidecarLogLevel::Error => "error",
        SidecarLogLevel::Warn => "warn",
        SidecarLogLevel::Info => "info",
        SidecarLogLevel::Debug => "debug",
        SidecarLogLevel::Trace => "trace",
    };
    let peer = format!("{}.{}.svc:{REPLICATION_PORT}", input.names().peers(), input.namespace);
    let mut flags = vec![
        // IPv6 is left out where the node has none.
        ("RMC_LISTEN", format!("0.0.0.0:{CLIENT_PORT},[::]:{CLIENT_PORT}")),
        ("RMC_MEMCACHED", format!("unix:{RUN}/memcached.sock")),
        ("RMC_REPLICATION_LISTEN", format!("[::]:{REPLICATION_PORT}")),
        ("RMC_CONTROL_LISTEN", format!("[::]:{CONTROL_PORT}")),
        ("RMC_ADMIN_LISTEN", format!("[::]:{ADMIN_PORT}")),
        ("RMC_PEER", peer),
        ("RMC_PAIR_ID", input.uid.to_owned()),
        ("RMC_STATE_DIR", RUN.to_owned()),
        ("RMC_STATE_ENTRIES", sizes.state_entries.to_string()),
        ("RMC_TLS_DIR", CERTIFICATES.to_owned()),
        ("RMC_THREADS", input.spec.sidecar.threads.to_string()),
        ("RMC_MAX_CONNECTIONS", input.spec.memcached.max_connections.to_string()),
        ("RMC_BACKLOG", sizes.backlog.to_string()),
        ("RMC_WARMUP_DEADLINE", sizes.warmup_seconds.to_string()),
        ("RMC_LOG_FORMAT", "json".to_owned()),
        ("RMC_LOG_LEVEL", level.to_owned()),
    ];
    if input.spec.sidecar.busy_poll_microseconds > 0 {
        flags.push(("RMC_BUSY_POLL", input.spec.sidecar.busy_poll_microseconds.to_string()));
    }
    if let Some(rate) = sizes.resync_rate {
        flags.push(("RMC_RESYNC_RATE", rate.to_string()));
    }
    flags.extend(access::flags(input));
    let mut environment = vec![json!({
        "name": "RMC_REPLICA_ID",
        "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.labels['apps.kubernetes.io/pod-index']"}},
    })];
    environment.extend(flags.into_iter().map(|(name, value)| json!({"name": name, "value": value})));
    environment
}

fn security() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
    })
}

/// What the user says, and for memory what follows from the sizes. A limit below the request takes the request with it.
fn resources(wanted: &Resources, request: u64, limit: u64) -> Value {
    let limit = wanted.limits.memory.clone().unwrap_or_else(|| match &wanted.requests.memory {
        Some(asked) => quantity::text(quantity::bytes(asked).unwrap_or(0).max(limit)),
        None => quantity::text(limit),
    });
    let request = wanted.requests.memory.clone().unwrap_or_else(|| {
        let bound = quantity::bytes(&limit).unwrap_or(request);
        quantity::text(request.min(bound))
    });
    let amounts = |given: &Amounts, memory: String, cpu: Option<&str>| {
        let mut amounts = json!({"memory": memory});
        if let Some(cpu) = given.cpu.as_deref().or(cpu) {
            amounts["cpu"] = json!(cpu);
        }
        amounts
    };
    json!({
        "requests": amounts(&wanted.requests, request, Some("100m")),
        "limits": amounts(&wanted.limits, limit, None),
    })
}
