//! ledgerfold under test
fn main(){}
