//! The program `cargo ledgerfold`, which creates a new app.

fn main() -> std::process::ExitCode {
    ledgerfold::starter::main()
}
