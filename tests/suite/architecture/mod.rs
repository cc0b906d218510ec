//! The repository against its rules: dependencies between crates, and what documents name.
#![cfg(test)]

mod crates;
mod documents;
