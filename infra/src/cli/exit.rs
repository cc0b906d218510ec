//! How the program ends.

use super::wording::named;
use clap::error::ErrorKind;
use std::error::Error;
use std::fmt::Display;
use std::process::ExitCode;

/// An answer, as an exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// Done, or a positive answer: 0.
    Done,
    /// A negative answer: 1.
    Negative,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Negative => Self::from(1),
        }
    }
}

/// Something that kept the program from answering: exit 3.
#[derive(Debug)]
pub struct Failure {
    what: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// What could not be done, and why.
    pub fn new(what: impl Into<String>, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { what: what.into(), source: Some(source.into()) }
    }

    /// An error that says all by itself.
    pub(super) fn from_error(error: &(dyn Error + 'static)) -> Self {
        Self { what: error.to_string(), source: error.source().map(|source| chain(source).into()) }
    }

    /// One line on standard error: the failure and its causes.
    #[expect(clippy::print_stderr, reason = "the program's last words")]
    pub(crate) fn report(&self) -> ExitCode {
        let cause = self.source.as_ref().map(|source| format!(": {}", chain(source.as_ref()))).unwrap_or_default();
        eprintln!("{}", named(&format!("ledgerfold: {}{cause}", self.what)));
        ExitCode::from(3)
    }
}

/// Ends the program: options that do not fit together are told as every wrong use is. Nothing is open yet.
pub(super) fn wrong_use<T>(rule: impl Display) -> T {
    clap::Error::raw(ErrorKind::ValueValidation, format!("{}\n", named(&rule.to_string()))).exit()
}

/// An error and its causes in one line, each said once.
fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.ends_with(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    line
}
