//! Protocol upgrades of HTTP/1.1 (RFC 9110 section 7.8), which WebSocket uses: both ends agree through
//! us, then bytes pass both ways until one side ends.

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serving::drain::Drain;

use crate::error::Error;

/// Buffer of each direction, in bytes.
const BUFFER: usize = 16 << 10;

/// A client's wish to switch protocols.
#[derive(Debug)]
pub(super) struct Upgrade {
    protocol: HeaderValue,
    client: OnUpgrade,
}

impl Upgrade {
    /// The wish in a request, if it has one.
    pub(super) fn asked_for(request: &mut Request<Incoming>) -> Option<Self> {
        if request.version() != Version::HTTP_11 {
            return None;
        }
        let connection = request
            .headers()
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let asks = connection
            .flat_map(|value| value.split(','))
            .any(|token| token.trim().eq_ignore_ascii_case("upgrade"));
        let protocol = request.headers().get(UPGRADE).filter(|_| asks)?.clone();
        Some(Self {
            protocol,
            client: hyper::upgrade::on(request),
        })
    }

    /// Passes the wish on.
    pub(super) fn ask(&self, headers: &mut HeaderMap) {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, self.protocol.clone());
    }

    /// If the other end agreed, joins both ends once the client has seen the response.
    pub(super) fn join(
        self,
        mut response: Response<Incoming>,
        drain: &Drain,
    ) -> Result<Response<Incoming>, Error> {
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        // Agreeing to something else than was asked for would leave the ends with two protocols.
        let agreed = response.headers().get(UPGRADE).is_some_and(|agreed| {
            agreed
                .as_bytes()
                .eq_ignore_ascii_case(self.protocol.as_bytes())
        });
        if !agreed {
            return Err(Error::Upgrade);
        }
        let upstream = hyper::upgrade::on(&mut response);
        drain.spawn(async move {
            let Ok((client, upstream)) = tokio::try_join!(self.client, upstream) else {
                return;
            };
            let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
            // However it ends, both sides are closed by it; neither end is waiting for a word from us.
            let _ = tokio::io::copy_bidirectional_with_sizes(
                &mut client,
                &mut upstream,
                BUFFER,
                BUFFER,
            )
            .await;
        });
        Ok(response)
    }
}
