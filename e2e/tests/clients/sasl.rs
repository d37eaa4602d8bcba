//! `memcached -S`, with the users in a file of Cyrus SASL, which is how Debian's memcached is built.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use e2e::memcached::{Executable, Suite, unpack};

/// memcached 1.6.45 that knows this user, to be started with `-S`. Its files are written into the directory.
pub(crate) fn memcached(directory: &Path, user: &str, password: &str) -> Result<Executable> {
    let wrapper = unpack(Suite::Forky, "memcached-sasl")?;
    let database = directory.join("sasldb2");
    // users belong to a realm, and those who name none are looked for in that of the host
    let host = fs::read_to_string("/proc/sys/kernel/hostname")?;
    let mut add = Command::new(wrapper.with_file_name("saslpasswd2"));
    add.args(["-p", "-c", "-a", "memcached", "-u", host.trim(), "-f"]).arg(&database).arg(user);
    let mut add = add.stdin(Stdio::piped()).spawn().context("cannot start saslpasswd2")?;
    add.stdin.take().context("no input")?.write_all(password.as_bytes())?;
    ensure!(add.wait()?.success(), "saslpasswd2 fails");
    let settings = format!(
        "mech_list: plain\npwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {}\n",
        database.display()
    );
    fs::write(directory.join("memcached.conf"), settings)?;
    let script = directory.join("memcached");
    let text = format!(
        "#!/bin/sh\nSASL_CONF_PATH='{}'; export SASL_CONF_PATH\nexec '{}' \"$@\"\n",
        directory.display(),
        wrapper.display()
    );
    fs::write(&script, text)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    Executable::at(&script)
}
