//! ledgerfold
