//! The modules that decide ask nobody: no API server, no sidecar, no clock, no dice. A new file must be put in one of the lists.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::path::PathBuf;

/// Files and directories of src that must be pure.
const PURE: &[&str] = &[
    "access.rs",
    "api.rs",
    "api",
    "build.rs",
    "build",
    "discovery.rs",
    "fencing.rs",
    "live.rs",
    "lost.rs",
    "names.rs",
    "pods.rs",
    "quantity.rs",
    "reference.rs",
    "rolling.rs",
    "sizes.rs",
    "status.rs",
    "synced.rs",
    "tls.rs",
    "update.rs",
    "wiring.rs",
];

/// The shell around them. `tls` makes keys.
const SHELL: &[&str] = &[
    "check.rs",
    "controller.rs",
    "controller",
    "leader.rs",
    "lib.rs",
    "main.rs",
    "metrics.rs",
    "run.rs",
    "server.rs",
    "settings.rs",
    "sidecars.rs",
    "tls",
];

/// What a pure module must not name.
const FORBIDDEN: &[&str] = &[
    "tokio",
    "hyper",
    "kube::Client",
    "kube::Api",
    "std::env",
    "std::fs",
    "std::thread",
    "std::time",
    "Timestamp::now",
    "KeyPair::generate",
    "SystemRandom",
    "HashMap",
];

#[test]
fn pure_modules_are_pure_and_every_file_is_in_one_list() {
    let mut faults = Vec::new();
    for file in sources() {
        let name = file.strip_prefix(src()).unwrap().to_str().unwrap().to_owned();
        let listed = |list: &[&str]| list.iter().any(|entry| name == *entry || name.starts_with(&format!("{entry}/")));
        match (listed(PURE), listed(SHELL)) {
            (true, false) => {
                let source = std::fs::read_to_string(&file).unwrap();
                faults.extend(impurities(&source).into_iter().map(|word| format!("{name} names {word}")));
            }
            (false, true) => {}
            _ => faults.push(format!("{name} must be in one list")),
        }
    }
    for entry in PURE.iter().chain(SHELL) {
        assert!(src().join(entry).exists(), "{entry} is listed, but is not there");
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_test_finds_what_it_looks_for() {
    assert_eq!(impurities("let now = Timestamp::now();"), ["Timestamp::now"]);
    assert_eq!(impurities("// like tokio\n#[cfg(test)]\nmod tests { use std::fs; }"), [""; 0]);
}

/// Forbidden words outside of comments and tests, which come last in a file.
fn impurities(source: &str) -> Vec<&'static str> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let lines: Vec<_> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = lines.join("\n");
    FORBIDDEN.iter().copied().filter(|word| code.contains(word)).collect()
}

fn src() -> PathBuf {
    // cargo runs tests in the directory of the package
    PathBuf::from("src")
}

fn sources() -> Vec<PathBuf> {
    let (mut found, mut directories) = (Vec::new(), vec![src()]);
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => directories.push(path),
                false if path.extension().is_some_and(|e| e == "rs") => found.push(path),
                false => {}
            }
        }
    }
    assert!(found.len() > 20);
    found
}
