//! The program `ledgerfold-bench`.

use mimalloc::MiMalloc;

/// The allocator of the program `ledgerfold`, so that the same thing is measured.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> std::process::ExitCode {
    ledgerfold_bench::main()
}
