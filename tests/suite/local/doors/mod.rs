//! Unwanted clients of a running program: web pages, other programs, slow and greedy clients.
//!
//! | module | what it tests |
//! |---|---|
//! | [`browser`] | can a page of another origin, in Chromium, do anything to the engines or the API? |
//! | [`engines`] | do the engines answer only requests signed with the key of this start? |
//! | [`found`] | do commands find a running `dev` through its folder, and only its owner? |
//! | [`limits`] | is each limit of time and number enforced and reported? |
//! | [`pages`] | which requests does the API reject as those of a foreign page? |
#![cfg(test)]

mod browser;
mod engines;
mod found;
mod limits;
mod pages;

use crate::harness::program::Program;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Far longer than any case takes.
const DEADLINE: Duration = Duration::from_secs(30);
const ISBN: &str = "9780306406157";

/// Sends these bytes, and reads until the connection ends or is idle.
async fn raw(url: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    rest(&mut stream).await
}

/// All bytes until the connection is closed.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await;
    // A reset ends it, too.
    let _ = read.expect("the connection is not closed");
    String::from_utf8_lossy(&answer).into_owned()
}
