//! Exit codes, and what a person is told when something fails.

use std::process::ExitCode;

use quench_content::StoreError;
use quench_package::{EngineError, PackageError};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// A gate refused the package, or verification found something wrong.
    Refused,
    /// Wrong usage or input.
    Usage,
    /// Something needed is missing or unreachable.
    Missing,
    /// Ended by Ctrl-C, as shells report it.
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Refused => 1,
            Exit::Usage => 2,
            Exit::Missing => 3,
            Exit::Interrupted => 130,
        })
    }
}

/// Marks an error with the exit code it ends in; the text stays the error's own.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    text: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// Wrong usage or input.
    pub fn usage(text: impl Into<String>) -> anyhow::Error {
        Self {
            exit: Exit::Usage,
            text: text.into(),
        }
        .into()
    }

    /// Something needed is missing or unreachable.
    pub fn missing(text: impl Into<String>) -> anyhow::Error {
        Self {
            exit: Exit::Missing,
            text: text.into(),
        }
        .into()
    }

    /// Verification found something wrong.
    pub fn refused(text: impl Into<String>) -> anyhow::Error {
        Self {
            exit: Exit::Refused,
            text: text.into(),
        }
        .into()
    }
}

/// The exit code an error ends in.
pub fn code(error: &anyhow::Error) -> Exit {
    for cause in error.chain() {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return failure.exit;
        }
        if let Some(error) = cause.downcast_ref::<EngineError>() {
            return match error {
                EngineError::Input(_) | EngineError::Package(_) => Exit::Usage,
                EngineError::Unavailable { .. } => Exit::Missing,
                EngineError::Store(error) => store_code(error),
                EngineError::Cancelled => Exit::Interrupted,
            };
        }
        if let Some(error) = cause.downcast_ref::<StoreError>() {
            return store_code(error);
        }
        if let Some(error) = cause.downcast_ref::<PackageError>() {
            return match error {
                PackageError::Store(error) => store_code(error),
                PackageError::Malformed { .. } | PackageError::Chart(_) => Exit::Usage,
                PackageError::Cancelled => Exit::Interrupted,
            };
        }
    }
    Exit::Usage
}

fn store_code(error: &StoreError) -> Exit {
    match error {
        StoreError::WrongDigest { .. } | StoreError::WrongSize { .. } => Exit::Refused,
        StoreError::Malformed { .. } | StoreError::TooLarge { .. } => Exit::Usage,
        StoreError::Interrupted => Exit::Interrupted,
        StoreError::Io { .. } | StoreError::NotFound { .. } | StoreError::Registry { .. } => {
            Exit::Missing
        }
    }
}

/// Prints an error to standard error: what happened, then what lay beneath, each once.
pub fn print(error: &anyhow::Error, json: bool) {
    let mut lines: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        // Transparent wrappers repeat their source word for word.
        if lines.last().is_none_or(|last| !last.contains(&text)) {
            lines.push(text);
        }
    }
    if json {
        let body = serde_json::json!({ "error": lines.join(": ") });
        anstream::eprintln!("{body}");
        return;
    }
    let bold = anstyle::Style::new()
        .bold()
        .fg_color(Some(anstyle::AnsiColor::Red.into()));
    anstream::eprintln!("{bold}error{bold:#}: {}", lines.join("\n  caused by: "));
}
