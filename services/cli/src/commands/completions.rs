//! `quench completions`.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;

/// Prints a completion script.
pub fn run(shell: Shell) {
    clap_complete::generate(shell, &mut Cli::command(), "quench", &mut std::io::stdout());
}
