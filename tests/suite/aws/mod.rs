//! What runs on AWS: the functions, the container, and the template that deploys them.
#![cfg(test)]

mod lambda;
mod serve;
pub(crate) mod template;
