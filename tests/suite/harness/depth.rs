//! How deep the cases go.
//!
//! Every kind of case runs at either depth. By default a case takes a sample of its inputs, so that
//! `cargo test` takes about two minutes. `LEDGERFOLD_TEST_DEPTH=full`, as CI sets it, takes all of
//! them.

const VARIABLE: &str = "LEDGERFOLD_TEST_DEPTH";

fn is_full() -> bool {
    match std::env::var(VARIABLE).as_deref() {
        Err(_) | Ok("sample") => false,
        Ok("full") => true,
        Ok(other) => panic!("{VARIABLE} is {other:?}, but it must be full or sample"),
    }
}

/// A number of inputs, rounds or kills: the first at full depth, the second by default.
pub(crate) fn full_or<T>(full: T, sample: T) -> T {
    if is_full() { full } else { sample }
}

/// All inputs at full depth; by default so many of them, evenly spread.
pub(crate) fn all_or<T>(inputs: Vec<T>, sample: usize) -> Vec<T> {
    let step = full_or(1, inputs.len().div_ceil(sample).max(1));
    inputs.into_iter().step_by(step).collect()
}
