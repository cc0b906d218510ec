//! The program `ledgerfold`, built together with the tests that run it.

fn main() -> std::process::ExitCode {
    ledgerfold::cli::main()
}
