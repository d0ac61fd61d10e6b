//! The command line: one file a subcommand.

mod analyze;
mod conform;
mod detect;
mod diagnose;
mod lint;
mod predict;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Bad input or usage; nothing was started.
const USAGE: u8 = 2;
/// Exit code where nothing could be decided.
const UNDECIDED: u8 = 3;
/// Replays services that restart for ever, in lock-step time, and proves which fixes stop them.
#[derive(Debug, Parser)]
#[command(name = "relapse", version, arg_required_else_help = true, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run scenario files
    Run(run::Args),
    /// Look at unit files, time spans and exit statuses as systemd-analyze does
    #[command(subcommand)]
    Analyze(analyze::Command),
    /// Run generated units on the embedded manager and on a real systemd, and compare
    Conform(conform::Args),
    /// Mistakes in unit files that make a service loop, or keep it from doing what the file seems to say
    Lint(lint::Args),
    /// What a unit does if its program keeps ending the same way: nothing is run
    Predict(predict::Args),
    /// Find restart loops in logs and journals
    Detect(detect::Args),
    /// This host, read-only: who has the port, which unit fights for it, and what to do
    Diagnose(diagnose::Args),
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, everything else is usage.
            let code = if error.use_stderr() { USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    ExitCode::from(match cli.command {
        Command::Run(args) => run::main(&args),
        Command::Analyze(command) => analyze::main(&command),
        Command::Conform(args) => conform::main(&args),
        Command::Lint(args) => lint::main(&args),
        Command::Predict(args) => predict::main(&args),
        Command::Detect(args) => detect::main(&args),
        Command::Diagnose(args) => diagnose::main(&args),
    })
}
