//! The `tributary` command. Everything is in the library beside it, so that the end-to-end tests use the same code.

use std::process::ExitCode;

use clap::Parser as _;

/// JSON is thousands of small pieces per event, made in one thread and often dropped in another: with the system's
/// allocator they are a third of a run's processor time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = tributary::cli::Cli::parse();
    if matches!(cli.command, tributary::cli::Command::Worker) {
        return script::worker::run();
    }
    tributary::logging::start();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(tributary::cli::run(cli)).into()
}
