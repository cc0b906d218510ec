//! What the cases share: engines, programs, clients, and what stands between them.
#![cfg(test)]

pub(crate) mod depth;
pub(crate) mod engine;
pub(crate) mod events;
pub(crate) mod faults;
pub(crate) mod fold;
pub(crate) mod gate;
pub(crate) mod http;
pub(crate) mod in_process;
pub(crate) mod issuer;
pub(crate) mod jwt;
pub(crate) mod log;
pub(crate) mod messages;
pub(crate) mod pipeline;
pub(crate) mod program;
pub(crate) mod published_issuer;
pub(crate) mod recorder;
pub(crate) mod scripted_server;
pub(crate) mod seed;
pub(crate) mod sentry;
pub(crate) mod stack;
pub(crate) mod waiting;
pub(crate) mod wire;
