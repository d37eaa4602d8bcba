//! I/O: the state file as memory. Written bytes survive the process, without a system call per write; they need not
//! survive the machine, since memcached's content does not either.

use memmap2::MmapMut;
use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Storage;

/// Name of the state file in `--state-dir`.
const FILE: &str = "state";
/// Where a file of another length is filled before it takes the place of the old one.
const NEXT: &str = "state.next";
/// Its lock stays while the state file is replaced.
const LOCK: &str = "state.lock";
/// Only our user reads keys.
const MODE: u32 = 0o600;

/// Memory that a state file backs, or that the process alone has.
#[derive(Debug)]
pub struct StateMap {
    map: MmapMut,
    /// Held for as long as the map is; `None` for memory without a file.
    _lock: Option<File>,
}

/// Why the state cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum StateMapError {
    /// Another sidecar has the lock.
    #[error("{} is in use by another sidecar", path.display())]
    InUse {
        /// The state file.
        path: PathBuf,
    },
    /// A file operation failed.
    #[error("cannot {what} {}: {cause}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        cause: io::Error,
    },
    /// The file would not fit, and a write to a full file system kills a process that writes through a map.
    #[error("{} needs {needed} bytes and its file system has {free} free", path.display())]
    NoSpace {
        /// The state file.
        path: PathBuf,
        /// Bytes that it still has to grow by.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
}

impl StateMap {
    /// Memory of `len` bytes, all zero, that a restart forgets.
    ///
    /// # Errors
    /// The system has no such memory.
    pub fn anonymous(len: usize) -> Result<Self, StateMapError> {
        let map = MmapMut::map_anon(len).map_err(failed("reserve memory for", Path::new(FILE)))?;
        Ok(Self { map, _lock: None })
    }

    /// The file `state` in `dir` with a length of `len` bytes; both are made if they are missing. New bytes are zero,
    /// and take no space until they are written.
    ///
    /// If there is a file of another length, `migrate(old, new)` fills a new, zeroed one, which then replaces it. A
    /// program killed meanwhile finds the old one.
    ///
    /// # Errors
    /// Another sidecar has it, there is no space, or a file operation failed.
    pub fn open(dir: &Path, len: usize, migrate: impl FnOnce(&[u8], &mut [u8])) -> Result<Self, StateMapError> {
        std::fs::create_dir_all(dir).map_err(failed("create", dir))?;
        let lock = lock(dir)?;
        let path = dir.join(FILE);
        let old = open(&path, false)?;
        let old_len = old.metadata().map_err(failed("examine", &path))?.len();
        let map = if old_len == 0 || old_len == len as u64 {
            sized(&old, &path, len)?
        } else {
            let next = dir.join(NEXT);
            let mut new = sized(&open(&next, true)?, &next, len)?;
            migrate(&map(&old, &path)?, &mut new);
            std::fs::rename(&next, &path).map_err(failed("replace", &path))?;
            new
        };
        Ok(Self { map, _lock: Some(lock) })
    }
}

impl Storage for StateMap {
    fn bytes(&self) -> &[u8] {
        &self.map
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.map
    }
}

impl Deref for StateMap {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

impl DerefMut for StateMap {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.map
    }
}

fn failed<'p>(what: &'static str, path: &'p Path) -> impl FnOnce(io::Error) -> StateMapError + use<'p> {
    move |cause| StateMapError::Io { what, path: path.to_owned(), cause }
}

fn lock(dir: &Path) -> Result<File, StateMapError> {
    let path = dir.join(LOCK);
    let file = open(&path, false)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StateMapError::InUse { path: dir.join(FILE) }),
        Err(TryLockError::Error(source)) => Err(failed("lock", &path)(source)),
    }
}

fn open(path: &Path, truncate: bool) -> Result<File, StateMapError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(truncate)
        .mode(MODE)
        // the directory may be one that others write to
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
        .open(path)
        .map_err(failed("open", path))?;
    // a file that was there may have another mode
    file.set_permissions(Permissions::from_mode(MODE)).map_err(failed("protect", path))?;
    Ok(file)
}

/// Gives the file its length, if there is room for all of it, and maps it.
fn sized(file: &File, path: &Path, len: usize) -> Result<MmapMut, StateMapError> {
    let present = file.metadata().map_err(failed("examine", path))?;
    let needed = (len as u64).saturating_sub(present.blocks().saturating_mul(512));
    let system = rustix::fs::fstatvfs(file).map_err(|e| failed("examine", path)(e.into()))?;
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    if needed > free {
        return Err(StateMapError::NoSpace { path: path.to_owned(), needed, free });
    }
    file.set_len(len as u64).map_err(failed("size", path))?;
    map(file, path)
}

#[allow(unsafe_code, reason = "a map of a file has no safe form; this is the only one")]
fn map(file: &File, path: &Path) -> Result<MmapMut, StateMapError> {
    // SAFETY: the bytes must not change under the map. The file is ours alone: its mode lets in no other user, and
    // the exclusive lock, held for as long as the map, no other sidecar. Whoever truncates it all the same, as our
    // user or as root, kills this process by SIGBUS; the bytes have no type whose invariants could break.
    unsafe { MmapMut::map_mut(file) }.map_err(failed("map", path))
}

#[cfg(test)]
mod tests;
