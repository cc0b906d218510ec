//! The program `ledgerfold`: runs the bookshop on one machine, and operates it.

use mimalloc::MiMalloc;

/// With the system's allocator, allocation takes an eighth of the CPU of API, engines and
/// projections.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> std::process::ExitCode {
    ledgerfold::main_with(bookshop::app(), &[ledgerfold::starter::COMMAND])
}
