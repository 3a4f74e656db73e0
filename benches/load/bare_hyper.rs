//! How fast can hyper answer at all? The ceiling above which no server built on it can get.
//!
//! One thread, no routing, no cache, no log: `/1k` and `/64m` are answered from memory, over TLS if a
//! certificate is given. Prints the address it listens on and serves until it is killed.
//!
//! ```text
//! bare-hyper [CERTIFICATE.pem KEY.pem]
//! ```

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{Either, Empty, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A large body goes out in pieces of this size, as from a cache that streams.
const PIECE: usize = 256 << 10;
const PIECES: usize = (64 << 20) / PIECE;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let tls = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => None,
        [certificate, key] => Some(tls_acceptor(certificate, key)?),
        _ => bail!("usage: bare-hyper [CERTIFICATE.pem KEY.pem]"),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);

    let bodies = Bodies {
        small: vec![b'x'; 1024].into(),
        piece: vec![b'x'; PIECE].into(),
    };
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (bodies, tls) = (bodies.clone(), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => serve(stream, bodies).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, bodies).await;
                    }
                }
            }
        });
    }
}

#[derive(Clone)]
struct Bodies {
    small: Bytes,
    piece: Bytes,
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, bodies: Bodies) {
    let service =
        service_fn(|request| std::future::ready(Ok::<_, Infallible>(bodies.answer(&request))));
    // It ends with an error whenever the generator hangs up in the middle, which it does at every end.
    let _ended = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Bodies {
    fn answer(
        &self,
        request: &Request<Incoming>,
    ) -> Response<impl Body<Data = Bytes, Error = BoxError> + use<>> {
        let (status, length, body) = match request.uri().path() {
            "/1k" => {
                let whole = Full::new(self.small.clone());
                (StatusCode::OK, self.small.len(), Either::Left(whole))
            }
            "/64m" => {
                let pieces = std::iter::repeat_n(self.piece.clone(), PIECES);
                let frames = pieces.map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
                let streamed = StreamBody::new(stream::iter(frames));
                (
                    StatusCode::OK,
                    PIECE * PIECES,
                    Either::Right(Either::Left(streamed)),
                )
            }
            _ => (
                StatusCode::NOT_FOUND,
                0,
                Either::Right(Either::Right(Empty::new())),
            ),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        );
        headers.insert(CONTENT_LENGTH, length.into());
        response
    }
}

fn tls_acceptor(certificate: &str, key: &str) -> Result<TlsAcceptor> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
        .with_context(|| format!("cannot read {certificate}"))?
        .collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key).with_context(|| format!("cannot read {key}"))?;
    let config = ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .map_err(io::Error::other)?
    .with_no_client_auth()
    .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
