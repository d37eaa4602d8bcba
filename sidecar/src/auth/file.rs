//! I/O: `--auth-file`, which may change at any time. In Kubernetes it is a symbolic link into a mounted Secret and is swapped
//! as a whole; it is read by its name each time.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::gate::Gate;
use super::users::{LINE_MAX, USERS_MAX, Users, UsersError};

/// Largest file that is read, bytes.
const FILE_MAX: u64 = (USERS_MAX * (LINE_MAX + 2)) as u64;

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub enum AuthFileError {
    /// It cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// It is not what it should be.
    #[error("{} {problem}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: UsersError,
    },
    /// It is too long.
    #[error("{} is larger than {FILE_MAX} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

/// The file and what it said last when it was good.
#[derive(Debug)]
pub struct AuthFile {
    path: PathBuf,
    gate: Arc<Gate>,
}

impl AuthFile {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, or memcached would not take it.
    pub fn load(path: &Path) -> Result<Self, AuthFileError> {
        Ok(Self { path: path.to_owned(), gate: Arc::new(Gate::new(read(path)?)) })
    }

    /// Who is let in.
    #[must_use]
    pub fn gate(&self) -> Arc<Gate> {
        Arc::clone(&self.gate)
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file again; `true` if it had changed. New logins are then compared with it.
    ///
    /// # Errors
    /// As [`AuthFile::load`]; the last good users stay.
    pub fn reload(&self) -> Result<bool, AuthFileError> {
        let users = read(&self.path)?;
        let changed = users != *self.gate.users();
        if changed {
            self.gate.replace(users);
        }
        Ok(changed)
    }
}

fn read(path: &Path) -> Result<Users, AuthFileError> {
    let failed = |cause| AuthFileError::Read { path: path.to_owned(), cause };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    // one byte more than allowed tells that there is more
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(AuthFileError::TooLarge { path: path.to_owned() });
    }
    Users::parse(&bytes).map_err(|problem| AuthFileError::Content { path: path.to_owned(), problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swapped_link_is_read_and_a_bad_file_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        // as the kubelet does it: file -> ..data/file, ..data -> a directory of this generation
        for (generation, text) in [("1", "u:old\n"), ("2", "u:new\n"), ("3", "no colon\n")] {
            std::fs::create_dir(at(generation)).unwrap();
            std::fs::write(at(generation).join("users"), text).unwrap();
        }
        let swap = |generation: &str| {
            std::os::unix::fs::symlink(generation, at("tmp")).unwrap();
            std::fs::rename(at("tmp"), at("..data")).unwrap();
        };
        swap("1");
        std::os::unix::fs::symlink("..data/users", at("users")).unwrap();
        let file = AuthFile::load(&at("users")).unwrap();
        let gate = file.gate();
        assert!(gate.check(b"u", b"old") && !gate.check(b"u", b"new"));
        assert!(!file.reload().unwrap());
        swap("2");
        assert!(file.reload().unwrap());
        assert!(gate.check(b"u", b"new") && !gate.check(b"u", b"old"));
        swap("3");
        let error = file.reload().unwrap_err().to_string();
        assert!(error.contains("users line 1 has no colon"), "{error}");
        assert!(gate.check(b"u", b"new"));
        std::fs::remove_file(at("users")).unwrap();
        assert!(file.reload().unwrap_err().to_string().starts_with("cannot read "));
        assert!(gate.check(b"u", b"new"));
    }

    #[test]
    fn the_size_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users");
        std::fs::write(&path, vec![b'a'; FILE_MAX as usize + 1]).unwrap();
        assert!(matches!(AuthFile::load(&path), Err(AuthFileError::TooLarge { .. })));
        assert!(AuthFile::load(Path::new("/dev/zero")).is_err());
    }
}
