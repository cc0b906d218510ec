//! The worker of commands that are answered later, on Lambda.

use handlers::lambda::{Component, main as serve};
use std::process::ExitCode;

fn main() -> ExitCode {
    serve(bookshop::app(), Component::CommandWorker)
}
