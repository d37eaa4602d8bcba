//! The modules that decide do no I/O, read no clock and roll no dice: everything of the kind is an argument. That is
//! what lets the simulation replay a history from its seed.
//!
//! This test reads the source. A new file must be put in one of the two lists.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::path::{Path, PathBuf};
use syn::visit::Visit;

/// Files and directories of src that must be pure.
const PURE: &[&str] = &[
    "auth/gate.rs",
    "auth/users.rs",
    "clock.rs",
    "dataplane.rs",
    "dataplane",
    "backend/facts.rs",
    "control/protocol.rs",
    "guess.rs",
    "hash.rs",
    "peer/choose.rs",
    "peer/identity.rs",
    "protocol",
    "protocol.rs",
    "replication.rs",
    "replication",
    "rules.rs",
    "shared.rs",
    "standstill.rs",
    "state.rs",
    "state/header.rs",
    "state/table.rs",
    "stats.rs",
    "stats",
];

/// The shell around them.
const SHELL: &[&str] = &[
    "admin.rs",
    "admin",
    "auth.rs",
    "auth/file.rs",
    "backend.rs",
    "backend/connect.rs",
    "backend/scan.rs",
    "config.rs",
    "config",
    "control.rs",
    "control/server.rs",
    "control/server",
    "lib.rs",
    "life.rs",
    "life",
    "limits.rs",
    "logging.rs",
    "main.rs",
    "metrics.rs",
    "metrics",
    "net.rs",
    "net",
    "peer.rs",
    "peer/accept.rs",
    "peer/alarm.rs",
    "peer/backend.rs",
    "peer/dial.rs",
    "peer/driver.rs",
    "peer/link.rs",
    "peer/publish.rs",
    "peer/transport.rs",
    "random.rs",
    "reload.rs",
    "serve.rs",
    "serve",
    "signal.rs",
    "state/map.rs",
    "state/map",
    "time.rs",
    "tls.rs",
    "tls",
];

/// What a pure module must not name, and why.
const FORBIDDEN: &[(&str, &str)] = &[
    ("tokio", "does I/O"),
    ("tokio_rustls", "does I/O"),
    ("hyper", "does I/O"),
    ("rustix", "calls the system"),
    ("libc", "calls the system"),
    ("socket2", "does I/O"),
    ("memmap2", "does I/O"),
    ("rand", "rolls dice"),
    ("getrandom", "rolls dice"),
    ("fastrand", "rolls dice"),
    ("std::env", "reads the environment"),
    ("std::fs", "does I/O"),
    ("std::net", "does I/O"),
    ("std::os", "does I/O"),
    ("std::process", "calls the system"),
    ("std::thread", "waits for other threads"),
    ("std::time::Instant", "reads a clock"),
    ("std::time::SystemTime", "reads a clock"),
    ("std::collections::HashMap", "iterates in random order"),
    ("std::collections::HashSet", "iterates in random order"),
    ("std::hash::RandomState", "is random"),
    ("foldhash::fast::RandomState", "is random"),
    ("foldhash::quality::RandomState", "is random"),
];

