//! The program `ledgerfold`, built together with the tests that run it; and with `call`, a function
//! as Lambda runs it, which does what it is told.

#[path = "call.rs"]
mod call;

fn main() -> std::process::ExitCode {
    match std::env::args().skip_while(|argument| argument != "call").nth(1) {
        Some(what) => call::main(&what),
        None => ledgerfold::main_with(bookshop::app(), &[ledgerfold::starter::COMMAND]),
    }
}
