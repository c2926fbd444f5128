//! Installs what the tests need and this machine lacks, and says what it does.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::run;

/// A program that tests call, and the Debian package that brings it.
const NEEDED: &[(&[&str], &str)] = &[
    (&["node", "--version"], "nodejs"),
    (&["npm", "--version"], "npm"),
    (&["python3", "-c", "import ensurepip, venv"], "python3-venv"),
    (&["cc", "--version"], "build-essential"),
    (&["jq", "--version"], "jq"),
    // Debian keeps the server's own programs out of the path; tests look there as well.
    (&["sh", "-c", "command -v postgres || ls /usr/lib/postgresql/*/bin/postgres"], "postgresql"),
];

pub fn prepare() -> Result<()> {
    let missing: Vec<&str> =
        NEEDED.iter().filter(|(probe, _)| !works(probe)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !works(&["apt-get", "--version"]) {
        bail!("the tests need {}: please install them", missing.join(", "));
    }
    eprintln!("installing Debian packages: {}", missing.join(" "));
    let mut apt = if works(&["sudo", "-n", "true"]) {
        let mut sudo = Command::new("sudo");
        sudo.arg("apt-get");
        sudo
    } else {
        Command::new("apt-get")
    };
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    let mut update = Command::new(apt.get_program());
    update.args(apt.get_args()).arg("update").arg("-qq");
    run(&mut update)?;
    run(apt.args(["install", "-y", "-qq", "--no-install-recommends"]).args(&missing))
}

fn works(probe: &[&str]) -> bool {
    Command::new(probe[0])
        .args(&probe[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