#[test]
fn pure_modules_are_pure() {
    let mut faults = Vec::new();
    for file in sources() {
        let name = relative(&file);
        if !listed(&name, PURE) || name.ends_with("/tests.rs") {
            continue;
        }
        let source = std::fs::read_to_string(&file).unwrap();
        faults.extend(impurities(&source).into_iter().map(|fault| format!("{name}: {fault}")));
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_file_is_in_one_list() {
    for file in sources() {
        let name = relative(&file);
        match (listed(&name, PURE), listed(&name, SHELL)) {
            (true, false) | (false, true) => {}
            (false, false) => panic!("{name}: add it to PURE or SHELL in tests/purity.rs"),
            (true, true) => panic!("{name} is in both lists"),
        }
    }
    for entry in PURE.iter().chain(SHELL) {
        assert!(src().join(entry).exists(), "{entry} is listed, but is not there");
    }
}

#[test]
fn the_test_finds_what_it_looks_for() {
    for source in [
        "use std::time::Instant;",
        "use std::{fmt, fs::File};",
        "use std::time::{Duration, SystemTime as Now};",
        "use ::tokio::io as quiet;",
        "use std::collections::*;",
        "fn f() { let _ = std::env::var(\"X\"); }",
        "fn f() -> std::net::IpAddr { todo!() }",
        "mod m { fn f() { std::thread::yield_now(); } }",
        "fn f() { println!(\"{:?}\", std::time::Instant::now()); }",
        "use std::time; fn f() { time::Instant::now(); }",
        "#[cfg(not(test))] use std::fs;",
    ] {
        assert!(!impurities(source).is_empty(), "{source}");
    }
    for source in [
        "use std::time::Duration; // not Instant",
        "/// Like std::fs.\nconst TEXT: &str = \"std::fs\";",
        "#[cfg(test)] mod tests { use std::thread; }",
        "use std::collections::BTreeMap; fn rand() {}",
    ] {
        assert_eq!(impurities(source), [""; 0], "{source}");
    }
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
    assert!(found.len() > 10);
    found.sort();
    found
}

fn relative(file: &Path) -> String {
    file.strip_prefix(src()).unwrap().to_str().unwrap().to_owned()
}

fn listed(name: &str, list: &[&str]) -> bool {
    list.iter().any(|entry| name == *entry || name.starts_with(&format!("{entry}/")))
}

/// Every forbidden path that `source` names outside of its tests.
fn impurities(source: &str) -> Vec<String> {
    let mut paths = Paths::default();
    paths.visit_file(&syn::parse_file(source).expect("the source parses"));
    let mut faults = Vec::new();
    for path in &paths.0 {
        for (forbidden, why) in FORBIDDEN {
            let below = |parent: &str| path == parent || path.starts_with(&format!("{parent}::"));
            // `time::Instant` behind `use std::time`
            let short = forbidden.split_once("::").map(|(_, rest)| rest).filter(|rest| rest.contains("::"));
            // `std::collections::*` may bring it in
            let glob = path.strip_suffix("::*").is_some_and(|parent| forbidden.starts_with(&format!("{parent}::")));
            if below(forbidden) || short.is_some_and(below) || glob {
                faults.push(format!("{path} {why}"));
            }
        }
    }
    faults
}

/// All paths of a file; imports are spelled out.
#[derive(Default)]
struct Paths(Vec<String>);

impl Paths {
    fn import(&mut self, before: &str, tree: &syn::UseTree) {
        let join = |name: &str| if before.is_empty() { name.to_owned() } else { format!("{before}::{name}") };
        match tree {
            syn::UseTree::Path(path) => self.import(&join(&path.ident.to_string()), &path.tree),
            syn::UseTree::Name(name) => self.0.push(join(&name.ident.to_string())),
            syn::UseTree::Rename(name) => self.0.push(join(&name.ident.to_string())),
            syn::UseTree::Glob(_) => self.0.push(join("*")),
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.import(before, item)),
        }
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = match item {
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            _ => return syn::visit::visit_item(self, item),
        };
        let test_only = attributes.iter().any(|attribute| {
            attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Path>().is_ok_and(|what| what.is_ident("test"))
        });
        if !test_only {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.import("", &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        // a name alone is a variable, or an import that was seen already
        if segments.len() > 1 {
            self.0.push(segments.join("::"));
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        // what a macro gets is not parsed; its words are put together again as far as they are paths
        let text = call.tokens.to_string().replace(" :: ", "::");
        let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        let words = text.split(|c| !is_path(c)).filter(|word| word.contains("::"));
        self.0.extend(words.map(|word| word.trim_start_matches(':').to_owned()));
        syn::visit::visit_macro(self, call);
    }
}
