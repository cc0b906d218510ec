//! The program `cargo ledgerfold`, for those who have no app yet.

fn main() -> std::process::ExitCode {
    ledgerfold::starter::main()
}
