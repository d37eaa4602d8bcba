//! What happens when we die: a small shell, told of each child and each temporary directory over a pipe, kills and
//! removes what is left when the pipe closes. That covers SIGKILL, Ctrl-C and a panic in any thread.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::{Context, Result};
use rustix::process::Pid;

/// A child is reaped by us only after it was forgotten here, so a listed process id is never somebody else's.
/// Directories come one a line and hold no white space: `TempDir` sees to it.
const SCRIPT: &str = "trap '' HUP INT TERM
children= directories=
without() { rest=; for item in $1; do [ \"$item\" = \"$2\" ] || rest=\"$rest $item\"; done; }
while read -r operation item; do
    case $operation in
    watch) children=\"$children $item\" ;;
    forget) without \"$children\" \"$item\"; children=$rest ;;
    made) directories=\"$directories $item\" ;;
    removed) without \"$directories\" \"$item\"; directories=$rest ;;
    esac
done
[ -z \"$children\" ] || kill -9 $children
[ -z \"$directories\" ] || rm -rf $directories";

fn tell(operation: &str, item: &str) -> Result<()> {
    static GUARDIAN: OnceLock<Mutex<Option<ChildStdin>>> = OnceLock::new();
    let guardian = GUARDIAN.get_or_init(|| {
        let mut shell = Command::new("sh");
        shell.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        Mutex::new(shell.spawn().ok().and_then(|mut child| child.stdin.take()))
    });
    let mut guardian = guardian.lock().unwrap_or_else(PoisonError::into_inner);
    let pipe = guardian.as_mut().context("cannot start sh, which cleans up after us")?;
    writeln!(pipe, "{operation} {item}").context("the shell that cleans up after us is gone")
}

/// From now on `pid`, a child of ours, dies with us.
pub(super) fn watch(pid: Pid) -> Result<()> {
    tell("watch", &pid.as_raw_nonzero().to_string())
}

/// To be called before or right after `pid` was reaped.
pub(super) fn forget(pid: Pid) {
    // Fails only if the guardian was killed, and then it kills nobody.
    let _ = tell("forget", &pid.as_raw_nonzero().to_string());
}

/// A directory that is removed when it is dropped, and also when we are killed.
#[derive(Debug)]
pub struct TempDir {
    path: PathBuf,
}

impl TempDir {
    /// A new directory with a short path (unix socket paths are limited to 107 bytes).
    pub fn new() -> Result<Self> {
        let base = std::env::temp_dir();
        let usable = |base: &Path| {
            base.to_str().is_some_and(|text| text.len() < 60 && !text.contains(|c: char| c.is_whitespace()))
        };
        let base = if usable(&base) { base } else { PathBuf::from("/tmp") };
        let path = tempfile::Builder::new().prefix("rmc-").tempdir_in(&base).context("no temporary directory")?.keep();
        let directory = TempDir { path };
        tell("made", &directory.path.to_string_lossy())?;
        Ok(directory)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if std::fs::remove_dir_all(&self.path).is_ok() {
            let _ = tell("removed", &self.path.to_string_lossy());
        }
    }
}
