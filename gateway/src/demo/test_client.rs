//! For tests of the demo's parts: one HTTP/1.1 request over a connection of its own.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The whole response to `request`.
pub(super) async fn request(addr: SocketAddr, request: Request<String>) -> Response<Bytes> {
    let (head, body) = open(addr, request).await.into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

/// The response to `request` while its body is still to come.
pub(super) async fn open(addr: SocketAddr, mut request: Request<String>) -> Response<Incoming> {
    let stream = TcpStream::connect(addr).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    request
        .headers_mut()
        .insert("host", addr.to_string().parse().unwrap());
    sender.send_request(request).await.unwrap()
}
