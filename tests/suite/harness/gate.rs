//! A proxy to an engine that passes connections, refuses them, or never answers.

use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Closed,
    Silent,
}

/// A proxy before an engine. It ends with the test's runtime.
pub(crate) struct Gate {
    pub(crate) endpoint: String,
    state: watch::Sender<State>,
}

impl Gate {
    /// An open proxy before the engine at that endpoint.
    pub(crate) async fn before(engine: &str) -> Self {
        let engine = engine.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (state, seen) = watch::channel(State::Open);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(pass(connection, engine.clone(), seen.clone()));
            }
        });
        Self { endpoint, state }
    }

    pub(crate) fn open(&self) {
        self.state.send_replace(State::Open);
    }

    /// Ends all connections, and each new one.
    pub(crate) fn close(&self) {
        self.state.send_replace(State::Closed);
    }

    /// Answers nothing from now on.
    pub(crate) fn fall_silent(&self) {
        self.state.send_replace(State::Silent);
    }
}

async fn pass(mut connection: TcpStream, engine: String, mut state: watch::Receiver<State>) {
    let now = *state.borrow_and_update();
    match now {
        State::Closed => return,
        State::Silent => {}
        State::Open => {
            let mut engine = TcpStream::connect(engine).await.unwrap();
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut connection, &mut engine) => return,
                _ = state.wait_for(|state| *state != State::Open) => {}
            }
        }
    }
    // A silent proxy may be closed later.
    if *state.borrow() == State::Silent {
        let _ = state.wait_for(|state| *state != State::Silent).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
