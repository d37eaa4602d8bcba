use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;
use crate::api::v1alpha1::{AntiAffinity, ClientCertificates, Peer, Toleration};

fn platform() -> Platform {
    Platform {
        sidecar_image: "replicated-memcached/sidecar:1.2.3".to_owned(),
        registry: None,
        operator_namespace: Some("operators".to_owned()),
    }
}

fn build(spec: &ReplicatedMemcachedSpec, platform: &Platform) -> Children {
    let sizes = Sizes::new(spec).unwrap();
    children(&Input {
        name: "web",
        namespace: "shop",
        uid: "6f1c1f3e-0b1a-4c58-9d57-3f5c3a0b7a11",
        generation: 7,
        update: None,
        spec,
        sizes: &sizes,
        platform,
        max_unavailable: 1,
    })
}

/// Everything that a user can switch on.
fn everything() -> ReplicatedMemcachedSpec {
    let mut spec = ReplicatedMemcachedSpec::default();
    spec.monitoring.pod_monitor.enabled = true;
    spec.monitoring.rules.enabled = true;
    spec.warmup.rate_limit = Some("50Mi".to_owned());
    spec.scheduling.node_selector.insert("disk".to_owned(), "ssd".to_owned());
    spec.scheduling.priority_class_name = Some("high".to_owned());
    spec.scheduling.tolerations.push(Toleration { key: Some("cache".to_owned()), ..Default::default() });
    spec.service.annotations.insert("a".to_owned(), "b".to_owned());
    spec.image.pull_secrets.push("registry".to_owned());
    spec.pod.labels.insert("team".to_owned(), "web".to_owned());
    spec.pod.annotations.insert("c".to_owned(), "d".to_owned());
    spec.network_policy.from.push(Peer { cidr: Some("10.0.0.0/8".to_owned()), ..Default::default() });
    spec.memcached.extra_args.push("-v".to_owned());
    spec.auth.secret_ref = Some("web-users".to_owned());
    spec.client_tls.secret_ref = Some("web-clients".to_owned());
    spec.client_tls.client_certificates = ClientCertificates::Required;
    spec
}

fn of(children: &Children, kind: Kind, name: &str) -> Value {
    let all = children.wanted.iter().chain([&children.stateful_set]);
    all.into_iter().find(|child| child.kind == kind && child.name == name).unwrap().object.clone()
}

/// A field that Kubernetes does not know is gone after reading.
fn survives<T: Serialize + DeserializeOwned>(object: &Value) {
    let read: T = serde_json::from_value(object.clone()).unwrap();
    assert_eq!(&serde_json::to_value(read).unwrap(), object);
}

#[test]
fn every_field_is_one_of_kubernetes() {
    for spec in [ReplicatedMemcachedSpec::default(), everything()] {
        let children = build(&spec, &platform());
        for child in children.wanted.iter().chain([&children.stateful_set]) {
            match child.kind {
                Kind::ServiceAccount => survives::<ServiceAccount>(&child.object),
                Kind::Secret => survives::<Secret>(&child.object),
                Kind::Service => survives::<Service>(&child.object),
                Kind::NetworkPolicy => survives::<NetworkPolicy>(&child.object),
                Kind::PodDisruptionBudget => survives::<PodDisruptionBudget>(&child.object),
                Kind::StatefulSet => survives::<StatefulSet>(&child.object),
                // They have no types here; the API server of the tests checks them.
                Kind::PodMonitor | Kind::PrometheusRule => {}
            }
        }
    }
}

