//! The program that is deployed: every function of an app, and its container.

use crate::app::App;
use crate::lambda;
use std::process::ExitCode;

/// Runs an app on AWS: as the function that `LEDGERFOLD_COMPONENT` names.
pub fn main(app: App) -> ExitCode {
    lambda::main(app)
}
