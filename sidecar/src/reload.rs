//! I/O: files that are read again when they change. What is up stays up: only what comes later sees the new ones.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use crate::stats::FilesStats;

/// So often files are looked at. There are few of them, and they are small.
pub const PERIOD: Duration = Duration::from_secs(5);

/// Looks every `period`, for ever. `reload` says whether something had changed; what is wrong is logged once, and is no reason
/// to give up what is in use.
pub async fn watch<E: Display>(
    path: &Path,
    period: Duration,
    stats: &FilesStats,
    reload: impl Fn() -> Result<bool, E>,
) {
    let mut last_problem = None;
    loop {
        tokio::time::sleep(period).await;
        let problem = match reload() {
            Ok(false) => None,
            Ok(true) => {
                stats.reloaded.add_shared(1);
                tracing::info!(path = %path.display(), "files reloaded");
                None
            }
            Err(error) => Some(error.to_string()),
        };
        if let Some(problem) = problem.as_ref().filter(|_| problem != last_problem) {
            tracing::warn!("files not reloaded, the last good ones stay in use: {problem}");
        }
        stats.bad.set(u64::from(problem.is_some()));
        last_problem = problem;
    }
}
