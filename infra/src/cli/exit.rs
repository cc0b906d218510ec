//! How the program ends: exit status, failures, and the signals that stop it.

use super::wording::named;
use clap::error::ErrorKind;
use std::error::Error;
use std::fmt::Display;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// What the program answers, as an exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
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

/// An error without which the program could have answered: exit 3.
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

    /// An error whose own text says what could not be done.
    pub fn from_error(error: &(dyn Error + 'static)) -> Self {
        Self { what: error.to_string(), source: error.source().map(|source| chain(source).into()) }
    }

    /// Prints the failure and its causes as one line on standard error.
    #[expect(clippy::print_stderr, reason = "errors belong on standard error")]
    pub fn report(&self) -> ExitCode {
        let cause = self
            .source
            .as_ref()
            .map(|source| format!(": {}", chain(source.as_ref())))
            .unwrap_or_default();
        eprintln!("{}", named(&format!("ledgerfold: {}{cause}", self.what)));
        ExitCode::from(3)
    }
}

/// Ends the program with clap's message for wrong use. Call it before anything is opened.
pub(super) fn wrong_use<T>(rule: impl Display) -> T {
    clap::Error::raw(ErrorKind::ValueValidation, format!("{}\n", named(&rule.to_string()))).exit()
}

/// Waits for Ctrl-C or SIGTERM. Signals are caught from this call on, before the program reports
/// that it is ready.
///
/// # Errors
/// When the operating system lets the program catch no signals.
pub fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    let listen =
        |kind| signal(kind).map_err(|error| Failure::new("signals cannot be received", error));
    let (mut interrupt, mut terminate) =
        (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// An error and its causes in one line. A cause that the line already ends with is left out.
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
