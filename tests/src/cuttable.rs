//! A way between two processes that a test can cut and mend.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A port that leads to `to` until it is cut.
#[derive(Debug)]
pub struct CuttableWay {
    address: SocketAddr,
    to: watch::Sender<Option<SocketAddr>>,
}

impl CuttableWay {
    /// A way that leads nowhere yet: connections are closed.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let (to, seen) = watch::channel(None);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut seen: watch::Receiver<Option<SocketAddr>> = seen.clone();
                tokio::spawn(async move {
                    let target = *seen.borrow_and_update();
                    let Some(target) = target else { return };
                    let Ok(mut far) = TcpStream::connect(target).await else {
                        return;
                    };
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = seen.changed() => {}
                    }
                });
            }
        });
        Self { address, to }
    }

    /// Where to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads to `target` from now on, and ends what stands.
    pub fn lead_to(&self, target: SocketAddr) {
        self.to.send_replace(Some(target));
    }

    /// Ends what stands, and lets nothing new through.
    pub fn cut(&self) {
        self.to.send_replace(None);
    }
}
