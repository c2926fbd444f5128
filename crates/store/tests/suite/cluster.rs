//! One throwaway PostgreSQL server for the tests of a process: made when it is first needed, gone with the process,
//! however that ends.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

const REMEDY: &str =
    "PostgreSQL 14 or later is needed: `cargo xtask test` installs it, or `apt install postgresql`";
/// Faster than it is safe: this data lives as long as the process.
const SETTINGS: &str = "-c listen_addresses='' -c fsync=off -c full_page_writes=off -c max_connections=200 \
    -c deadlock_timeout=100ms -c autovacuum=off -c log_min_messages=fatal";

pub struct Cluster {
    directory: PathBuf,
    databases: AtomicUsize,
    /// As long as this process holds its standard input, the server runs.
    _keeper: Child,
}

/// The server, started if it is not there yet.
pub fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(Cluster::start)
}

impl Cluster {
    fn start() -> Self {
        let programs = programs().unwrap_or_else(|| panic!("no PostgreSQL here. {REMEDY}"));
        let directory = tempfile::Builder::new().prefix("tby-pg-").tempdir().unwrap().keep();
        let user = unprivileged();
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o700)).unwrap();
        if let Some((uid, gid)) = user {
            std::os::unix::fs::chown(&directory, Some(uid), Some(gid)).unwrap();
        }
        // It ends the server when nobody holds its standard input any more, be it by a kill.
        let script = format!(
            "cd '{dir}' && {{ '{bin}/initdb' -D data -U postgres -A trust -N -E UTF8 --locale=C >log 2>&1 \
             && '{bin}/postgres' -D data -k '{dir}' {SETTINGS} >>log 2>&1 & }} && server=$! && \
             for _ in $(seq 600); do '{bin}/pg_isready' -q -h '{dir}' && break; sleep 0.05; done; \
             if '{bin}/pg_isready' -q -h '{dir}'; then echo ready; else cat log; echo; exit 1; fi; \
             cat >/dev/null; kill -QUIT $(head -1 data/postmaster.pid); wait $server; rm -rf '{dir}'",
            dir = directory.display(),
            bin = programs.display(),
        );
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.process_group(0).env("LC_ALL", "C");
        if let Some((uid, gid)) = user {
            command.uid(uid).gid(gid);
        }
        let mut keeper = command.spawn().unwrap();
        let mut told = [0; 6];
        let mut stdout = keeper.stdout.take().unwrap();
        if stdout.read_exact(&mut told).is_err() || &told != b"ready\n" {
            let mut rest = String::new();
            stdout.read_to_string(&mut rest).ok();
            panic!("PostgreSQL does not start: {}{rest}\n{REMEDY}", String::from_utf8_lossy(&told));
        }
        Self { directory, databases: AtomicUsize::new(0), _keeper: keeper }
    }

    /// A new and empty database; its address.
    pub fn database(&self) -> String {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::SeqCst));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    pub fn url(&self, database: &str) -> String {
        let host = self.directory.display().to_string().replace('/', "%2F");
        format!("postgres:///{database}?host={host}&user=postgres")
    }

    /// How many rows a table of the database at `url` has.
    #[allow(dead_code, reason = "for the suites that may hold no statements")]
    pub fn rows(&self, url: &str, table: &str) -> i64 {
        self.sql(name(url), &format!("SELECT count(*) FROM {table}")).parse().expect("a number")
    }

    /// How many runs of the database at `url` were claimed more than once.
    #[allow(dead_code, reason = "for the suites that may hold no statements")]
    pub fn taken_over(&self, url: &str) -> i64 {
        self.sql(name(url), "SELECT count(*) FROM runs WHERE epoch > 1").parse().expect("a number")
    }

    /// Nodes that have runs in hand.
    #[allow(dead_code, reason = "for one of the suites")]
    pub fn at_work(&self, url: &str) -> i64 {
        let working = "SELECT count(DISTINCT node) FROM runs WHERE status = 'running'";
        self.sql(name(url), working).parse().expect("a number")
    }

    /// Takes the database at `url` away from everybody, in the middle of whatever they do.
    #[allow(dead_code, reason = "for one of the suites")]
    pub fn take_away(&self, url: &str) {
        let name = name(url);
        self.sql("postgres", &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"));
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname";
        self.sql("postgres", &format!("{end} = '{name}'"));
    }

    /// Gives it back.
    #[allow(dead_code, reason = "for one of the suites")]
    pub fn give_back(&self, url: &str) {
        self.sql("postgres", &format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", name(url)));
    }

    /// Runs statements as the superuser; the first column of the answer, a line each.
    pub fn sql(&self, database: &str, text: &str) -> String {
        let mut psql = Command::new(programs().unwrap().join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-h"])
            .arg(&self.directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        psql.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = psql.wait_with_output().unwrap();
        assert!(output.status.success(), "{text}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

/// The database's name.
fn name(url: &str) -> &str {
    url.split(['/', '?']).nth(3).expect("a name")
}

/// Where the newest installed server's programs are.
fn programs() -> Option<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version = path.file_name()?.to_str()?.parse().ok()?;
            Some((version, path.join("bin")))
        })
        .filter(|(version, bin)| *version >= 14 && bin.join("postgres").exists())
        .collect();
    versions.sort();
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|bin| bin.join("initdb").exists() && bin.join("postgres").exists())
    };
    versions.pop().map(|(_, bin)| bin).or_else(on_path)
}

/// Who runs the server if this is root, whom PostgreSQL refuses.
fn unprivileged() -> Option<(u32, u32)> {
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap());
    if owner != 0 {
        return None;
    }
    let users = std::fs::read_to_string(Path::new("/etc/passwd")).unwrap();
    let found = ["postgres", "nobody"].iter().find_map(|name| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    });
    Some(found.expect("no user `postgres` or `nobody` to run the server as"))
}
