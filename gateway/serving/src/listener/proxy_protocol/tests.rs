use std::net::SocketAddr;

use proptest::prelude::*;
use proxy_header::{ProxiedAddress, ProxyHeader};

use super::{ProxyProtocol, ProxyProtocolMode, Refused, Start, start};

const V1: &[u8] = b"PROXY TCP4 198.51.100.7 203.0.113.1 51234 443\r\nGET / HTTP/1.1\r\n";

fn listening(mode: ProxyProtocolMode, from: &str) -> ProxyProtocol {
    ProxyProtocol {
        mode,
        from: from.parse().into_iter().collect(),
    }
}

async fn accept(proxy: &ProxyProtocol, mut bytes: &[u8]) -> Result<(SocketAddr, Vec<u8>), Refused> {
    let peer = "127.0.0.1:9".parse().unwrap();
    let accepted = proxy.accept(&mut bytes, peer).await.unwrap();
    accepted.map(|(client, rest)| (client, [&rest[..], bytes].concat()))
}

#[tokio::test]
async fn a_listed_source_names_the_client_and_no_byte_is_lost() {
    let proxy = listening(ProxyProtocolMode::Required, "127.0.0.0/8");
    let (client, rest) = accept(&proxy, V1).await.unwrap();
    assert_eq!(client, "198.51.100.7:51234".parse().unwrap());
    assert_eq!(rest, b"GET / HTTP/1.1\r\n");
}

#[tokio::test]
async fn what_each_mode_refuses() {
    use ProxyProtocolMode::{Optional, Required};
    let listed = |mode| listening(mode, "127.0.0.0/8");
    let unlisted = |mode| listening(mode, "10.0.0.0/8");
    let peer: SocketAddr = "127.0.0.1:9".parse().unwrap();
    assert_eq!(
        accept(&listed(Required), b"GET / HTTP/1.1\r\n").await,
        Err(Refused::Missing)
    );
    assert_eq!(
        accept(&listed(Required), b"PROXY TCP4 oops\r\n").await,
        Err(Refused::Malformed)
    );
    assert_eq!(
        accept(&listed(Required), b"PROXY TCP4 1.2").await,
        Err(Refused::Cut)
    );
    assert_eq!(
        accept(&listed(Optional), b"GET /").await,
        Ok((peer, b"GET /".to_vec()))
    );
    assert_eq!(
        accept(&unlisted(Required), V1).await,
        Err(Refused::Unlisted)
    );
    // Not taken off: the HTTP parser will refuse it as the bad request that it is.
    assert_eq!(
        accept(&unlisted(Optional), V1).await,
        Ok((peer, V1.to_vec()))
    );
}

#[test]
fn a_proxy_that_speaks_for_itself_names_no_client() {
    let local = [super::SIGNATURES[1], &[0x20, 0, 0, 0]].concat();
    assert_eq!(start(&local), Start::Header(None, 16));
    assert_eq!(start(b"PROXY UNKNOWN\r\n"), Start::Header(None, 15));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), signature in 0..3_usize) {
        let signature: &[u8] = super::SIGNATURES.get(signature).copied().unwrap_or_default();
        start(&[signature, &bytes].concat());
    }

    #[test]
    fn what_a_proxy_writes_is_read_back_at_any_split(
        source in any::<([u8; 4], u16)>(), v2: bool, rest in proptest::collection::vec(any::<u8>(), 0..64), split in 0..200_usize,
    ) {
        let source = SocketAddr::from(source);
        let header = ProxyHeader::with_address(ProxiedAddress::stream(source, "203.0.113.1:443".parse().unwrap()));
        let mut bytes = Vec::new();
        if v2 { header.encode_v2(&mut bytes) } else { header.encode_v1(&mut bytes) }.unwrap();
        let length = bytes.len();
        bytes.extend(rest);
        prop_assert_eq!(start(&bytes), Start::Header(Some(source), length));
        let split = split % length;
        prop_assert_eq!(start(&bytes[..split]), Start::Incomplete);
    }
}
