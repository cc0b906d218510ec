//! Billing's program for AWS.

#[path = "main.rs"]
#[allow(dead_code, reason = "its main is that of the program for one machine")]
mod billing;

fn main() -> std::process::ExitCode {
    handlers::service::main(billing::app())
}
