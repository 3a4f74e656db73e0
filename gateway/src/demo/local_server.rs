//! One HTTP server on loopback that can be taken away and brought back on the same port.
//!
//! Every part of the demo world that speaks HTTP is served by this. It differs from `axum::serve` in
//! what stopping means: the listener *and* every open connection are gone when [`LocalServer::stop`]
//! returns, as after the crash of a real server, while the port stays reserved for [`LocalServer::restart`].
//! Only upgraded connections (WebSockets) outlive a stop: their tasks belong to whoever upgraded them.

use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// After a failed accept, so that a lack of file descriptors does not become a lack of CPU.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

type BoxError = Box<dyn Error + Send + Sync>;

/// A service on a port of 127.0.0.1; it ends when this value is dropped.
#[derive(Debug)]
pub(super) struct LocalServer<S> {
    service: S,
    addr: SocketAddr,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Serving(Running),
    /// Bound but not listening: connections are refused, and a search for a free port skips this one.
    Stopped(TcpSocket),
    /// A stop or restart failed half way; the error was returned then.
    Failed,
}

#[derive(Debug)]
struct Running {
    stop: CancellationToken,
    accepting: JoinHandle<()>,
}

impl<S, B> LocalServer<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    /// Serves on `port` of 127.0.0.1; port 0 takes a free one.
    pub(super) async fn start(port: u16, service: S) -> io::Result<Self> {
        let socket = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        let addr = socket.local_addr()?;
        let state = Mutex::new(State::Serving(serve(socket, service.clone())?));
        Ok(Self {
            service,
            addr,
            state,
        })
    }

    /// Closes the listener and every connection. A second call changes nothing.
    pub(super) async fn stop(&self) -> io::Result<()> {
        let mut state = self.state.lock().await;
        if let State::Serving(running) = &mut *state {
            running.stop.cancel();
            // It fails only if the accept loop panicked, and then it holds no socket any more.
            let _ended = (&mut running.accepting).await;
            *state = State::Failed;
            *state = State::Stopped(bind(self.addr)?);
        }
        Ok(())
    }

    /// Serves again on the same port after [`stop`](Self::stop). A second call changes nothing.
    pub(super) async fn restart(&self) -> io::Result<()> {
        let mut state = self.state.lock().await;
        *state = match std::mem::replace(&mut *state, State::Failed) {
            State::Serving(running) => State::Serving(running),
            State::Stopped(socket) => State::Serving(serve(socket, self.service.clone())?),
            State::Failed => State::Serving(serve(bind(self.addr)?, self.service.clone())?),
        };
        Ok(())
    }
}

impl<S> LocalServer<S> {
    /// Where it listens, also while stopped.
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address as the start of a URL, without a slash at the end.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn bind(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // A port with connections in TIME_WAIT must be ours again at once.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

fn serve<S, B>(socket: TcpSocket, service: S) -> io::Result<Running>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let listener = socket.listen(1024)?;
    let stop = CancellationToken::new();
    let accepting = tokio::spawn(accept_until(stop.clone(), listener, service));
    Ok(Running { stop, accepting })
}

async fn accept_until<S, B>(stop: CancellationToken, listener: TcpListener, service: S)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _peer)) => drop(connections.spawn(serve_connection(stream, service.clone()))),
                // Out of file descriptors, or the peer left already. Others may be served when some are free.
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn serve_connection<S, B>(stream: TcpStream, service: S)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    // Fails only on a socket that is gone; serving it will find that out.
    let _nodelay = stream.set_nodelay(true);
    let http = auto::Builder::new(TokioExecutor::new());
    let connection = http.serve_connection_with_upgrades(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(error = %error, "a demo connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use hyper::service::service_fn;
    use tokio::io::AsyncReadExt;

    use super::*;

    async fn hello(_: Request<Incoming>) -> Result<Response<String>, Infallible> {
        Ok(Response::new("hello".to_owned()))
    }

    #[tokio::test]
    async fn a_stopped_server_refuses_and_a_restarted_one_answers_on_the_same_port() {
        let server = LocalServer::start(0, service_fn(hello)).await.unwrap();
        let mut open = TcpStream::connect(server.addr()).await.unwrap();

        server.stop().await.unwrap();
        let ended = open.read(&mut [0; 1]).await;
        assert!(
            matches!(ended, Ok(0) | Err(_)),
            "an open connection survived: {ended:?}"
        );
        let refused = TcpStream::connect(server.addr()).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);

        server.restart().await.unwrap();
        TcpStream::connect(server.addr()).await.unwrap();
    }
}
