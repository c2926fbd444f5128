//! A folder of flows, usually a checkout: read for `flow deploy DIR`, and kept an eye on by `serve --flows DIR`.
//!
//! Every `*.yaml`, `*.yml` and `*.json` below it is a flow, but for names that begin with a dot or hold `.test.`, and
//! for `deploy.yaml` and `deploy.<environment>.yaml` at its top, which say what the flows are deployed with.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use server::{App, File, Folder};
use tokio::sync::watch;

/// Between two looks at the folder.
pub const LOOK: Duration = Duration::from_secs(2);
/// Folders inside folders.
const DEPTH_MAX: usize = 8;
/// Entries looked at, whatever they are.
const ENTRIES_MAX: usize = 20_000;
/// The largest file read, in bytes; a flow may have less.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Where flows come from.
#[derive(Clone, Debug)]
pub struct Source {
    pub path: PathBuf,
    /// Chooses `deploy.<environment>.yaml`.
    pub environment: Option<String>,
}

/// What the names of tests hold.
pub const TEST: &str = ".test.";

/// Whether a file at a folder's top says what its flows are deployed with.
pub fn is_values(name: &str) -> bool {
    name == "deploy.yaml" || environment(name).is_some()
}

fn environment(name: &str) -> Option<&str> {
    name.strip_prefix("deploy.")?.strip_suffix(".yaml")
}

/// What a file looked like, without reading it.
type Seen = Vec<(PathBuf, u64, Option<SystemTime>)>;

impl Source {
    /// Reads every file.
    pub fn read(&self) -> anyhow::Result<Folder> {
        let mut folder = Folder::default();
        for (path, _, _) in self.look()? {
            let file = self.file(&path)?;
            if self.is_values(&path) { folder.values.push(file) } else { folder.files.push(file) }
        }
        if let Some(environment) = &self.environment
            && !folder.values.iter().any(|file| file.name == format!("deploy.{environment}.yaml"))
        {
            bail!("there is no {}", self.path.join(format!("deploy.{environment}.yaml")).display());
        }
        Ok(folder)
    }

