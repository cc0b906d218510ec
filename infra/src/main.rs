//! ledgerfold
fn main(){}
