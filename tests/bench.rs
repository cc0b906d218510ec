//! The program `ledgerfold-bench`, built together with the tests that run it.

fn main() -> std::process::ExitCode {
    ledgerfold_bench::main()
}
