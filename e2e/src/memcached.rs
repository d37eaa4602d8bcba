//! Finds a memcached that is new enough: on the PATH, or Debian's packages unpacked into the cache.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};

/// The script that unpacks Debian's packages; part of this program so that it works without the checkout.
const UNPACK: &str = include_str!("../debian.sh");

/// Older ones lack what the sidecar depends on (the meta flags that set and show versions).
pub const OLDEST: Version = Version(1, 6, 27);

/// Where a memcached comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Suite {
    /// Debian trixie: memcached 1.6.38
    Trixie,
    /// Debian forky: memcached 1.6.45
    Forky,
    /// The one on the PATH, 1.6.27 or newer
    Path,
    /// $MEMCACHED, else the one on the PATH, else Debian trixie's
    Any,
}

impl Suite {
    /// The two versions that all tests are written for, exactly.
    pub const TESTED: [Suite; 2] = [Suite::Trixie, Suite::Forky];

    /// The variable that names an executable to use instead, and the version this suite promises.
    fn pinned(self) -> Option<(&'static str, Version)> {
        match self {
            Suite::Trixie => Some(("MEMCACHED_1_6_38", Version(1, 6, 38))),
            Suite::Forky => Some(("MEMCACHED_1_6_45", Version(1, 6, 45))),
            Suite::Path | Suite::Any => None,
        }
    }
}

/// A version of memcached, as in `1.6.38`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl FromStr for Version {
    type Err = anyhow::Error;

    /// Reads `1.6.38`; what a distribution appends to the last number (`1.6.38_beta1`) is ignored.
    fn from_str(text: &str) -> Result<Self> {
        let mut parts = text.trim().splitn(3, '.').map(|part| {
            let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part[..digits].parse::<u32>()
        });
        match (parts.next(), parts.next(), parts.next()) {
            (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch))) => Ok(Version(major, minor, patch)),
            _ => bail!("not a version of memcached: {text:?}"),
        }
    }
}

/// A memcached that can be started.
#[derive(Clone, Debug)]
pub struct Executable {
    /// The program, or a wrapper that starts it.
    pub path: PathBuf,
    /// What it says of itself.
    pub version: Version,
}

impl Executable {
    /// Asks the program for its version.
    pub fn at(path: &Path) -> Result<Self> {
        let output =
            Command::new(path).arg("-V").output().with_context(|| format!("cannot start {}", path.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text.trim().strip_prefix("memcached ").with_context(|| {
            let error = String::from_utf8_lossy(&output.stderr);
            format!("{} does not look like memcached: {}{}", path.display(), text.trim(), error.trim())
        })?;
        Ok(Executable { path: path.to_owned(), version: version.parse()? })
    }
}

/// Finds the memcached of `suite`, unpacking Debian's packages if need be (some seconds, once).
pub fn find(suite: Suite) -> Result<Executable> {
    match suite {
        Suite::Trixie | Suite::Forky => debian(suite),
        Suite::Path => on_path(),
        Suite::Any => match env::var_os("MEMCACHED") {
            Some(path) => new_enough(Executable::at(Path::new(&path))?),
            None => on_path().or_else(|from_path| {
                debian(Suite::Trixie).with_context(|| format!("nor can Debian's be used; on the PATH: {from_path:#}"))
            }),
        },
    }
}

fn debian(suite: Suite) -> Result<Executable> {
    let Some((variable, promised)) = suite.pinned() else { bail!("{suite:?} is no suite of Debian") };
    let path = match env::var_os(variable) {
        Some(path) => PathBuf::from(path),
        None => unpack(suite, "memcached")?,
    };
    let found = Executable::at(&path)?;
    ensure!(
        found.version == promised,
        "the tests are written for memcached {promised}, but {} is {}; name a {promised} in ${variable}",
        path.display(),
        found.version
    );
    Ok(found)
}

/// Unpacks `program` of a suite of Debian into the cache, one that the script knows; returns the wrapper that starts it.
pub fn unpack(suite: Suite, program: &str) -> Result<PathBuf> {
    let suite = match suite {
        Suite::Forky => "forky",
        Suite::Trixie | Suite::Path | Suite::Any => "trixie",
    };
    let output = Command::new("sh")
        .args(["-c", UNPACK, "debian.sh", suite, program])
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot start sh")?;
    ensure!(output.status.success(), "cannot get {program} of Debian {suite} (the reason is above)");
    let path = String::from_utf8(output.stdout).context("the path of the cache is not UTF-8")?;
    Ok(PathBuf::from(path.trim_end()))
}

/// The first directory of the PATH that holds `program`.
pub fn which(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(program)).find(|path| path.is_file())
}

fn on_path() -> Result<Executable> {
    let path = which("memcached").with_context(|| format!("no memcached on the PATH; install {OLDEST} or newer"))?;
    new_enough(Executable::at(&path)?)
}

fn new_enough(found: Executable) -> Result<Executable> {
    ensure!(
        found.version >= OLDEST,
        "{} is memcached {}, too old: {OLDEST} or newer is needed",
        found.path.display(),
        found.version
    );
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_ordered() {
        let parse = |text: &str| text.parse::<Version>().unwrap();
        assert_eq!(parse("1.6.38"), Version(1, 6, 38));
        assert_eq!(parse("1.6.45_2_gabc\n"), Version(1, 6, 45));
        assert!(parse("1.6.9") < OLDEST && parse("1.10.0") > OLDEST);
        assert!("1.6".parse::<Version>().is_err() && "x.y.z".parse::<Version>().is_err());
    }

    #[test]
    fn what_is_not_memcached_is_refused() {
        assert!(Executable::at(Path::new("/bin/true")).is_err());
        assert!(Executable::at(Path::new("/nonexistent")).is_err());
    }

    #[test]
    fn the_tested_versions_are_these_exactly() {
        assert_eq!(find(Suite::Trixie).unwrap().version.to_string(), "1.6.38");
        assert_eq!(find(Suite::Forky).unwrap().version.to_string(), "1.6.45");
    }
}