#[test]
fn every_child_is_named_labelled_and_owned() {
    let children = build(&everything(), &platform());
    let mut names: Vec<_> = children.wanted.iter().map(|child| (child.kind, child.name.as_str())).collect();
    names.sort();
    assert_eq!(
        names,
        [
            (Kind::ServiceAccount, "web"),
            (Kind::Service, "web"),
            (Kind::Service, "web-0"),
            (Kind::Service, "web-1"),
            (Kind::Service, "web-peers"),
            (Kind::NetworkPolicy, "web"),
            (Kind::PodDisruptionBudget, "web"),
            (Kind::PodMonitor, "web"),
            (Kind::PrometheusRule, "web"),
        ]
    );
    for child in children.wanted.iter().chain([&children.stateful_set]) {
        let metadata = &child.object["metadata"];
        assert_eq!(metadata["namespace"], "shop");
        assert_eq!(metadata["labels"]["app.kubernetes.io/instance"], "web");
        assert_eq!(metadata["labels"]["app.kubernetes.io/managed-by"], crate::names::MANAGED_BY);
        assert_eq!(metadata["ownerReferences"][0]["uid"], "6f1c1f3e-0b1a-4c58-9d57-3f5c3a0b7a11");
        assert_eq!(metadata["ownerReferences"][0]["controller"], true);
        assert!(metadata["annotations"][APPLIED].is_string());
    }
}

