//! What decides who may use the cache, read once at the start and again when it changes.

use std::sync::Arc;

use crate::auth::AuthFile;
use crate::config::{Config, Stop};
use crate::reload::{self, PERIOD};
use crate::stats::{FilesLabel, Stats};
use crate::tls::ClientTls;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// `--auth-file`
    pub auth: Option<Arc<AuthFile>>,
    /// `--client-tls-dir`
    pub tls: Option<Arc<ClientTls>>,
}

impl Access {
    /// Reads the files that `config` names.
    ///
    /// # Errors
    /// One line that names the flag and the file.
    pub fn load(config: &Config) -> Result<Self, Stop> {
        let auth = config.auth_file.as_deref().map(AuthFile::load).transpose();
        let auth = auth.map_err(|error| Stop::Invalid(format!("--auth-file: {error}")))?;
        let tls = config.client_tls.as_ref().map(|(dir, verify)| ClientTls::load(dir, *verify)).transpose();
        let tls = tls.map_err(|error| Stop::Invalid(format!("--client-tls-dir: {error}")))?;
        Ok(Self { auth: auth.map(Arc::new), tls: tls.map(Arc::new) })
    }

    /// Reads them again whenever they change, for as long as the runtime lives.
    pub(super) fn watch(&self, stats: &Arc<Stats>) {
        if let Some(auth) = self.auth.clone() {
            let stats = Arc::clone(stats);
            tokio::spawn(async move {
                let files = &stats.files[FilesLabel::Auth as usize];
                reload::watch(auth.path(), PERIOD, files, || auth.reload()).await;
            });
        }
        if let Some(tls) = self.tls.clone() {
            let stats = Arc::clone(stats);
            tokio::spawn(async move {
                let files = &stats.files[FilesLabel::ClientTls as usize];
                reload::watch(tls.dir(), PERIOD, files, || tls.reload()).await;
            });
        }
    }
}
