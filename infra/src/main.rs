//! The program `ledgerfold`.

fn main() -> std::process::ExitCode {
    ledgerfold::cli::main()
}
