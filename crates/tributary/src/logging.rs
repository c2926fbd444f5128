//! Logs: to stderr, so that stdout stays an answer; `TRIBUTARY_LOG` chooses what (`debug`, `engine=trace`),
//! `TRIBUTARY_LOG_FORMAT=json` the form.

use tracing_subscriber::EnvFilter;

/// Starts logging for this process; a second call does nothing.
pub fn start() {
    let filter = EnvFilter::try_from_env("TRIBUTARY_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let json = std::env::var("TRIBUTARY_LOG_FORMAT").is_ok_and(|format| format == "json");
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if json { builder.json().try_init() } else { builder.try_init() };
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
}
