//! The `tributary` command. Everything is in the library beside it, so that the end-to-end tests use the same code.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = tributary::cli::Cli::parse();
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