#[test]
fn memcached_is_reached_through_the_sidecar_alone_and_outlives_it() {
    let set = build(&ReplicatedMemcachedSpec::default(), &platform()).stateful_set.object;
    let pod = &set["spec"]["template"]["spec"];
    let memcached = &pod["initContainers"][0];
    assert_eq!((&memcached["name"], &memcached["restartPolicy"]), (&json!("memcached"), &json!("Always")));
    assert!(memcached.get("ports").is_none());
    let args: Vec<_> = memcached["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
    assert!(args.contains(&"--unix-socket=/run/replicated-memcached/memcached.sock"), "{args:?}");
    assert!(args.contains(&"--memory-limit=1024") && args.contains(&"--max-item-size=1048576"), "{args:?}");
    assert!(args.contains(&"--max-reqs-per-event=200"), "one connection is not held up after 20 requests: {args:?}");
    assert_eq!(pod["containers"].as_array().unwrap().len(), 1);
    assert_eq!(pod["volumes"][0]["emptyDir"]["medium"], "Memory");
    assert_eq!(set["spec"]["updateStrategy"]["type"], "OnDelete");
    assert_eq!(set["spec"]["podManagementPolicy"], "Parallel");
}

#[test]
fn the_pods_pass_restricted_pod_security() {
    let set = build(&everything(), &platform()).stateful_set.object;
    let pod = &set["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(pod["automountServiceAccountToken"], false);
    for container in [&pod["initContainers"][0], &pod["containers"][0]] {
        let security = &container["securityContext"];
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert_eq!(security["readOnlyRootFilesystem"], true);
        assert_eq!(security["capabilities"]["drop"], json!(["ALL"]));
    }
}

#[test]
fn the_sidecar_takes_its_environment() {
    let mut spec = everything();
    for change in
        [|_: &mut ReplicatedMemcachedSpec| {}, |spec: &mut ReplicatedMemcachedSpec| spec.memory = "300Gi".to_owned()]
    {
        change(&mut spec);
        let set = build(&spec, &platform()).stateful_set.object;
        let environment = set["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap().clone();
        let config = sidecar::config::Config::read([], |name| {
            let entry = environment.iter().find(|entry| entry["name"] == name)?;
            Some(entry["value"].as_str().unwrap_or("1").into())
        });
        let config = config.unwrap();
        assert_eq!(config.pair_id, "6f1c1f3e-0b1a-4c58-9d57-3f5c3a0b7a11");
        assert_eq!(config.peer.unwrap().to_string(), "web-peers.shop.svc:11212");
        assert_eq!(config.resync_rate, Some(50 << 20));
        assert_eq!(config.backlog, 64 << 20);
        // What the sidecar does not know would be a flag that nobody reads.
        let known = sidecar::config::markdown();
        for entry in &environment {
            let name = entry["name"].as_str().unwrap();
            assert!(known.contains(&format!("`{name}`")), "{name}");
        }
    }
}

#[test]
fn replicas_are_kept_apart_as_asked() {
    for (preset, required, wished) in
        [(AntiAffinity::Zone, 2, 0), (AntiAffinity::Node, 1, 1), (AntiAffinity::Preferred, 0, 2)]
    {
        let mut spec = ReplicatedMemcachedSpec::default();
        spec.scheduling.anti_affinity = preset;
        let set = build(&spec, &platform()).stateful_set.object;
        let rules = &set["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"];
        let count = |name: &str| rules[name].as_array().map_or(0, Vec::len);
        assert_eq!(count("requiredDuringSchedulingIgnoredDuringExecution"), required);
        assert_eq!(count("preferredDuringSchedulingIgnoredDuringExecution"), wished);
    }
}

#[test]
fn only_the_pair_the_operator_and_whom_the_user_names_may_connect() {
    let children = build(&everything(), &platform());
    let rules = of(&children, Kind::NetworkPolicy, "web")["spec"]["ingress"].clone();
    let from = |port: u16| {
        let rule = rules.as_array().unwrap().iter().find(|rule| rule["ports"][0]["port"] == port).unwrap();
        rule.get("from").cloned()
    };
    assert_eq!(from(11211).unwrap()[0]["ipBlock"]["cidr"], "10.0.0.0/8");
    assert_eq!(from(11212).unwrap()[0]["podSelector"]["matchLabels"]["app.kubernetes.io/instance"], "web");
    assert_eq!(from(11213).unwrap()[0]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"], "operators");
    assert_eq!(from(8080), None);
}

#[test]
fn what_is_switched_off_is_removed() {
    let mut spec = ReplicatedMemcachedSpec::default();
    spec.network_policy.enabled = false;
    let unwanted: Vec<_> = build(&spec, &platform()).unwanted.into_iter().map(|orphan| orphan.kind).collect();
    assert_eq!(unwanted, [Kind::NetworkPolicy, Kind::PodMonitor, Kind::PrometheusRule]);
    assert!(build(&everything(), &platform()).unwanted.is_empty());
}

#[test]
fn images_come_from_the_registry_that_was_named_last() {
    let image = |spec: &ReplicatedMemcachedSpec, platform: &Platform| {
        build(spec, platform).stateful_set.object["spec"]["template"]["spec"]["containers"][0]["image"].clone()
    };
    let mut spec = ReplicatedMemcachedSpec::default();
    let mut platform = platform();
    assert_eq!(image(&spec, &platform), "replicated-memcached/sidecar:1.2.3");
    platform.registry = Some("mirror.example.org/".to_owned());
    assert_eq!(image(&spec, &platform), "mirror.example.org/replicated-memcached/sidecar:1.2.3");
    spec.image.registry = Some("other.example.org/x".to_owned());
    assert_eq!(image(&spec, &platform), "other.example.org/x/replicated-memcached/sidecar:1.2.3");
    spec.sidecar.image = Some("mine:1".to_owned());
    assert_eq!(image(&spec, &platform), "mine:1");
}

#[test]
fn resources_of_the_user_win_and_fit_together() {
    let memory = |requests: Option<&str>, limits: Option<&str>| {
        let mut spec = ReplicatedMemcachedSpec::default();
        spec.memcached.resources.requests.memory = requests.map(str::to_owned);
        spec.memcached.resources.limits.memory = limits.map(str::to_owned);
        let set = build(&spec, &platform()).stateful_set.object;
        let resources = &set["spec"]["template"]["spec"]["initContainers"][0]["resources"];
        let bytes = |of: &str| quantity_of(&resources[of]["memory"]);
        (bytes("requests"), bytes("limits"))
    };
    let own = memory(None, None).1;
    assert!(own > 1 << 30);
    assert_eq!(memory(Some("1Gi"), None), (1 << 30, own));
    assert_eq!(memory(Some("64Gi"), None), (64 << 30, 64 << 30));
    assert_eq!(memory(None, Some("1Gi")), (1 << 30, 1 << 30));
}

fn quantity_of(value: &Value) -> u64 {
    crate::quantity::bytes(value.as_str().unwrap()).unwrap()
}

#[test]
fn a_template_is_the_same_until_something_of_it_changes() {
    let hash = |spec: &ReplicatedMemcachedSpec| {
        build(spec, &platform()).stateful_set.object["metadata"]["annotations"][TEMPLATE].clone()
    };
    let mut spec = ReplicatedMemcachedSpec::default();
    let before = hash(&spec);
    spec.service.annotations.insert("a".to_owned(), "b".to_owned());
    assert_eq!(hash(&spec), before);
    spec.memory = "2Gi".to_owned();
    assert_ne!(hash(&spec), before);
}

/// Absent where it is not asked for, so that a release that brings it changes no template.
#[test]
fn busy_polling_is_passed_on_where_it_is_asked_for() {
    let variable = |microseconds| {
        let mut spec = ReplicatedMemcachedSpec::default();
        spec.sidecar.busy_poll_microseconds = microseconds;
        let set = build(&spec, &platform()).stateful_set.object;
        let environment = set["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap().clone();
        environment.into_iter().find(|entry| entry["name"] == "RMC_BUSY_POLL").map(|entry| entry["value"].clone())
    };
    assert_eq!(variable(0), None);
    assert_eq!(variable(50), Some("50".into()));
}

#[test]
fn secrets_of_clients_are_whole_directories_and_flags() {
    let mut spec = ReplicatedMemcachedSpec::default();
    let pod = |spec: &ReplicatedMemcachedSpec| {
        of(&build(spec, &platform()), Kind::StatefulSet, "web")["spec"]["template"]["spec"].clone()
    };
    let flag = |pod: &Value, name: &str| {
        let flags = pod["containers"][0]["env"].as_array().unwrap().clone();
        flags.into_iter().find(|flag| flag["name"] == name).map(|flag| flag["value"].as_str().unwrap().to_owned())
    };
    let plain = pod(&spec);
    assert_eq!(plain["volumes"].as_array().unwrap().len(), 2);
    assert_eq!((flag(&plain, "RMC_AUTH_FILE"), flag(&plain, "RMC_CLIENT_TLS_DIR")), (None, None));

    spec.auth.secret_ref = Some("web-users".to_owned());
    spec.client_tls.secret_ref = Some("web-clients".to_owned());
    for (certificates, verify, keys) in [
        (ClientCertificates::Ignored, "off", 2),
        (ClientCertificates::Optional, "request", 3),
        (ClientCertificates::Required, "require", 3),
    ] {
        spec.client_tls.client_certificates = certificates;
        let pod = pod(&spec);
        let (users, clients) = (&pod["volumes"][2], &pod["volumes"][3]);
        assert_eq!(
            (&users["secret"]["secretName"], &users["secret"]["items"][0]["key"]),
            (&json!("web-users"), &json!("users"))
        );
        assert_eq!(
            (&clients["secret"]["secretName"], clients["secret"]["items"].as_array().unwrap().len()),
            (&json!("web-clients"), keys)
        );
        for (at, name) in [(2, "auth"), (3, "client-tls")] {
            let mount = &pod["containers"][0]["volumeMounts"][at];
            assert_eq!(
                (&mount["name"], &mount["readOnly"], &mount["subPath"]),
                (&json!(name), &json!(true), &Value::Null)
            );
        }
        assert_eq!(flag(&pod, "RMC_AUTH_FILE").unwrap(), "/etc/replicated-memcached/auth/users");
        assert_eq!(flag(&pod, "RMC_CLIENT_TLS_DIR").unwrap(), "/etc/replicated-memcached/client-tls");
        assert_eq!(flag(&pod, "RMC_CLIENT_TLS_VERIFY").unwrap(), verify);
    }
    // it may take more memory
    let limit =
        |pod: &Value| crate::quantity::bytes(pod["containers"][0]["resources"]["limits"]["memory"].as_str().unwrap());
    assert!(limit(&pod(&spec)).unwrap() > limit(&plain).unwrap());
}
