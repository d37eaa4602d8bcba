//! Where things are kept: caches, logs and reports.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// `${XDG_CACHE_HOME:-~/.cache}/replicated-memcached`; not created here.
pub fn cache_dir() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
        Some(base) => PathBuf::from(base),
        None => PathBuf::from(env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?).join(".cache"),
    };
    Ok(base.join("replicated-memcached"))
}

/// The checkout that cargo runs, else the current directory. The place of compilation does not matter: checkouts may share
/// what they compile.
pub fn checkout() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    package.as_deref().and_then(Path::parent).unwrap_or(Path::new("")).to_owned()
}

/// `target/` of the [`checkout`], for logs and reports (compiled files may go elsewhere).
pub fn target_dir() -> PathBuf {
    checkout().join("target")
}

/// An empty directory `target/e2e/<name>` for the logs of one test.
pub fn fresh_log_dir(name: &str) -> Result<PathBuf> {
    let dir = target_dir().join("e2e").join(name);
    if dir.exists() {
        std::fs::remove_dir_all(&dir).with_context(|| format!("cannot empty {}", dir.display()))?;
    }
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    Ok(dir)
}
