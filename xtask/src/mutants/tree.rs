//! A copy of the checkout that patches are applied to.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The copy, and where it is built.
pub struct Tree {
    source: PathBuf,
    pub root: PathBuf,
    pub target: PathBuf,
}

impl Tree {
    /// Makes the copy in `home`, or brings it up to date.
    pub fn prepare(home: &Path) -> Result<Tree> {
        let source = std::env::current_dir()?;
        let home = source.join(home);
        let tree = Tree { root: home.join("tree"), target: home.join("build"), source };
        fs::create_dir_all(&tree.root)?;
        // A repository of its own: else git would take paths as those of the checkout around it.
        tree.git(&["init", "--quiet"])?;
        tree.restore()?;
        Ok(tree)
    }

    /// Makes the copy equal to the checkout. Only what differs is written, so that only that is built again.
    pub fn restore(&self) -> Result<()> {
        let wanted = files(&self.source)?;
        for file in &wanted {
            let bytes = fs::read(self.source.join(file)).with_context(|| format!("cannot read {file}"))?;
            let copy = self.root.join(file);
            if fs::read(&copy).is_ok_and(|there| there == bytes) {
                continue;
            }
            if let Some(parent) = copy.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(&copy, bytes)?;
        }
        for file in files(&self.root)?.difference(&wanted) {
            fs::remove_file(self.root.join(file))?;
        }
        Ok(())
    }

    /// Applies a patch; says why if it does not fit.
    pub fn apply(&self, patch: &Path) -> Result<(), String> {
        let patch = self.source.join(patch).display().to_string();
        self.git(&["apply", &patch]).map_err(|error| error.to_string())
    }

    fn git(&self, args: &[&str]) -> Result<()> {
        let done =
            Command::new("git").current_dir(&self.root).args(args).output().context("cannot start git")?;
        if !done.status.success() {
            bail!("{}", String::from_utf8_lossy(&done.stderr).trim().to_owned());
        }
        Ok(())
    }
}

/// Every file of a checkout that is not ignored.
fn files(root: &Path) -> Result<BTreeSet<String>> {
    let listed = Command::new("git")
        .current_dir(root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()
        .context("cannot start git")?;
    if !listed.status.success() {
        bail!("git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    }
    let names = String::from_utf8(listed.stdout).context("a file's name is no text")?;
    let names = names.split('\0').filter(|name| !name.is_empty() && root.join(name).is_file());
    Ok(names.map(str::to_owned).collect())
}
