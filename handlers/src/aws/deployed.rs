//! The program that is deployed: every function of an app, and its container.

use super::{lambda, serve};
use crate::app::App;
use std::process::ExitCode;

/// Set by Lambda's runtime.
const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";

/// Runs an app on AWS: with Lambda's runtime as the function that `LEDGERFOLD_COMPONENT` names,
/// without it as a container.
pub fn main(app: App) -> ExitCode {
    match std::env::var_os(RUNTIME_API) {
        Some(_) => lambda::main(app),
        None => serve::main(app),
    }
}
