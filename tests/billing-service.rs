//! Billing's program for AWS.

#[path = "billing/main.rs"]
#[allow(dead_code, reason = "its main is that of the program for one machine")]
mod billing;

fn main() -> std::process::ExitCode {
    handlers::deployed::main(billing::app())
}