    fn file(&self, path: &Path) -> anyhow::Result<File> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.strip_prefix(&self.path).unwrap_or(path).display().to_string();
        Ok(File { name, text })
    }

    /// What is there, in the order in which it counts: by path, `deploy.yaml` before an environment's.
    fn look(&self) -> anyhow::Result<Seen> {
        let (mut seen, mut entries) = (Vec::new(), 0);
        let mut folders = vec![(self.path.clone(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            let unreadable = || format!("cannot read {}", folder.display());
            for entry in std::fs::read_dir(&folder).with_context(unreadable)? {
                let entry = entry.with_context(unreadable)?;
                entries += 1;
                if entries > ENTRIES_MAX {
                    bail!("{} has more than {ENTRIES_MAX} entries", self.path.display());
                }
                let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
                if name.starts_with('.') {
                    continue;
                }
                // Follows links: a folder may be a link to a release.
                let known =
                    std::fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?;
                if known.is_dir() {
                    if depth == DEPTH_MAX {
                        bail!("{} is more than {DEPTH_MAX} folders deep", path.display());
                    }
                    folders.push((path, depth + 1));
                } else if self.counts(&path, &name) {
                    if known.len() > FILE_BYTES_MAX {
                        bail!("{} is larger than {FILE_BYTES_MAX} bytes", path.display());
                    }
                    seen.push((path, known.len(), known.modified().ok()));
                }
            }
        }
        seen.sort_by_key(|(path, _, _)| (self.environment_of(path).is_some(), path.clone()));
        Ok(seen)
    }

    fn counts(&self, path: &Path, name: &str) -> bool {
        let format = [".yaml", ".yml", ".json"].iter().any(|ending| name.ends_with(ending));
        let other = self.is_values(path)
            && self.environment_of(path).is_some_and(|of| self.environment.as_deref() != Some(of));
        format && !name.contains(TEST) && !other
    }

    /// Whether it is `deploy.yaml`, or one of an environment.
    fn is_values(&self, path: &Path) -> bool {
        let name = path.file_name().filter(|_| path.parent() == Some(&self.path));
        name.and_then(|name| name.to_str()).is_some_and(is_values)
    }

    fn environment_of<'a>(&self, path: &'a Path) -> Option<&'a str> {
        let name = path.file_name().filter(|_| path.parent() == Some(&self.path))?.to_str()?;
        environment(name)
    }

    /// Deploys the folder, and again whenever it has changed and come to rest, until told to stop. What cannot be
    /// deployed changes nothing, and is tried again once the folder, a connection or a flow has changed.
    pub async fn keep(self, app: App, look: Duration, mut stop: watch::Receiver<bool>) {
        let (mut last, mut before): (Option<(Seen, u64)>, Option<Seen>) = (None, None);
        let (mut failed, mut first) = (false, true);
        loop {
            match self.look() {
                Ok(seen) => {
                    let rests = first || before.as_ref() == Some(&seen);
                    let generation = app.generation().await;
                    let differs =
                        last.as_ref().is_none_or(|(old, at)| *old != seen || (failed && *at != generation));
                    if rests && differs {
                        first = false;
                        failed = !self.deploy(&app, &seen).await;
                        last = Some((seen.clone(), app.generation().await));
                    }
                    before = Some(seen);
                }
                Err(error) => {
                    if !failed {
                        tracing::error!("the folder of flows: {error:#}; the flows stay as they are");
                    }
                    // Something moves there: it is deployed once it has come to rest.
                    (failed, first, last, before) = (true, false, None, None);
                }
            }
            let told = tokio::time::timeout(look, stop.wait_for(|stop| *stop)).await;
            if told.is_ok() {
                return;
            }
        }
    }

    /// Deploys what was seen; whether it could be.
    async fn deploy(&self, app: &App, seen: &Seen) -> bool {
        let folder = match self.read() {
            Ok(_) if self.look().ok().as_ref() != Some(seen) => {
                tracing::info!("the folder of flows changes; it is deployed when it has come to rest");
                return false;
            }
            Ok(folder) => folder,
            Err(error) => {
                tracing::error!("the folder of flows: {error:#}; the flows stay as they are");
                return false;
            }
        };
        match app.reconcile(&self.path.display().to_string(), &folder).await {
            Ok(report) => {
                for flow in report["flows"].as_array().into_iter().flatten() {
                    let (name, change) = (flow["name"].as_str(), flow["change"].as_str());
                    if let (Some(name), Some(change)) = (name, change.filter(|change| *change != "unchanged"))
                    {
                        tracing::info!(flow = name, change, "from the folder of flows");
                    }
                }
                true
            }
            Err(problem) => {
                tracing::error!(
                    "the folder of flows was not deployed, the flows stay as they are: {}",
                    problem.detail
                );
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(files: &[File]) -> Vec<&str> {
        files.iter().map(|file| file.name.as_str()).collect()
    }

    #[test]
    fn flows_and_what_they_are_deployed_with_are_told_apart() {
        let directory = tempfile::tempdir().expect("a directory");
        for path in [
            "b.yaml",
            "a.yml",
            "sub/c.json",
            "sub/deploy.yaml",
            "a.test.yaml",
            ".git/x.yaml",
            "notes.md",
            "deploy.yaml",
            "deploy.production.yaml",
            "deploy.dev.yaml",
        ] {
            let file = directory.path().join(path);
            std::fs::create_dir_all(file.parent().expect("inside")).expect("made");
            std::fs::write(file, path).expect("written");
        }
        let read = |environment: Option<&str>| {
            Source { path: directory.path().to_owned(), environment: environment.map(str::to_owned) }.read()
        };
        let plain = read(None).expect("read");
        assert_eq!(names(&plain.files), ["a.yml", "b.yaml", "sub/c.json", "sub/deploy.yaml"]);
        assert_eq!(names(&plain.values), ["deploy.yaml"]);
        let production = read(Some("production")).expect("read");
        assert_eq!(names(&production.values), ["deploy.yaml", "deploy.production.yaml"]);
        let missing = read(Some("prod")).expect_err("there is none").to_string();
        assert!(missing.contains("deploy.prod.yaml"), "{missing}");
    }
}
