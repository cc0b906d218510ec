//! The program `ledgerfold`: the bookshop on one machine, and its operator's commands.

use mimalloc::MiMalloc;

/// API, engines and projections share one process: allocation is an eighth of its CPU with the system's allocator.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> std::process::ExitCode {
    ledgerfold::main_with(bookshop::app(), &[bookshop::cost::COMMAND, ledgerfold::starter::COMMAND])
}
