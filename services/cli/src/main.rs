//! `quench`: every engine in one process, and client of a running fleet.
//!
//! Reading order: [`args`] is the command line, [`session`] what every command works with, `commands` one file per
//! verb, [`exit`] the exit codes.

mod air_gap;
mod args;
mod commands;
mod difference;
mod examined;
mod exit;
mod files;
mod find;
mod fleet;
mod html;
mod image_details;
mod inputs;
mod keys;
mod layout;
mod nearest;
mod policy_file;
mod progress;
mod session;
mod style;
mod summary;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;

use args::{Cli, Verb};
use exit::Exit;
use session::Session;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let session = Session::new(&cli.global);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            exit::print(
                &anyhow::Error::new(error).context("cannot start"),
                session.json,
            );
            return Exit::Missing.into();
        }
    };
    let result = runtime.block_on(async {
        session.stop_on_signal();
        run(&session, cli.verb).await
    });
    // Blocking work that ignores cancellation must not hold the process once the answer is known.
    runtime.shutdown_background();
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            exit::print(&error, session.json);
            exit::code(&error).into()
        }
    }
}

async fn run(session: &Session, verb: Verb) -> Result<Exit> {
    match verb {
        Verb::Harden(args) if args.chart_only => commands::chart_only::run(session, &args).await,
        Verb::Harden(args) => commands::harden::run(session, &args).await,
        Verb::Ingest(args) => commands::ingest::run(session, &args).await,
        Verb::Images(args) => commands::images::run(session, &args).await,
        Verb::Ls => commands::ls::run(session).await,
        Verb::Show { package } => commands::show::run(session, &package).await,
        Verb::Findings {
            package,
            format,
            all,
        } => commands::findings::run(session, &package, format, all).await,
        Verb::Report(args) => commands::report::run(session, &args).await,
        Verb::Sbom {
            package,
            image,
            format,
        } => commands::sbom::run(session, &package, image.as_deref(), format).await,
        Verb::Chart { package, output } => commands::chart::run(session, &package, &output).await,
        Verb::Image {
            package,
            image,
            output,
        } => commands::image::run(session, &package, &image, &output).await,
        Verb::Export(args) => commands::export::run(session, &args).await,
        Verb::Import(args) => commands::import::run(session, &args).await,
        Verb::Push(args) => commands::push::run(session, &args).await,
        Verb::Install(args) => commands::install::run(session, &args).await,
        Verb::Diff(args) => commands::diff::run(session, &args).await,
        Verb::History(args) => commands::history::run(session, &args).await,
        Verb::Rules(args) => commands::rules::run(session, &args),
        Verb::Lint(args) => commands::lint::run(session, &args).await,
        Verb::Explain(args) => commands::explain::run(session, &args).await,
        Verb::Waive(args) => commands::waive::run(session, &args),
        Verb::Keys(verb) => commands::keys::run(session, &verb),
        Verb::Sign(args) => commands::sign::run(session, &args).await,
        Verb::Verify(args) => commands::verify::run(session, &args).await,
        Verb::Promote(args) => commands::promote::run(session, &args).await,
        Verb::Stages(args) => commands::stages::run(session, &args).await,
        Verb::Advisories(verb) => commands::advisories::run(session, &verb).await,
        Verb::Submit(args) => commands::submit::run(session, &args).await,
        Verb::Status {
            package,
            watch,
            fleet,
        } => commands::status::run(session, package.as_deref(), watch, &fleet).await,
        Verb::Watch {
            nats,
            credentials,
            user,
            ca,
            subject,
        } => {
            let source = commands::watch::Source {
                nats,
                credentials,
                user,
                ca,
                subject,
            };
            commands::watch::run(session, &source).await
        }
        Verb::Completions { shell } => {
            commands::completions::run(shell);
            Ok(Exit::Done)
        }
    }
}
