//! A link between two processes that a test can cut, silence and mend.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Bytes pass.
    Open(Option<SocketAddr>),
    /// Connections are reset, and no new one gets through.
    Cut,
    /// Connections stand, and nothing passes.
    Silent,
}

/// A port that leads to another process until the test decides otherwise. Ends when it is dropped.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    state: watch::Sender<State>,
    target: std::sync::Mutex<Option<SocketAddr>>,
    accepting: JoinHandle<()>,
}

impl Link {
    /// A link that leads nowhere yet.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let (state, seen) = watch::channel(State::Open(None));
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, seen.clone()));
            }
        });
        Self {
            address,
            state,
            target: std::sync::Mutex::new(None),
            accepting,
        }
    }

    /// Where to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads to `target` from now on.
    pub fn lead_to(&self, target: SocketAddr) {
        if let Ok(mut kept) = self.target.lock() {
            *kept = Some(target);
        }
        self.state.send_replace(State::Open(Some(target)));
    }

    /// Resets what stands and lets nothing new through.
    pub fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Swallows everything, as a network does that drops packets.
    pub fn silence(&self) {
        self.state.send_replace(State::Silent);
    }

    /// Lets bytes pass again.
    pub fn mend(&self) {
        let target = self.target.lock().map_or(None, |target| *target);
        self.state.send_replace(State::Open(target));
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
        self.state.send_replace(State::Cut);
    }
}

async fn carry(mut near: TcpStream, mut state: watch::Receiver<State>) {
    let now = *state.borrow_and_update();
    let State::Open(Some(target)) = now else {
        if now == State::Silent {
            let _ = state.wait_for(|state| *state != State::Silent).await;
        }
        let _ = near.set_zero_linger();
        return;
    };
    let Ok(mut far) = TcpStream::connect(target).await else {
        return;
    };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let silenced = tokio::select! {
        _ = copy_bidirectional(&mut near, &mut far) => return,
        changed = state.wait_for(|state| *state != now) => changed.map(|state| *state == State::Silent),
    };
    if silenced.unwrap_or(false) {
        let _ = state.wait_for(|state| *state != State::Silent).await;
    }
    let _ = (near.set_zero_linger(), far.set_zero_linger());
}
